"""The node itself: dashboard, health, readiness, metrics, OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from taskyard.api.call import Call, Problem, Reply
from taskyard.api.operation import NO_QUERY, NoQuery, Operation
from taskyard.api.pages import Pages
from taskyard.api.peer import Proxies
from taskyard.api.problems import OVERLOADED, UNAUTHORIZED
from taskyard.wire.base import Answer
from taskyard.wire.statistics import Health, Ready

VERSION = version("taskyard")
METRICS_MEDIA = b"text/plain; version=0.0.4; charset=utf-8"


async def health(call: Call, _: NoQuery) -> Answer:
    """GET /health"""
    return Health(status="healthy", timestamp=call.node.now(), version=VERSION)


async def ready(call: Call, _: NoQuery) -> Answer:
    """GET /ready"""
    reason = call.node.not_ready()
    if reason is not None:
        raise Problem(OVERLOADED, reason)
    return Ready()


def operations(proxies: Proxies, document: Callable[[], bytes], pages: Pages) -> list[Operation]:
    """The node's own operations; `document` gives the OpenAPI document, `pages` the dashboard."""

    async def root(call: Call, _: NoQuery) -> Reply:
        if "text/html" in (call.header(b"accept") or ""):
            return pages.show(call)
        return Reply(b"OK!", b"text/plain; charset=utf-8")

    async def metrics(call: Call, _: NoQuery) -> Reply:
        forwarded = call.request_headers.get(b"x-forwarded-for", call.request_headers.get(b"forwarded"))
        local = proxies.from_loopback(call.request.peer, forwarded)
        if not (local or call.node.settings.metrics_public or call.admin):
            raise Problem(
                UNAUTHORIZED,
                "metrics are shown to this machine and to admins; TASKYARD_METRICS_PUBLIC shows them to everyone",
            )
        return Reply(call.node.metrics(), METRICS_MEDIA)

    async def openapi(call: Call, _: NoQuery) -> Reply:
        return Reply(document())

    return [
        Operation(
            method="GET",
            path="/",
            tag="Node",
            summary="Dashboard",
            description="`OK!`, or for a browser (Accept: text/html) the dashboard.",
            handler=root,
            takes=NO_QUERY,
            media="text/plain",
            roles=None,
        ),
        Operation(
            method="GET",
            path="/health",
            tag="Node",
            summary="Is the process alive",
            description="Answers as long as the process does.",
            handler=health,
            takes=NO_QUERY,
            answers=(Health,),
            roles=None,
        ),
        Operation(
            method="GET",
            path="/ready",
            tag="Node",
            summary="Does the node take work",
            description="503 with the reason while the store is away, turns are stalled, or the node drains.",
            handler=ready,
            takes=NO_QUERY,
            answers=(Ready,),
            roles=None,
        ),
        Operation(
            method="GET",
            path="/metrics",
            tag="Node",
            summary="Metrics for Prometheus",
            description="From this machine without a token, from others with an admin's. "
            "With TASKYARD_METRICS_PUBLIC without a token from everywhere.",
            handler=metrics,
            takes=NO_QUERY,
            media="text/plain",
            roles=None,
            errors={401: "You are elsewhere and have no admin's token."},
        ),
        Operation(
            method="GET",
            path="/openapi.json",
            tag="Node",
            summary="This document",
            description="OpenAPI 3.1.",
            handler=openapi,
            takes=NO_QUERY,
            roles=None,
        ),
    ]
