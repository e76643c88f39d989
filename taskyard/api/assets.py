"""The API's own pages, from a fixed manifest, and the headers that they carry. No path reaches the disk."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.resources import files
from typing import NamedTuple

from taskyard.api.call import Call, Reply
from taskyard.api.operation import NO_QUERY, NoQuery, Operation
from taskyard.api.problems import Header

CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HTML = b"text/html; charset=utf-8"
_CSS = b"text/css; charset=utf-8"
_JS = b"text/javascript; charset=utf-8"
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", CSP),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)

# Path -> (package, file, media type). Nothing else is served.
MANIFEST: dict[str, tuple[str, str, bytes]] = {
    "/docs": ("taskyard.api", "docs.html", _HTML),
    "/docs/docs.js": ("taskyard.api", "docs.js", _JS),
    "/docs/swagger-ui.css": ("taskyard.api", "swagger-ui.css", _CSS),
    "/docs/swagger-ui-bundle.js": ("taskyard.api", "swagger-ui-bundle.js", _JS),
}


class Asset(NamedTuple):
    """A file's bytes and what goes with them."""

    body: bytes
    media: bytes
    etag: bytes


def load(package: str, name: str, media: bytes) -> Asset:
    """A file of a package's `static` folder."""
    body = (files(package) / "static" / name).read_bytes()
    return Asset(body, media, b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode())


def page(asset: Asset, call: Call) -> Reply:
    """The answer with a file; 304 when the client has it."""
    headers: tuple[Header, ...] = ((b"etag", asset.etag), (b"cache-control", b"no-cache"))
    if asset.media == _HTML:
        headers += PAGE_HEADERS
    known = call.request_headers.get(b"if-none-match", b"")
    if asset.etag in (tag.strip().removeprefix(b"W/") for tag in known.split(b",")):
        return Reply(b"", asset.media, 304, headers)
    return Reply(asset.body, asset.media, 200, headers)


def _serve(asset: Asset) -> Operation:
    async def handler(call: Call, _: NoQuery) -> Reply:
        return page(asset, call)

    return Operation(
        method="GET",
        path="",
        tag="Node",
        summary="A static file",
        description="",
        handler=handler,
        takes=NO_QUERY,
        roles=None,
        hidden=True,
    )


def operations() -> list[Operation]:
    """An operation for each file; reads them all."""
    return [replace(_serve(load(*entry)), path=path) for path, entry in MANIFEST.items()]
