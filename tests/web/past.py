"""A day that a yard has behind it: its figures by hour and by span, as a node would have written them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

from taskyard.domain.spread import Spread
from taskyard.engine.plan import Plan, Writes
from taskyard.engine.rows import HealthRow, LoadRow, SeriesRow, StatRow
from taskyard.store.sqlite import SqliteStore
from tests.web.workload import FLEET, KINDS, Kind, Machine

HOUR_MS, SPAN_MS, MIDDLE_MS = 3_600_000, 288_000, 12_000
HOURS, SPANS = 30, 300
# Of the tasks that run hot, so many a second are done.
HOT = 3.2


def _busy(at: int) -> float:
    """How busy it is at a time (ms), by the hour of the day: quiet at night."""
    return 0.62 - 0.38 * math.cos((at / HOUR_MS % 24 - 3) / 24 * 2 * math.pi)


def _rate(kind: Kind) -> float:
    return HOT if kind.backlog else kind.rate


def _machines(kind: Kind) -> list[Machine]:
    return [one for one in FLEET if set(kind.needs) <= set(one.words) and not one.rest]


class Past:
    """Writes the day before `now` (ms) into a new data folder."""

    def __init__(self, folder: Path, now: int) -> None:
        self._now = now
        self._chance = Random(5)
        store = SqliteStore(folder)
        stats = [row for hour in range(now // HOUR_MS - HOURS, now // HOUR_MS) for row in self._stats(hour)]
        series = [*self._series(SPAN_MS, SPANS), *self._series(MIDDLE_MS, SPANS)]
        store.commit(Plan(now, Writes(stats=stats, series=series, health=list(self._health()))))
        store.commit(Plan(now, Writes(loads=list(self._loads()))))
        store.close()

    def _stats(self, hour: int) -> Iterator[StatRow]:
        yard = [0] * 14
        servers: dict[str, list[int]] = {}
        for kind in KINDS:
            total = [0] * 14
            for machine in _machines(kind):
                created = round(_rate(kind) * 3600 * _busy(hour * HOUR_MS) * self._chance.uniform(0.8, 1.2))
                row = self._counts(kind, machine, created // len(_machines(kind)))
                servers[machine.id] = row
                total = [one + other for one, other in zip(total, row, strict=True)]
            yard = [one + other for one, other in zip(yard, total, strict=True)]
            yield StatRow(hour, "type", kind.name, *total, hour * HOUR_MS)
        for name, row in servers.items():
            yield StatRow(hour, "server", name, *row[:-1], HOUR_MS, hour * HOUR_MS)
        yield StatRow(hour, "yard", "", *yard, hour * HOUR_MS)

    def _counts(self, kind: Kind, machine: Machine, created: int) -> list[int]:
        again = round(created * machine.failing)
        failed = round(created * (0.012 if kind.name == "ocr" else 0.001))
        late = round(created * (0.015 if kind.name == "chat-completion" else 0.0))
        done = created - failed - late
        waits = kind.ms * 3 if kind.backlog else 40
        return [
            created, done, failed, 0, late, again, done, failed + late + again, done * kind.ms, created,
            created * kind.ms, created, created * waits, 0,
        ]  # fmt: skip

    def _series(self, step: int, points: int) -> Iterator[SeriesRow]:
        since = self._now - HOURS * HOUR_MS
        for at in range(self._now // step * step - points * step, self._now // step * step, step):
            busy = _busy(at) * self._chance.uniform(0.9, 1.1)
            submitted = round(sum(map(_rate, KINDS)) * step / 1000 * busy)
            waits, runs = Spread(), Spread()
            waits.add(round(9000 * busy * self._chance.lognormvariate(-0.7, 0.5)) for _ in range(20))
            runs.add(round(1500 * self._chance.lognormvariate(-0.6, 0.7)) for _ in range(20))
            failed = round(submitted * 0.0004)
            yield SeriesRow(
                step, at, since, submitted, submitted - failed, failed, 0, 0, waits.text(), runs.text(),
                round(60 * busy), round(34 * busy),
            )  # fmt: skip

    def _health(self) -> Iterator[HealthRow]:
        begin = self._now - HOURS * HOUR_MS
        for number, machine in enumerate(FLEET):
            yield HealthRow(machine.id, begin + number, "online", None)
        for name, hours, minutes, status, reason in (
            ("gpu-3", 9.2, 26, "degraded", "slow: 2400 ms"),
            ("ocr-2", 14.0, 40, "offline", "connection refused"),
            ("llm-2", 5.5, 55, "maintenance", "new model"),
            ("whisper-1", 19.0, 24, "degraded", "HTTP 503"),
            ("video-1", 6.4, 70, "offline", "connection refused"),
        ):
            at = self._now - round(hours * HOUR_MS)
            yield HealthRow(name, at, status, reason)
            yield HealthRow(name, at + minutes * 60_000, "online", None)
        yield HealthRow("video-1", self._now - round(2.6 * HOUR_MS), "offline", "connection refused")
        yield HealthRow("gpu-4", self._now - round(3.1 * HOUR_MS), "maintenance", "disk swap")

    def _loads(self) -> Iterator[LoadRow]:
        first = self._now // SPAN_MS - SPANS
        for kind in KINDS:
            machines = _machines(kind)
            for machine in machines:
                for at in range(first * SPAN_MS, (first + SPANS) * SPAN_MS, SPAN_MS):
                    busy = _busy(at) * self._chance.uniform(0.85, 1.15)
                    picks = round(_rate(kind) * SPAN_MS / 1000 * busy / len(machines))
                    failed = round(picks * (machine.failing + 0.004))
                    run = round(kind.ms * self._chance.uniform(0.95, 1.1))
                    slots = machine.slots * SPAN_MS
                    yield LoadRow(
                        machine.id, at, min(slots, picks * run), slots, picks, picks - failed, failed,
                        (picks - failed) * run, picks, picks * run,
                        json.dumps({kind.name: [picks - failed, failed, 0, 0]}),
                    )  # fmt: skip
