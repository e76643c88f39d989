"""What a start reads, and the sweep of what is kept no longer. Opens and ends no transaction."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from taskyard.domain.fleet import lane_id_of
from taskyard.engine.plan import FlowCount, Snapshot
from taskyard.engine.rows import STAT_NAMES, LaneRow, RunRow, ServerRow, StatRow
from taskyard.store.connection import Connection
from taskyard.store.damage import Damaged, is_whole
from taskyard.store.figures import Keep, forgetting, read_tail
from taskyard.store.queries import QUERIES
from taskyard.store.records import queued_records, running_record

_RUN: Final = len(RunRow._fields)
# Of how many tasks of a lane one that can be read is looked for.
_LANE_TASKS: Final = 100


def read_snapshot(connection: Connection, wakes: int) -> Snapshot:
    """All that a start needs; at most `wakes` queued tasks by wake time."""
    snapshot = Snapshot()
    for server in map(ServerRow._make, connection.rows(QUERIES["servers"])):
        if is_whole(server):
            snapshot.servers.append(server)
        else:
            snapshot.damaged.append("server " + server.id)
    snapshot.settings = dict(connection.rows(QUERIES["settings"]))
    _read_queue(connection, snapshot, wakes)
    _read_runs(connection, snapshot)
    _read_time(connection, snapshot)
    read_tail(lambda name, values=(): connection.rows(QUERIES[name], values), snapshot)
    return snapshot


def _read_queue(connection: Connection, snapshot: Snapshot, wakes: int) -> None:
    for lane, limit_key, avoid, queued, ready, place in connection.rows(QUERIES["flows"]):
        snapshot.lane_queued[lane] = snapshot.lane_queued.get(lane, 0) + queued
        snapshot.last_place = max(snapshot.last_place, place)
        if ready:
            snapshot.flows.append(FlowCount(lane, limit_key, avoid, ready))
    lanes = json.dumps(list(snapshot.lane_queued))
    for row in map(LaneRow._make, connection.rows(QUERIES["lanes"], (lanes,))):
        lane = row if _is_lane(row) else _lane_of_tasks(connection, row.id) or row
        if is_whole(lane, lane.capabilities):
            snapshot.lanes.append(lane)
        if lane is not row or not is_whole(lane, lane.capabilities):
            snapshot.damaged.append("lane " + str(row.id))
    snapshot.owner_queued = dict(connection.rows(QUERIES["owners"]))
    # One more than asked for tells whether there are more.
    first = queued_records(connection.rows(QUERIES["wakes"], (-1, "", wakes + 1)))
    snapshot.wakes = first[:wakes]
    snapshot.wakes_complete = len(first) <= wakes


def _is_lane(row: LaneRow) -> bool:
    """Whether a lane's row is what was stored: its id is a hash of the rest."""
    try:
        return lane_id_of(frozenset(json.loads(row.capabilities)), row.group_name, row.pin) == row.id
    except (ValueError, TypeError):
        return False


def _lane_of_tasks(connection: Connection, lane: int) -> LaneRow | None:
    """A lane as its queued tasks tell of it."""
    rows = map(LaneRow._make, connection.rows(QUERIES["lane_of_tasks"], (lane, _LANE_TASKS)))
    return next((row for row in rows if _is_lane(row)), None)


def _read_runs(connection: Connection, snapshot: Snapshot) -> None:
    for row in connection.rows(QUERIES["runs"]):
        run = RunRow._make(row[:_RUN])
        snapshot.last_place = max(snapshot.last_place, run.rank & (1 << 48) - 1)
        snapshot.last_time = max(snapshot.last_time, run.started_at, run.beat_at, run.updated_at)
        if run.linger_until is not None:
            snapshot.lingering.append(run)
        elif row[_RUN] is not None:
            snapshot.runs.append(running_record(run, row[_RUN:]))


def _read_time(connection: Connection, snapshot: Snapshot) -> None:
    newest = (connection.row(QUERIES[name]) for name in ("last_created", "last_ended", "last_audited", "last_counted"))
    times = [row[0] for row in newest if row is not None and row[0] is not None]
    times += [max(server.registered_at, server.last_heartbeat) for server in snapshot.servers]
    snapshot.last_time = max(snapshot.last_time, *times, 0)


def sweep(connection: Connection, ended_before: int, keys_before: int, most: int) -> int:
    """Remove at most `most` tasks that ended before a time with all that is theirs, and as many expired keys."""
    rows = connection.rows(QUERIES["ended_before"], (ended_before, most))
    # A row whose id cannot be read is found by none, one with a status that there is not is counted by none: they stay.
    tasks = [task for task in map(_Swept._make, rows) if not isinstance(task.id, Damaged) and task.status in _COUNTERS]
    ids = [(task.id,) for task in tasks]
    tags = [(tag, task.id) for task in tasks for tag in _words(task.tags)]
    connection.change_each(QUERIES["tag_delete"], tags)
    for name in ("payload_delete", "result_delete", "attempts_delete", "failed_delete", "task_delete"):
        connection.change_each(QUERIES[name], ids)
    connection.change_each(QUERIES["stats_add"], [*_removed(tasks), *_no_longer_kept(tasks)])
    keys = connection.rows(QUERIES["keys_before"], (keys_before, most))
    connection.change_each(QUERIES["key_delete"], keys)
    return max(len(ids), len(keys))


def forget(connection: Connection, keep: Keep) -> int:
    """Remove figures that are kept no longer, a bite of each kind; the size of the largest."""
    return max(connection.change(QUERIES[name], values) for name, values in forgetting(keep))


def _words(text: str | None) -> list[str]:
    """Stored JSON text of a list of words; nothing where it cannot be read: they stay in the index, of no task."""
    try:
        return [] if text is None else json.loads(text)
    except ValueError:
        return []


class _Swept(NamedTuple):
    id: str
    tags: str | None
    type: str
    owner: str
    status: int
    ended_at: int


# The counter of each status that ends a task.
_COUNTERS: Final = {2: "completed", 3: "failed", 4: "timed_out", 5: "cancelled"}
_NONE: Final = StatRow._make((0, "removed", "", *([0] * len(STAT_NAMES)), 0))


def _removed(tasks: list[_Swept]) -> list[StatRow]:
    """What the sweep takes away from the tasks that the counters tell of, by type; under the hour 0."""
    rows: dict[str, StatRow] = {}
    for task in tasks:
        row = rows.get(task.type, _NONE)
        name = _COUNTERS[task.status]
        rows[task.type] = row._replace(
            key=task.type,
            created=row.created + 1,
            last_at=max(row.last_at, task.ended_at),
            **{name: getattr(row, name) + 1},
        )
    return list(rows.values())


def _no_longer_kept(tasks: list[_Swept]) -> list[StatRow]:
    """The same by owner, and for all together, to be taken away from the tasks that are counted as kept."""
    rows: dict[str, StatRow] = {}
    for task in tasks:
        name = _COUNTERS[task.status]
        for key in (task.owner, ""):
            row = rows.get(key, _NONE)
            rows[key] = row._replace(
                scope="kept",
                key=key,
                created=row.created - 1,
                last_at=max(row.last_at, task.ended_at),
                **{name: getattr(row, name) - 1},
            )
    return list(rows.values())
