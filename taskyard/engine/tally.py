"""The tally: what one turn adds to the statistics, by hour, as rows. Knows names and sums, not what is counted when.

counters = tally.of_type("ocr")
counters[tally.CREATED] += 1
"""

from __future__ import annotations

from collections.abc import Sequence

from taskyard.domain.outcomes import Outcome, Status
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

# The counter of each status that ends a task.
ENDS = {
    Status.COMPLETED: COMPLETED,
    Status.FAILED: FAILED,
    Status.TIMEOUT: TIMED_OUT,
    Status.CANCELLED: CANCELLED,
}
HOUR_MS = 3_600_000


class Tally:
    """Counters by task type, by server and by owner; the yard's are the sums over the types.

    `waited` are the ms that tasks waited for their first attempt, `ran` those that completed attempts took, by type;
    `picks` counts attempts by their server, `outcomes` their ends by server, type and outcome.
    """

    __slots__ = ("_owners", "_servers", "_types", "outcomes", "picks", "ran", "waited")

    def __init__(self) -> None:
        self.waited: list[int] = []
        self.ran: dict[str, list[int]] = {}
        self.picks: dict[str, int] = {}
        self.outcomes: dict[tuple[str, str, Outcome], int] = {}
        self._owners: dict[str, list[int]] = {}
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

    def of_owner(self, owner: str) -> list[int]:
        """How many more tasks of an owner there are, to add to: in all (`CREATED`), and by how they ended."""
        counters = self._owners.get(owner)
        if counters is None:
            counters = self._owners[owner] = [0] * len(STAT_NAMES)
        return counters

    def yard(self) -> list[int]:
        """The whole yard's counters."""
        if not self._types:
            return [0] * len(STAT_NAMES)
        return [sum(column) for column in zip(*self._types.values(), strict=True)]

    def served(self) -> dict[str, Sequence[int]]:
        """By server: completed and failed attempts, ms of the completed ones, answers and ms until these."""
        return {
            key: (counters[ATTEMPTS_OK], counters[ATTEMPTS_FAILED], *counters[RUN_MS : RESPONSE_MS + 1])
            for key, counters in self._servers.items()
        }

    def rows(self, now: int) -> list[StatRow]:
        """What to add to the store."""
        hour = now // HOUR_MS
        rows = [StatRow._make((hour, "type", key, *counters, now)) for key, counters in self._types.items()]
        for key, counters in self._servers.items():
            active_at = now if any(counters[:ONLINE_MS]) else 0  # time online is no activity
            rows.append(StatRow._make((hour, "server", key, *counters, active_at)))
        if self._types:
            rows.append(StatRow._make((hour, "yard", "", *self.yard(), now)))
        if self._owners:
            kept = [sum(column) for column in zip(*self._owners.values(), strict=True)]
            rows.append(StatRow._make((0, "kept", "", *kept, now)))
            rows += [StatRow._make((0, "kept", key, *counters, now)) for key, counters in self._owners.items()]
        return rows
