"""What a start reads, within one state of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from taskyard.engine.plan import FlowCount, Snapshot
from taskyard.engine.rows import LaneRow, Record, RunRow, ServerRow
from taskyard.store.figures import read_tail
from taskyard.store.postgres.records import queued_records

_PLACE = (1 << 48) - 1


class Reader(Protocol):
    """One state of the database, and the statements by their names."""

    def rows(self, name: str, values: Sequence[int | str] = ()) -> list[Any]:
        """All rows of a statement."""

    def rows_of(self, name: str, batch: list[tuple[Any, ...]]) -> list[Any]:
        """All rows of a statement that takes a batch."""

    def records(self, ids: list[str]) -> list[Record]:
        """The tasks of a list, in any order."""


def read_snapshot(reader: Reader, wakes: int) -> Snapshot:
    """All that a start needs; at most `wakes` queued tasks by wake time."""
    snapshot = Snapshot()
    snapshot.servers = [ServerRow._make(row) for row in reader.rows("servers")]
    snapshot.settings = dict(reader.rows("settings"))
    _read_queue(reader, snapshot, wakes)
    _read_runs(reader, snapshot)
    _read_time(reader, snapshot)
    read_tail(reader.rows, snapshot)
    return snapshot


def _read_queue(reader: Reader, snapshot: Snapshot, wakes: int) -> None:
    for lane, limit_key, avoid, queued, ready, place in reader.rows("flows"):
        snapshot.lane_queued[lane] = snapshot.lane_queued.get(lane, 0) + queued
        snapshot.last_place = max(snapshot.last_place, place)
        if ready:
            snapshot.flows.append(FlowCount(lane, limit_key, avoid, ready))
    if snapshot.lane_queued:
        lanes = reader.rows_of("lanes", [(lane,) for lane in snapshot.lane_queued])
        snapshot.lanes = [LaneRow._make(row) for row in lanes]
    snapshot.owner_queued = dict(reader.rows("owners"))
    # One more than asked for tells whether there are more.
    first = queued_records(reader.rows("wakes", (-1, "", wakes + 1)))
    snapshot.wakes = first[:wakes]
    snapshot.wakes_complete = len(first) <= wakes


def _read_runs(reader: Reader, snapshot: Snapshot) -> None:
    live = []
    for run in map(RunRow._make, reader.rows("runs")):
        snapshot.last_place = max(snapshot.last_place, run.rank & _PLACE)
        snapshot.last_time = max(snapshot.last_time, run.started_at, run.beat_at, run.updated_at)
        if run.linger_until is not None:
            snapshot.lingering.append(run)
        else:
            live.append(run)
    tasks = {record.task.id: record.task for record in reader.records([run.task_id for run in live])}
    snapshot.runs = [Record(tasks[run.task_id], None, run) for run in live if run.task_id in tasks]


def _read_time(reader: Reader, snapshot: Snapshot) -> None:
    names = ("last_created", "last_ended", "last_audited", "last_counted")
    times = [at for name in names for (at,) in reader.rows(name) if at is not None]
    times += [max(server.registered_at, server.last_heartbeat) for server in snapshot.servers]
    snapshot.last_time = max(snapshot.last_time, *times, 0)
