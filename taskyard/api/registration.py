"""Registration of backend servers, and changes of what was registered. Checks a URL's form and the address policy."""

from __future__ import annotations

import secrets
from ipaddress import ip_address
from urllib.parse import urlsplit

from taskyard.api.call import Call
from taskyard.api.operation import SERVICES, Example, Operation
from taskyard.api.servers import OTHERS, server_id_of, shown, view_of
from taskyard.engine import facts
from taskyard.engine.plan import ServerDone
from taskyard.host.transport import target
from taskyard.wire.base import Answer
from taskyard.wire.reader import Invalid, Reader
from taskyard.wire.servers import Endpoints, Registration, Server, ServerPatch, ServerRegistered, SomeEndpoints

REGISTRATION = Reader(Registration)
PATCH = Reader(ServerPatch)


def _check_urls(call: Call, endpoints: Endpoints | SomeEndpoints) -> None:
    for name in ("predict", "health", "metrics", "cancel"):
        url: str | None = getattr(endpoints, name)
        if url is None:
            continue
        try:
            target.parse(url)
        except ValueError as error:
            raise Invalid(f"endpoints.{name}: {error}") from None
        denied = call.node.address_denied(url)
        if denied is not None:
            raise Invalid(f"endpoints.{name}: {denied}")


def is_local(url: str) -> bool:
    """Whether a URL leads to this machine only, as far as its form tells."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _warn(call: Call, predict: str | None, done: ServerDone) -> None:
    base = call.node.settings.public_base()
    if predict is not None and is_local(base) and not is_local(predict):
        call.warnings.append(
            f"callback URLs begin with {base}, which a server on another machine cannot reach: set PUBLIC_URL"
        )
    if done.key_dropped:
        call.warnings.append("an endpoint moved to another origin, so the old apiKey was dropped: send apiKey anew")


def _fact(call: Call, server_id: str | None, body: Registration | ServerPatch, *, patch: bool) -> facts.Registered:
    endpoints = body.endpoints or SomeEndpoints()
    _check_urls(call, endpoints)
    return facts.Registered(
        server_id=server_id,
        made_id=f"server_{secrets.token_hex(12)}",
        who=call.who.sub,
        admin=call.admin,
        patch=patch,
        name=body.name,
        predict=endpoints.predict,
        health_url=endpoints.health,
        metrics_url=endpoints.metrics,
        cancel_url=endpoints.cancel,
        api_key=None if body.api_key is None else call.node.seal(body.api_key),
        capabilities=None if body.capabilities is None else tuple(dict.fromkeys(body.capabilities)),
        groups=None if body.groups is None else tuple(dict.fromkeys(body.groups)),
        max_concurrent=body.max_concurrent,
        weight=body.priority,
        is_async=body.is_async,
    )


async def register(call: Call, body: Registration) -> Answer:
    """POST /api/servers"""
    done = await call.ask(_fact(call, body.id, body, patch=False), ServerDone)
    _warn(call, body.endpoints.predict, done)
    await call.until(call.node.wait_checked(done.server_id, call.node.settings.registration_wait))
    view = call.node.server(done.server_id)
    return ServerRegistered(server_id=done.server_id, status=done.status if view is None else view.status)


async def change(call: Call, body: ServerPatch) -> Answer:
    """PATCH /api/servers/{id}"""
    done = await call.ask(_fact(call, server_id_of(call), body, patch=True), ServerDone)
    _warn(call, None if body.endpoints is None else body.endpoints.predict, done)
    return shown(call, view_of(call, done.server_id))


_ENDPOINTS = {"predict": "http://127.0.0.1:9000/predict", "health": "http://127.0.0.1:9000/health"}
OPERATIONS = (
    Operation(
        method="POST",
        path="/api/servers",
        tag="Servers",
        summary="Register a server",
        description=(
            "A known `id`, or without one a known `endpoints.predict`, updates that server. Never fails because the "
            "server cannot be reached: the first health check decides between `online` and `offline`, and the answer "
            "comes when it has ended, after 1 s at most."
        ),
        handler=register,
        takes=REGISTRATION,
        answers=(ServerRegistered,),
        roles=SERVICES,
        errors={403: "Your role may not, or another registered the server."},
        examples=(
            Example(
                "A server", {"name": "gpu-1", "endpoints": _ENDPOINTS, "capabilities": ["chat"], "maxConcurrent": 4}
            ),
        ),
    ),
    Operation(
        method="PATCH",
        path="/api/servers/{id}",
        tag="Servers",
        summary="Change a server",
        description="Absent members keep their value. A new origin without an `apiKey` drops the old key.",
        handler=change,
        takes=PATCH,
        answers=(Server,),
        roles=SERVICES,
        errors=OTHERS,
        examples=(Example("More slots", {"maxConcurrent": 20}),),
    ),
)
