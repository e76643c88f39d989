"""The loop of turns over a real store: one fact that cannot be stored spoils nothing but itself."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from taskyard.domain.outcomes import Outcome, Status, Word
from taskyard.domain.task import Spec
from taskyard.engine.facts import CalledBack, Checked, Ended, Fact, Registered, Submitted
from taskyard.engine.limits import Limits
from taskyard.engine.plan import Changed, Dispatch, Plan
from taskyard.host.clock import Clock
from taskyard.host.inbox import Inbox
from taskyard.host.loop import TurnLoop
from taskyard.host.storage import Storage
from taskyard.store.sqlite import SqliteStore

NOT_UTF8 = "\ud800"
WITHIN_S = 60


class Host:
    """The loop with all that it needs, and a record of what it let out."""

    def __init__(self, path: Path) -> None:
        self.inbox = Inbox(100, 100)
        self.clock = Clock()
        self.store = SqliteStore(path)
        self.sending: set[tuple[str, int]] = set()
        self.statuses: dict[str, Status] = {}
        self.refused: list[Fact] = []
        self.progress = asyncio.Event()
        self.loop = TurnLoop(
            Storage(self.store, 100),
            self.inbox,
            self.clock,
            Limits(),
            "node-1",
            turn_facts=1000,
            stall_ms=60_000,
            turn_bytes=1 << 22,
            carry_out=self.carry_out,
            fail=lambda facts, reason: None,
            refuse=self.refuse,
            observe=lambda facts, seconds: None,
            sending=lambda: self.sending,
        )

    def carry_out(self, plan: Plan, facts: Sequence[Fact]) -> None:
        for effect in plan.effects:
            if isinstance(effect, Dispatch):
                self.sending.add((effect.task_id, effect.attempt))
            elif isinstance(effect, Changed):
                self.statuses[effect.task_id] = effect.status
        self.progress.set()

    def refuse(self, fact: Fact, reason: str) -> None:
        self.refused.append(fact)

    async def until_all_are(self, status: Status, *tasks: str) -> None:
        async with asyncio.timeout(WITHIN_S):
            while any(self.statuses.get(task) is not status for task in tasks):
                await self.progress.wait()
                self.progress.clear()

    def register(self) -> None:
        self.inbox.put(
            Registered(
                server_id="gpu-1",
                made_id="gpu-1",
                who="root",
                admin=True,
                predict="http://gpu-1.example/predict",
                health_url="http://gpu-1.example/health",
                capabilities=(),
            )
        )
        self.inbox.put(Checked(server_id="gpu-1", passed=True, took_ms=1))

    def submit(self, task: str) -> None:
        spec = Spec(id=task, owner="ann", type="t", created_at=self.clock.now(), max_retries=0)
        self.inbox.put(Submitted(spec=spec, payload="{}"))


def test_ends_that_stand_beside_a_fact_that_cannot_be_stored_are_taken(tmp_path: Path) -> None:
    """Without a retry, a task whose end were forgotten over it would fail as lost."""

    async def play() -> None:
        host = Host(tmp_path)
        await host.loop.start()
        host.register()
        tasks = [f"task_{number}" for number in range(1, 5)]
        for task in tasks:
            host.submit(task)
        await host.until_all_are(Status.PROCESSING, *tasks)
        # All in one batch: the loop has no turn between them.
        host.inbox.put(CalledBack(task_id="task_1", attempt=1, word=Word.COMPLETED, result=NOT_UTF8))
        for task in tasks:
            host.sending.discard((task, 1))
            host.inbox.put(Ended(task_id=task, attempt=1, outcome=Outcome.COMPLETED, result="1"))
        await host.until_all_are(Status.COMPLETED, *tasks)
        assert [type(fact) for fact in host.refused] == [CalledBack]
        await host.loop.stop()
        assert all(host.store.result(task, None) == "1" and not host.store.history(task) for task in tasks)
        host.store.close()

    asyncio.run(play())
