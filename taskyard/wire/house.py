"""The node's own house: the settings in force, and who changed what."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from taskyard.wire.base import Answer, Query, Text, Time


class Setting(Answer):
    """A setting in force."""

    name: str
    value: Annotated[Any, Meta(description="Durations in ms, sizes in bytes, secrets as `***`.")]
    shown: Annotated[str, Meta(description="The value as one would write it; nothing for an absent one.")]
    default: Annotated[str, Meta(description="The default as one would write it.")]
    source: Annotated[str, Meta(extra_json_schema={"enum": ["default", "file", "environment", "flag"]})]
    origin: Annotated[str, Meta(description="The flag, the variable, or the file and the key in it.")]
    doc: str


class SettingsShown(Answer):
    """All settings of this node."""

    node: str
    version: str
    settings: list[Setting]


class AuditQuery(Query):
    """Which entries; members that are absent do not filter."""

    who: Annotated[Text | None, Meta(description="Whose changes.")] = None
    action: Annotated[Text | None, Meta(description="An action, or its beginning, as `server.`.")] = None
    target: Annotated[Text | None, Meta(description="What was changed.")] = None
    limit: Annotated[Annotated[int, Meta(ge=1, le=500)] | None, Meta(description="1-500; default 50.")] = None
    cursor: Annotated[
        Annotated[str, Meta(max_length=512)] | None, Meta(description="`nextCursor` of the page before.")
    ] = None


class AuditEntry(Answer):
    """Who changed what, when."""

    id: int
    at: Time
    who: str
    action: str
    target: str
    details: str | None


class AuditPage(Answer):
    """A page of the audit log, the newest first."""

    entries: list[AuditEntry]
    next_cursor: Annotated[str | None, Meta(description="For `cursor`: the next page; null on the last one.")]
