"""The oracle's ledger of calls: what clients submitted, what they were told, and which keys are taken.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from typing import Any

from taskyard.prove.oracle.tasks import Tasks
from taskyard.prove.oracle.violation import Violation


class Submissions:
    """Kept from what clients wrote and from the answers of committed turns. `key_life` in ms."""

    def __init__(self, tasks: Tasks, key_life: int) -> None:
        self.keys: dict[tuple[str, str], tuple[str, str, int]] = {}  # (owner, key) -> (hash, task, expiry)
        self.keys_swept = 0  # those that expired before may be gone
        self.acked: set[str] = set()
        self.taken: dict[str, dict[str, Any]] = {}  # stored tasks that have no place yet
        self._tasks = tasks
        self._key_life = key_life
        self._made: dict[int, tuple[dict[str, Any], int]] = {}  # ref -> spec, and how often there was trouble before
        self._troubles = 0
        self._up = False

    def crashed(self) -> None:
        """The node is down: calls that were made are not answered."""
        self._troubles += 1
        self._up = False

    def recovered(self) -> None:
        """It is up."""
        self._up = True

    def read(self, what: str, ref: int, *details: Any) -> None:
        """Judge an entry of a client. Raises `Violation`."""
        if what == "submits":
            self._made[ref] = details[0], self._troubles if self._up else -1
            return
        spec, troubles = self._made[ref]
        if what == "acked":
            self._acked(spec, *details)
        elif what == "refused" and details[0] == "unstorable" and not spec["unstorable"]:
            raise Violation("one bad fact spoils only itself", f"{spec} was refused")
        elif what == "unanswered" and self._up and troubles == self._troubles:
            raise Violation("calls are answered", f"nothing happened to the node, and nobody answered {spec}")

    def is_unstorable(self, ref: int) -> bool:
        """Whether a call was a submission that no store can take."""
        spec, _ = self._made.get(ref, ({"unstorable": False}, 0))
        return bool(spec["unstorable"])

    def _acked(self, spec: dict[str, Any], task_id: str, replayed: bool) -> None:
        task = self._tasks.by_id.get(task_id)
        known = self.taken.get(task_id) if task is None else task.spec
        if known is None:
            if replayed and task_id in self._tasks.swept:
                return
            raise Violation("acknowledged is stored", f"{task_id} was acknowledged and no committed turn admitted it")
        if not replayed and task_id != spec["id"]:
            raise Violation("acknowledged is stored", f"{spec['id']} was answered with {task_id}")
        if replayed and (known["owner"], known["key"]) != (spec["owner"], spec["key"]):
            raise Violation("idempotency", f"{task_id} was replayed for another key: {spec}")
        self.acked.add(task_id)

    def answered(self, now: int, ref: int, kind: str, *details: Any) -> None:
        """Judge what a turn answered to a call; only submissions are known here. Raises `Violation`."""
        spec, _ = self._made.get(ref, (None, 0))
        if spec is not None and kind == "submit":
            self._admitted(now, spec, *details)
        elif spec is not None and kind == "refused" and details[0] == "key_reused":
            known = self._known_key(now, spec)
            if known is None or known[0] == spec["hash"]:
                raise Violation("idempotency", f"key {spec['key']} was refused as reused: {known}")

    def _admitted(self, now: int, spec: dict[str, Any], task_id: str, replayed: bool) -> None:
        if spec["unstorable"] and not replayed:
            raise Violation("one bad fact spoils only itself", f"{spec} was taken")
        name = spec["owner"], spec["key"]
        known = self._known_key(now, spec)
        if known is None and replayed:
            raise Violation("idempotency", f"{task_id} was replayed for a key that was never used: {name}")
        if known is not None and (not replayed or known[:2] != (spec["hash"], task_id)):
            raise Violation("idempotency", f"key {name} made {known} and now {task_id} ({spec['hash']})")
        if not replayed:
            self._tasks.admit(now, spec)
            if spec["key"] is not None:
                self.keys[name] = spec["hash"], task_id, now + self._key_life

    def _known_key(self, now: int, spec: dict[str, Any]) -> tuple[str, str, int] | None:
        known = self.keys.get((spec["owner"], spec["key"])) if spec["key"] is not None else None
        return known if known is not None and known[2] > now else None
