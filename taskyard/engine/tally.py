"""The tally: what one turn adds to the statistics, by hour, as rows. Knows names and sums, not what is counted when.

counters = tally.of_type("ocr")
counters[tally.CREATED] += 1
"""

from __future__ import annotations

from taskyard.engine.rows import STAT_NAMES, StatRow

(
    CREATED,
    COMPLETED,
    FAILED,
    CANCELLED,
    TIMED_OUT,
    RETRIED,
    ATTEMPTS_OK,
    ATTEMPTS_FAILED,
    RUN_MS,
    RESPONSES,
    RESPONSE_MS,
    WAITS,
    WAIT_MS,
    ONLINE_MS,
) = range(len(STAT_NAMES))

HOUR_MS = 3_600_000


class Tally:
    """Counters by task type and by server; the yard's are the sums over the types."""

    __slots__ = ("_servers", "_types")

    def __init__(self) -> None:
        self._types: dict[str, list[int]] = {}
        self._servers: dict[str, list[int]] = {}

    def of_type(self, task_type: str) -> list[int]:
        """The counters of a task type, to add to."""
        counters = self._types.get(task_type)
        if counters is None:
            counters = self._types[task_type] = [0] * len(STAT_NAMES)
        return counters

    def of_server(self, server_id: str) -> list[int]:
        """The counters of a server, to add to."""
        counters = self._servers.get(server_id)
        if counters is None:
            counters = self._servers[server_id] = [0] * len(STAT_NAMES)
        return counters

    def rows(self, now: int) -> list[StatRow]:
        """What to add to the store."""
        hour = now // HOUR_MS
        rows = [StatRow._make((hour, "type", key, *counters, now)) for key, counters in self._types.items()]
        for key, counters in self._servers.items():
            active_at = now if any(counters[:ONLINE_MS]) else 0  # time online is no activity
            rows.append(StatRow._make((hour, "server", key, *counters, active_at)))
        if self._types:
            yard = [sum(column) for column in zip(*self._types.values(), strict=True)]
            rows.append(StatRow._make((hour, "yard", "", *yard, now)))
        return rows
