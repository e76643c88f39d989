"""The settings in force and the audit log: what an admin asks of the node itself."""

from __future__ import annotations

import msgspec

from taskyard.api.call import Call
from taskyard.api.cursor import pack, unpack
from taskyard.api.meta import VERSION
from taskyard.api.operation import ADMINS, NO_QUERY, NoQuery, Operation, any_node
from taskyard.engine.rows import AuditRow
from taskyard.settings.fields import fields
from taskyard.store.port import Store
from taskyard.wire.base import Answer
from taskyard.wire.house import AuditEntry, AuditPage, AuditQuery, Setting, SettingsShown
from taskyard.wire.reader import Invalid, Reader

AUDIT = Reader(AuditQuery)
_PAGE = 50
# Rows that are read at once, and that one call may examine.
_STEP = 500
_EXAMINED = 5_000


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
    most, before = query.limit or _PAGE, None
    if query.cursor is not None:
        try:
            before = int(unpack(query.cursor, None))
        except ValueError as error:
            raise Invalid(f"cursor {error}: take nextCursor of the page before as it is, or none") from None

    def read(store: Store) -> AuditPage:
        entries: list[AuditEntry] = []
        last, seen = before, 0
        while seen < _EXAMINED:
            page = store.figures.audit(query.who, query.target, last, _STEP)
            for number, row in page:
                last = number
                if _matches(query, row):
                    entries.append(_entry(number, row))
                    if len(entries) == most:
                        return AuditPage(entries=entries, next_cursor=pack(str(number), None))
            seen += len(page)
            if len(page) < _STEP:
                return AuditPage(entries=entries, next_cursor=None)
        return AuditPage(entries=entries, next_cursor=pack(str(last), None))

    return await call.node.read(read)


def _matches(query: AuditQuery, row: AuditRow) -> bool:
    return (query.who is None or row.who == query.who) and (query.action is None or row.action.startswith(query.action))


def _entry(number: int, row: AuditRow) -> AuditEntry:
    return AuditEntry(id=number, at=row.at, who=row.who, action=row.action, target=row.target, details=row.details)


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
        description=(
            "Written with the change itself; the newest first. A page may be shorter than `limit` and still have a "
            "`nextCursor`: the walk went far and goes on there."
        ),
        handler=audit,
        takes=AUDIT,
        answers=(AuditPage,),
        roles=ADMINS,
        anywhere=any_node,
    ),
)
