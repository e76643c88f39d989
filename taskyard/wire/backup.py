"""Backups of a node: asked for, watched and stopped by admins, on the node's own machine."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from taskyard.wire.base import Answer, Time

STATES = ("running", "done", "failed", "stopped")
State = Annotated[str, Meta(description=f"One of {', '.join(STATES)}.", extra_json_schema={"enum": list(STATES)})]
Bytes = Annotated[int, Meta(ge=0, description="Bytes.")]


class Backup(Answer):
    """The latest backup since the node started."""

    data_dir: Annotated[str, Meta(description="The folder on the node's machine of which it is.")]
    file: Annotated[str, Meta(description="The file on the node's machine; it is there once `state` is done.")]
    state: State
    copied: Bytes
    size: Bytes
    error: str | None
    started_at: Time
    ended_at: Time | None
