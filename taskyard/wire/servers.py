"""Backend servers: how they register, what they report, and how they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Raw, UnsetType, field

from taskyard.wire.base import (
    Answer,
    Body,
    Label,
    Priority,
    Query,
    ServerId,
    Share,
    Text,
    Time,
    form,
    one_of_two,
    word_pattern,
)

# For readers of the schema; what is refused beyond it depends on the node's address policy. IPv6 only in its long form.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,38}[A-Za-z0-9])?"
_NAME = rf"({_LABEL}\.){{0,5}}[A-Za-z]([A-Za-z0-9-]{{0,38}}[A-Za-z0-9])?"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(1[0-5][0-9]|[1-9][0-9]?)(\.{_OCTET}){{3}}"
_IPV6 = r"\[(::1|[0-9A-Da-d][0-9A-Fa-f]{3}(:[0-9A-Fa-f]{1,4}){7})\]"
_PORT = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
_PATH = r"([/?][!-\"$-\[\]-~]*)?"
Url = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=2048,
        description="http:// or https://, without user, password and fragment.",
        extra={"form": "an http:// or https:// URL"},
        extra_json_schema={"pattern": f"^https?://({_NAME}|{_IPV4}|{_IPV6}){_PORT}{_PATH}$"},
    ),
]
ApiKey = Annotated[
    str,
    form(
        r"^[\x21-\x7e]{1,512}(?!\n)$",
        "1-512 printable ASCII characters without spaces",
        description="Sent as a Bearer token; 1-512 printable ASCII characters without spaces. Never shown.",
    ),
]
SERVER_STATUSES = ("initializing", "online", "degraded", "offline", "maintenance", "draining")
ServerStatus = Annotated[str, Meta(extra_json_schema={"enum": list(SERVER_STATUSES)})]
Beats = ("healthy", "unhealthy", "draining")


class Endpoints(Body):
    """Where a server answers."""

    predict: Annotated[Url, Meta(description="Takes a task, by POST.")]
    health: Annotated[Url, Meta(description="Answers GET with 2xx and `status: healthy`.")]
    metrics: Annotated[Url | None, Meta(description="Shown only.")] = None
    cancel: Annotated[Url | None, Meta(description="Gives up an attempt, by POST.")] = None


class SomeEndpoints(Body):
    """The endpoints that change."""

    predict: Url | None = None
    health: Url | None = None
    metrics: Url | None = None
    cancel: Url | None = None


_Labels = Annotated[list[Label], Meta(max_length=32)]
_MaxConcurrent = Annotated[int, Meta(ge=1, le=10_000)]


class ServerPatch(Body):
    """What changes; absent members keep their value."""

    name: Annotated[Label | None, Meta(description="For people.")] = None
    endpoints: SomeEndpoints | None = None
    api_key: ApiKey | None = None
    capabilities: Annotated[_Labels | None, Meta(description="What it can do; at most 32.")] = None
    groups: Annotated[_Labels | None, Meta(description="The groups it is in; at most 32.")] = None
    max_concurrent: Annotated[_MaxConcurrent | None, Meta(description="Its slots, 1-10000.")] = None
    priority: Annotated[Priority | None, Meta(description="Its weight, 0-10; 0 is a standby.")] = None
    is_async: Annotated[
        bool | None, Meta(description="true: every 2xx without a final status means that it will call back.")
    ] = field(default=None, name="async")


class Registration(Body):
    """A backend server. A known `id`, or without one a known `endpoints.predict`, updates that server."""

    name: Annotated[Label, Meta(description="For people.")]
    endpoints: Endpoints
    id: ServerId | None = None
    api_key: ApiKey | None = None
    capabilities: Annotated[_Labels | None, Meta(description="What it can do; at most 32.")] = None
    groups: Annotated[_Labels | None, Meta(description="The groups it is in; at most 32.")] = None
    max_concurrent: Annotated[_MaxConcurrent | None, Meta(description="Its slots, 1-10000; default 10.")] = None
    priority: Annotated[Priority | None, Meta(description="Its weight, 0-10; default 1; 0 is a standby.")] = None
    is_async: Annotated[
        bool | None, Meta(description="true: every 2xx without a final status means that it will call back.")
    ] = field(default=None, name="async")


class ServerRegistered(Answer):
    """The server is known. `initializing`: its first health check takes longer than a second."""

    server_id: ServerId
    status: ServerStatus
    message: str = "Server registered successfully"


class ServerFilter(Query):
    """Which servers; those being removed are shown only with `status=draining`."""

    status: Annotated[
        str | None, Meta(description="Its status now.", extra_json_schema={"enum": list(SERVER_STATUSES)})
    ] = None
    group: Annotated[Label | None, Meta(description="It is in this group.")] = None
    capability: Annotated[Label | None, Meta(description="It can do this.")] = None


class ShownEndpoints(Answer):
    """Where a server answers."""

    predict: str
    health: str
    metrics: str | None
    cancel: str | None


class ServerHealth(Answer):
    """The last check's outcome; `unhealthy` until one passed."""

    status: Annotated[str, Meta(extra_json_schema={"enum": ["healthy", "unhealthy"]})]
    last_heartbeat: Time
    last_check: Time | None
    consecutive_failures: int
    score: Annotated[float, Meta(ge=0, le=100)]


