"""The settings in force and the audit log: what an admin asks of the node itself."""

from __future__ import annotations

import msgspec

from taskyard.api.call import Call
from taskyard.api.meta import VERSION
from taskyard.api.operation import ADMINS, NO_QUERY, NoQuery, Operation
from taskyard.settings.fields import fields
from taskyard.wire.base import Answer
from taskyard.wire.house import AuditEntry, AuditPage, AuditQuery, Setting, SettingsShown
from taskyard.wire.reader import Reader

AUDIT = Reader(AuditQuery)
_PAGE = 50


async def settings(call: Call, _: NoQuery) -> Answer:
    """GET /api/settings"""
    mine = call.node.settings
    sources, values, known = mine.sources(), mine.shown(), fields()
    shown = []
    for name, source in sources.items():
        if name.startswith("types."):
            value = msgspec.to_builtins(mine.types[name.removeprefix("types.")])
            written, default, doc = (
                str(value),
                "",
                "What a submission of this type gets for members that it leaves out.",
            )
        else:
            field, value = known[name], values[name]
            secret = field.kind in ("secrets", "database")
            written = ", ".join(map(str, value)) if isinstance(value, list) else field.show(value)
            default, doc = "" if secret else field.show(field.default), field.doc
        shown.append(
            Setting(
                name=name,
                value=value,
                shown=written,
                default=default,
                source=source.layer,
                origin=source.name,
                doc=doc,
            )
        )
    return SettingsShown(node=call.node.name, version=VERSION, settings=shown)


async def audit(call: Call, query: AuditQuery) -> Answer:
    """GET /api/audit"""
    most = query.limit or _PAGE
    rows = await call.node.read(lambda store: store.audit(most))
    entries = [
        AuditEntry(id=0, at=row.at, who=row.who, action=row.action, target=row.target, details=row.details)
        for row in rows
    ]
    return AuditPage(entries=entries, next_cursor=None)


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/settings",
        tag="Node",
        summary="The settings in force",
        description="Each with its source: the default, the file, the environment or a flag. Secrets are masked.",
        handler=settings,
        takes=NO_QUERY,
        answers=(SettingsShown,),
        roles=ADMINS,
    ),
    Operation(
        method="GET",
        path="/api/audit",
        tag="Node",
        summary="Who changed what",
        description="Written with the change itself; the newest first.",
        handler=audit,
        takes=AUDIT,
        answers=(AuditPage,),
        roles=ADMINS,
    ),
)
