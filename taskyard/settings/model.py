"""Every setting of a node: its type, unit, range, default and one line that says what it is for.

This page is the source of `docs/configuration.md` and of every message about a wrong value. It knows nothing of
files, environments or flags: `load.py` reads those.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from taskyard.settings.parts import DAY, GIB, HOUR, KIB, LONGEST, MIB, MINUTE, SECOND, Source, TypeDefaults
from taskyard.settings.parts import described as _is
from taskyard.settings.secret import Secret


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node's configuration: durations in ms, sizes in bytes."""

    # Where it listens and what it keeps
    host: Annotated[str, _is("host", "The address to listen on; `localhost` is both loopbacks.", flag=True)] = (
        "127.0.0.1"
    )
    port: Annotated[int, _is("whole", "The port to listen on; 0 takes a free one.", 0, 65535, flag=True)] = 8787
    data_dir: Annotated[
        str, _is("text", "The folder of the database and key files, made (0700) if missing.", flag=True)
    ] = "./taskyard-data"
    ballast: Annotated[
        int, _is("size", "Room on the disk that is kept for results when it is full; 0 keeps none.", 0, 1 << 40)
    ] = 64 * MIB
    backup_dir: (
        Annotated[
            str,
            _is("text", "The folder that a running node's backups go into; without it `backups` in the data folder."),
        ]
        | None
    ) = None
    backup_room: Annotated[
        int, _is("size", "Room that a backup leaves for the node on the disk it is written to.", 0, 1 << 40)
    ] = GIB
    database: (
        Annotated[Secret, _is("database", "PostgreSQL instead of a file; needs `secret_key`.", flag=True)] | None
    ) = None
    public_url: (
        Annotated[
            str,
            _is(
                "url",
                "The address at which backends reach this node; callback URLs start with it. "
                "Without it `http://127.0.0.1:<port>`.",
                bare=True,
                flag=True,
            ),
        ]
        | None
    ) = None
    dev: Annotated[
        bool,
        _is("switch", "For trying it out: makes its own secret, and browsers on this machine may call.", flag=True),
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _is("choice", "The least grave log line written.", flag=True)
    ] = "info"

    # Who may call
    jwt_secret: Annotated[
        tuple[Secret, ...],
        _is("secrets", "Signs and verifies tokens. The first signs, all verify: so a secret is rotated.", bare=True),
    ] = ()
    service_jwt_secret: Annotated[
        tuple[Secret, ...],
        _is("secrets", "Verifies tokens that can carry only the role `service`, for backend servers.", bare=True),
    ] = ()
    session_plain_http: Annotated[
        bool,
        _is("switch", "Lets people sign in to the dashboard from other machines without HTTPS."),
    ] = False
    secret_key: Annotated[
        tuple[Secret, ...],
        _is("secrets", "Encrypts stored apiKeys; the first encrypts, all decrypt. Without it a key file."),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...], _is("origins", "Pages of these origins may call from a browser.", bare=True)
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...], _is("networks", "Proxies whose `X-Forwarded-For` is believed.", bare=True)
    ] = ()
    endpoint_allow: Annotated[
        tuple[str, ...],
        _is("places", "Backend servers may be only there. Without it anywhere but link-local.", bare=True),
    ] = ()
    metrics_public: Annotated[bool, _is("switch", "`/metrics` answers everyone, not only loopback.")] = False

    # Limits on what comes in
    body_max_bytes: Annotated[int, _is("size", "A request's body; past it 413.", KIB, GIB, bare=True)] = MIB
    result_max_bytes: Annotated[
        int, _is("size", "A backend's answer or callback; past it the task has failed.", KIB, GIB, bare=True)
    ] = 8 * MIB
    memory_budget: Annotated[
        int,
        _is("size", "Bodies in flight, both ways; past it sockets are not read, then 503.", MIB, 1 << 40, bare=True),
    ] = 256 * MIB
    max_queued: Annotated[int, _is("whole", "Queued tasks; past it 503.", 1, 10**9, bare=True)] = 2_000_000
    max_queued_per_sub: Annotated[int, _is("whole", "Queued tasks of one owner; past it 429.", 1, 10**9, bare=True)] = (
        1_000_000
    )
    max_lanes: Annotated[
        int, _is("whole", "Different requirements among queued tasks; past it 429.", 1, 1_000_000, bare=True)
    ] = 10_000
    max_lanes_per_sub: Annotated[
        int,
        _is("whole", "Of these, how many one owner may have brought in since the start; past it 429.", 1, 1_000_000),
    ] = 5_000
    connections: (
        Annotated[
            int,
            _is("whole", "Open connections; past it 503. Without it 3/4 of the file descriptors allowed.", 1, 10**7),
        ]
        | None
    ) = None
    connections_per_peer: Annotated[
        int, _is("whole", "Open connections from one address (trusted proxies excepted).", 1, 1_000_000)
    ] = 4096
    keep_alive: Annotated[int, _is("duration", "A connection on which nothing is asked.", 1000, DAY)] = 75 * SECOND
    head_lines: Annotated[int, _is("whole", "Header lines of a request; past it 431.", 8, 1000)] = 64
    head_max_bytes: Annotated[int, _is("size", "A request's head; past it 431.", 1024, MIB)] = 16_384
    head_timeout: Annotated[int, _is("duration", "A request's head.", 100, HOUR)] = 10 * SECOND
    body_timeout: Annotated[int, _is("duration", "A request's body, and 1 s more for each 64 KiB.", 100, HOUR)] = (
        30 * SECOND
    )
    idle_timeout: Annotated[int, _is("duration", "Within a request, without one byte.", 100, HOUR)] = 10 * SECOND
    write_timeout: Annotated[
        int, _is("duration", "A client's taking of an answer, and 1 s more for each 64 KiB it takes.", 100, HOUR)
    ] = 60 * SECOND
    rest_timeout: Annotated[
        int, _is("duration", "The rest of a body that is answered already, so that its answer is read.", 0, HOUR)
    ] = 2 * SECOND
    rest_max_bytes: Annotated[int, _is("size", "The rest of a body that is answered already.", 0, GIB)] = 8 * MIB
    held_bytes: Annotated[
        int, _is("size", "A body's part that waits to be read; then its socket is not.", KIB, GIB)
    ] = 64 * KIB
    budget_wait: Annotated[int, _is("duration", "A body's wait for room in `memory_budget`; then 503.", 0, HOUR)] = (
        5 * SECOND
    )
    callback_wait: Annotated[int, _is("duration", "A callback's wait to be decided.", 1, HOUR)] = 2 * SECOND
    inbox_submissions: Annotated[int, _is("whole", "Submissions that wait for their turn; past it 503.", 1, 10**7)] = (
        20_000
    )
    inbox_calls: Annotated[
        int, _is("whole", "Other calls that wait for their turn (callbacks excepted); past it 503.", 1, 10**7)
    ] = 20_000
    reads_waiting: Annotated[int, _is("whole", "Reads that wait for the store; past it 503.", 1, 10**6)] = 256
    waiting_calls_per_sub: Annotated[
        int, _is("whole", "Calls of one subject that wait for tasks; past it 429.", 1, 10**6)
    ] = 4096
    event_streams: Annotated[
        int, _is("whole", "Streams of events and WebSockets that are open; past it 503.", 1, 10**6)
    ] = 10_000
    event_streams_per_sub: Annotated[int, _is("whole", "Of these, how many of one subject; past it 429.", 1, 10**6)] = (
        1000
    )
    event_tasks: Annotated[int, _is("whole", "Different tasks that all streams watch; past it 503.", 1, 10**7)] = 50_000
    event_interval: Annotated[int, _is("duration", "From one event of a topic to the next, at least.", 10, MINUTE)] = (
        SECOND
    )
    event_silence: Annotated[
        int, _is("duration", "A stream on which nothing happens tells the time so often.", 10, HOUR)
    ] = 15 * SECOND
    event_stale: Annotated[
        int, _is("duration", "When it is not known for so long what happens, streams are told so.", 10, HOUR)
    ] = 3 * SECOND
    event_lifetime: Annotated[
        int, _is("duration", "A stream ends after so long; whoever listens comes again.", 10, LONGEST)
    ] = DAY
    bulk_jobs: Annotated[int, _is("whole", "Bulk changes that run at once; past it 503.", 1, 10**4)] = 32
    bulk_jobs_per_sub: Annotated[int, _is("whole", "Bulk changes of one subject; past it 503.", 1, 10**4)] = 4
    bulk_jobs_kept: Annotated[int, _is("whole", "Ended bulk changes that can be asked about.", 0, 10**6)] = 1000
    bulk_retention: Annotated[int, _is("duration", "Ended bulk changes are kept so long.", 0, LONGEST)] = HOUR

    # Tasks
    task_timeout: Annotated[
        int, _is("duration", "One attempt, dispatch to result, callbacks included.", 1, LONGEST, bare=True)
    ] = HOUR
    sync_wait_max: Annotated[
        int, _is("duration", "A submission with `async: false`: default and longest wait.", 1, DAY, bare=True)
    ] = 5 * MINUTE
    max_retries: Annotated[int, _is("whole", "Retries after the first attempt.", 0, 100, bare=True)] = 3
    retry_base: Annotated[int, _is("duration", "The first pause before a retry, at most.", 0, LONGEST)] = SECOND
    retry_cap: Annotated[int, _is("duration", "No pause before a retry is longer.", 0, LONGEST)] = 30 * SECOND
    retry_budget: Annotated[
        float,
        _is(
            "share",
            "Retries as a share of a pool's dispatches in 10 s (3 always); those that succeed do not count.",
            0,
            1,
            bare=True,
        ),
    ] = 0.2
    elsewhere_wait: Annotated[
        int, _is("duration", "A retry waits so long for another server than the one where it failed.", 0, DAY)
    ] = 30 * SECOND
    max_lost: Annotated[
        int, _is("whole", "Attempts lost with a node or server before the task fails.", 0, 1000, bare=True)
    ] = 5
    linger: Annotated[
        int,
        _is("duration", "A given-up attempt's hold on its slot (the backend may still be at it).", 0, HOUR, bare=True),
    ] = 5 * SECOND
    retention: Annotated[int, _is("duration", "Ended tasks are kept so long.", SECOND, LONGEST, bare=True)] = 7 * DAY
    retention_count: (
        Annotated[
            int,
            _is(
                "whole",
                "Ended tasks kept at most, the newest; without it any number.",
                0,
                10**12,
            ),
        ]
        | None
    ) = None
    history_retention: Annotated[
        int, _is("duration", "Series, failures and the servers' history are kept so long.", DAY, LONGEST)
    ] = 7 * DAY
    sign_in_span: Annotated[
        int, _is("duration", "What happens again at sign-in within so long is one row of the audit.", 10, HOUR)
    ] = MINUTE
    sign_in_sources: Annotated[
        int, _is("whole", "So many people and addresses are told apart in that time; all others are one.", 1, 10**4)
    ] = 100
    audit_retention: Annotated[int, _is("duration", "Who changed what is kept so long.", SECOND, LONGEST)] = 90 * DAY
    sweep_hold: Annotated[
        int, _is("duration", "One bite of removing ended tasks; a turn that comes meanwhile waits.", 1, SECOND)
    ] = 10
    idempotency_retention: Annotated[int, _is("duration", "Idempotency keys are kept so long.", SECOND, LONGEST)] = DAY

    # Backend servers
    connect_timeout: Annotated[int, _is("duration", "Connecting to a backend server.", 1, HOUR)] = 5 * SECOND
    silence_timeout: Annotated[int, _is("duration", "A backend's silence within its answer's body.", 1, HOUR)] = (
        30 * SECOND
    )
    answer_grace: Annotated[
        int, _is("duration", "An attempt's connection is given up so long after its limit at the latest.", 0, HOUR)
    ] = 10 * SECOND
    answer_head_bytes: Annotated[int, _is("size", "The head of a backend's answer.", 1024, MIB)] = 64 * KIB
    answer_head_lines: Annotated[int, _is("whole", "Header lines of a backend's answer.", 8, 1000)] = 64
    backend_keep_alive: Annotated[
        int, _is("duration", "An unused connection to a backend server is kept so long at most.", 0, DAY)
    ] = MINUTE
    registration_wait: Annotated[
        int, _is("duration", "A registration's wait for the server's first health check.", 0, MINUTE)
    ] = SECOND
    check_timeout: Annotated[int, _is("duration", "A health check, DNS included.", 1, MINUTE, bare=True)] = 2 * SECOND
    offline_grace: Annotated[
        int,
        _is(
            "duration",
            "An offline server's attempts are given up so long after its last passed check, heartbeat or callback.",
            0,
            DAY,
            bare=True,
        ),
    ] = 30 * SECOND
    removal_grace: Annotated[
        int,
        _is("duration", "A removed server's tasks may end for so long; then they are queued again.", 0, DAY),
    ] = 30 * SECOND
    server_stale_threshold: Annotated[
        int,
        _is("duration", "A server neither checked nor heard from for so long is offline.", SECOND, LONGEST, bare=True),
    ] = 5 * MINUTE
    server_cleanup_interval: Annotated[
        int, _is("duration", "Between two sweeps for stale servers.", 100, DAY, bare=True)
    ] = MINUTE

    # The engine
    turn_facts: Annotated[int, _is("whole", "Facts that one turn takes at most.", 1, 100_000)] = 1000
    turn_bytes: Annotated[int, _is("size", "Bytes of facts that one turn takes at most.", KIB, GIB)] = 4 * MIB
    turn_dispatches: Annotated[int, _is("whole", "Tasks that one turn assigns at most.", 1, 100_000)] = 1000
    turn_wakes: Annotated[int, _is("whole", "Timers of a kind that one turn looks at at most.", 1, 100_000)] = 1000
    turn_stall: Annotated[int, _is("duration", "A turn that takes longer makes the node unready.", 100, HOUR)] = (
        5 * SECOND
    )
    window_entries: Annotated[
        int, _is("whole", "Queued tasks that memory holds; the store has them all.", 100, 10**8)
    ] = 20_000
    wake_entries: Annotated[
        int, _is("whole", "Queued tasks whose next time memory holds; the store has them all.", 100, 10**8)
    ] = 20_000
    payload_memory: Annotated[int, _is("size", "Payloads of queued tasks that memory keeps.", 0, 1 << 40)] = 64 * MIB
    failure_groups: Annotated[
        int, _is("whole", "Groups of failures in an hour; what is beyond goes into one called `other`.", 1, 10**5)
    ] = 200
    facet_values: Annotated[
        int, _is("whole", "New types, tags or owners in an hour that filters offer, of one owner.", 1, 10**6)
    ] = 1000

    # What needs a person
    disk_low: Annotated[int, _is("size", "Below so much room on the disk the overview says so.", 0, 1 << 40)] = GIB
    attention_failing: Annotated[
        float,
        _is("share", "From this share of failed tasks in 5 minutes on (of 20 at least) the overview says so.", 0, 1),
    ] = 0.1
    attention_flapping: Annotated[
        int, _is("whole", "From so many changes of a server's status in an hour on the overview says so.", 2, 8)
    ] = 6

    # Many nodes on one database
    node_name: (
        Annotated[str, _is("text", "What people know this node by; without it the machine's name and the port.")] | None
    ) = None
    node_url: (
        Annotated[
            str,
            _is(
                "url",
                "The address at which other nodes reach this one. Without it that of `host`, or of the machine's name "
                "where `host` is every address.",
            ),
        ]
        | None
    ) = None
    node_silence: Annotated[
        int, _is("duration", "A node that says nothing for so long is dead: what it sent is lost.", 4 * SECOND, HOUR)
    ] = 6 * SECOND
    node_page: Annotated[
        int, _is("size", "What nodes have for each other is read and written by so much; one thing at least.", KIB, GIB)
    ] = 4 * MIB
    node_backlog: Annotated[
        int,
        _is(
            "size",
            "Of this, what waits in memory for the store or for a turn; then 503, or it is read later.",
            KIB,
            GIB,
        ),
    ] = 64 * MIB
    node_calls: Annotated[
        int, _is("whole", "Calls that a node passes on to the one that decides at once; others wait.", 1, 10_000)
    ] = 64
    node_poll: Annotated[
        int, _is("duration", "Between two looks for what other nodes have stored, at most.", 1, 10 * SECOND)
    ] = 20

    # OpenTelemetry
    otlp_endpoint: (
        Annotated[
            str,
            _is(
                "url",
                "The base URL of an OTLP/HTTP collector, such as `http://127.0.0.1:4318`: traces and metrics go there. "
                "Needs the extra `otel`.",
            ),
        ]
        | None
    ) = None
    otlp_last_timeout: Annotated[
        int, _is("duration", "At a stop, what is still to be exported has so long.", 0, HOUR)
    ] = 2 * SECOND

    # Start and stop
    recovery_grace: Annotated[
        int, _is("duration", "After a start, running attempts have so long for their callbacks at least.", 0, DAY)
    ] = MINUTE
    recovery_spread: Annotated[
        int, _is("duration", "After a start, interrupted tasks are due again within so long.", 0, HOUR)
    ] = 5 * SECOND
    drain_timeout: Annotated[int, _is("duration", "At a stop, what is being sent has so long to end.", 0, DAY)] = (
        10 * SECOND
    )
    last_answers_timeout: Annotated[
        int, _is("duration", "At a stop, after `drain_timeout`, answers under way have so long.", 0, HOUR)
    ] = 5 * SECOND

    # Set by tables and by the loader, not by one name
    types: dict[str, TypeDefaults] = {}
    origins: dict[str, Source] = {}

    @property
    def data_path(self) -> Path:
        """The data folder, `~` expanded; relative to the working directory."""
        return Path(self.data_dir).expanduser()

    @property
    def backup_path(self) -> Path:
        """The folder of backups, `~` expanded; relative to the working directory."""
        return self.data_path / "backups" if self.backup_dir is None else Path(self.backup_dir).expanduser()

    def public_base(self, port: int | None = None) -> str:
        """What callback URLs start with, without a slash at its end. `port`: the bound one, where `self.port` is 0."""
        return self.public_url or f"http://127.0.0.1:{self.port if port is None else port}"

    @property
    def secure_sessions(self) -> bool:
        """Whether browsers reach this node by HTTPS alone, so that no session is kept without it."""
        return self.public_base().startswith("https://") and not self.session_plain_http

    def node_base(self, port: int) -> str:
        """What other nodes call this one by, without a slash at its end; `port` is the bound one."""
        if self.node_url is not None:
            return self.node_url
        host = socket.gethostname() if self.host in ("0.0.0.0", "::", "[::]") else self.host.strip("[]")  # noqa: S104
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def sources(self) -> Mapping[str, Source]:
        """Where each setting's value came from, by its name, `types.<name>` included."""
        names: list[str] = [name for name in self.__struct_fields__ if name not in ("types", "origins")]
        names += [f"types.{name}" for name in self.types]
        return {name: self.origins.get(name, Source("default")) for name in names}

    def shown(self) -> dict[str, Any]:
        """Each setting by its name as people may see it (secrets as `***`), for logs and the dashboard."""
        values = {name: getattr(self, name) for name in self.sources() if not name.startswith("types.")}
        return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return str(value)
    return [_shown(part) for part in value] if isinstance(value, tuple) else value