class Server(Answer):
    """A registered server."""

    id: ServerId
    name: str
    status: ServerStatus
    registered_at: Time
    last_heartbeat: Annotated[Time, Meta(description="Moved only by heartbeats; at first the registration.")]
    uptime: Annotated[int, Meta(description="ms since it was last not online; 0 while it is not.")]
    time_since_last_heartbeat: int
    groups: list[str]
    capabilities: list[str]
    priority: int
    max_concurrent: int
    active_tasks: Annotated[int, Meta(description="Slots in use.")]
    reported_active_tasks: Annotated[int | None, Meta(description="What its last heartbeat said.")]
    endpoints: Annotated[ShownEndpoints | None, Meta(description="null for the role `user`.")]
    is_async: bool = field(name="async")
    maintenance_reason: str | None
    misconfigured: Annotated[bool, Meta(description="It refuses our key (401, 403): the operator must act.")]
    paused_until: Annotated[Time | None, Meta(description="It asked to be left alone until then.")]
    health: ServerHealth


class ServerList(Answer):
    """All servers that match."""

    servers: list[Server]


class ServerRemoved(Answer):
    """The server is gone; what runs there may end for 30 s, the rest is queued again."""

    server_id: ServerId
    success: bool = True
    message: str = "Server unregistered"


class Heartbeat(Body):
    """A sign of life."""

    status: Annotated[
        Annotated[str, form(word_pattern(*Beats), f"one of {', '.join(Beats)}")] | None,
        Meta(description="healthy (a passed check), unhealthy (a failed one) or draining (nothing new)."),
    ] = None
    active_tasks: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None, Meta(description="Shown, never used for slots.")
    ] = None
    metrics: Annotated[
        Raw | UnsetType,
        Meta(
            description="A JSON object of at most 16 KiB, kept as it is.",
            extra_json_schema={"type": ["object", "null"]},
        ),
    ] = UNSET


class Maintenance(Body):
    """Into maintenance, or out of it: `maintenance` or `enabled`."""

    rule: ClassVar[dict[str, Any]] = one_of_two("maintenance", "enabled", "boolean")

    maintenance: bool | None = None
    enabled: bool | None = None
    reason: Text | None = None


class ServerChanged(Answer):
    """A call on a server took effect."""

    success: bool
    message: str


class CheckAnswer(Answer):
    """How the health check went."""

    server_id: ServerId
    status: ServerStatus
    passed: bool
    error: Annotated[str | None, Meta(description="Why it failed, in words.")]
    health: ServerHealth


class Figures(Answer):
    """A server's figures since its registration."""

    uptime: int
    tasks_processed: int
    success_count: int
    failure_count: int
    success_rate: Share
    average_processing_time: int
    average_response_time: int
    current_load: Share
    active_tasks: int
    health_score: float
    max_capacity: int


class ServerMetrics(Figures):
    """The figures, also at the top level."""

    server_id: ServerId
    metrics: Figures
    status: ServerStatus
    healthy: bool
