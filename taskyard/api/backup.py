"""Backups: asked for, watched and stopped. The file is the node's to name: a caller cannot say where it is written."""

from __future__ import annotations

from taskyard.api.call import Call, Problem
from taskyard.api.operation import ADMINS, NO_BODY, NO_QUERY, NoBody, NoQuery, Operation
from taskyard.api.problems import BACKUP_NOT_FOUND, CONFLICT
from taskyard.host import backup as host
from taskyard.wire.backup import Backup
from taskyard.wire.base import Answer


def _shown(call: Call, backup: host.Backup) -> Backup:
    return Backup(
        data_dir=str(call.node.settings.data_path.absolute()),
        file=str(backup.file),
        state=backup.state,
        copied=backup.copied,
        size=backup.size,
        error=backup.error,
        started_at=backup.started_at,
        ended_at=backup.ended_at,
    )


def _latest(call: Call) -> host.Backup:
    latest = call.node.backups.latest
    if latest is None:
        raise Problem(BACKUP_NOT_FOUND, "No backup was asked for since the node started; POST /api/backup makes one.")
    return latest


async def start(call: Call, _: NoBody) -> Answer:
    """POST /api/backup"""
    try:
        return _shown(call, await call.node.backups.start(call.who.sub))
    except host.Refused as refused:
        raise Problem(CONFLICT, str(refused)) from None


async def show(call: Call, _: NoQuery) -> Answer:
    """GET /api/backup"""
    return _shown(call, _latest(call))


async def stop(call: Call, _: NoQuery) -> Answer:
    """DELETE /api/backup"""
    backup = _latest(call)
    await call.node.backups.stop()
    return _shown(call, backup)


_NONE = {404: "No backup was asked for since the node started."}
OPERATIONS = (
    Operation(
        method="POST",
        path="/api/backup",
        tag="Node",
        summary="Back up the node",
        description=(
            "Copies the database into a new file in the node's `BACKUP_DIR`, a few pages between two turns, and "
            "answers at once; GET shows how far it is. One runs at a time: 503 meanwhile. `taskyard backup` does all "
            "of it and puts the file where you want it. The node's secret key is not in the file."
        ),
        handler=start,
        takes=NO_BODY,
        answers=(Backup,),
        roles=ADMINS,
        errors={409: "There is too little room, the folder cannot be used, or the store has tools of its own."},
    ),
    Operation(
        method="GET",
        path="/api/backup",
        tag="Node",
        summary="The latest backup",
        description="How far it is, or how it ended. Sizes are bytes.",
        handler=show,
        takes=NO_QUERY,
        answers=(Backup,),
        roles=ADMINS,
        errors=_NONE,
    ),
    Operation(
        method="DELETE",
        path="/api/backup",
        tag="Node",
        summary="Stop a backup",
        description="What was copied is removed. One that has ended stays as it is.",
        handler=stop,
        takes=NO_QUERY,
        answers=(Backup,),
        roles=ADMINS,
        errors=_NONE,
    ),
)
