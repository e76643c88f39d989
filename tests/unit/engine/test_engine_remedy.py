"""What would start a task now: doing what is named starts it in the next turn, and nothing smaller does."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from taskyard.domain.outcomes import Effect, Outcome, Status
from taskyard.domain.task import Spec, Task
from taskyard.engine.engine import NOTHING, Engine
from taskyard.engine.facts import AlgorithmSet, Checked, Ended, Fact, MaintenanceSet, Registered, Submitted
from taskyard.engine.limits import Limits
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Plan, Receipt
from taskyard.engine.remedy import SLOTS_MOST, Kind, Remedy, remedy
from taskyard.engine.trial import picture

STATES = 1000
STATES_A_TEST = 250
WORDS = ("a", "b", "c")
ALGORITHMS = ("weighted-round-robin", "round-robin", "least-connections", "response-time", "random")


class Yard:
    """An engine in virtual time whose plans are stored nowhere: memory holds all that is queued."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 1_800_000_000_000
        self.engine = Engine(Memory(Limits(), "node-1"))
        self.tasks = 0

    def take(self, *facts: Fact) -> Plan:
        plan = self.engine.turn(facts, NOTHING, self.now, self.rng)
        self.engine.settle(plan, Receipt())
        return plan

    def some(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word in words if self.rng.random() < 0.5)

    def server(self, number: int) -> None:
        server_id, rng = f"s{number}", self.rng
        url = f"http://{server_id}"
        self.take(
            Registered(
                server_id=server_id,
                made_id="",
                who="ops",
                admin=True,
                predict=f"{url}/predict",
                health_url=f"{url}/health",
                capabilities=self.some(WORDS),
                groups=self.some(("eu",)),
                max_concurrent=rng.randint(1, 3),
                weight=rng.choice((0, 1, 5)),
            )
        )
        if rng.random() < 0.9:
            self.take(Checked(server_id=server_id, passed=True, took_ms=1))
        if rng.random() < 0.2:
            self.take(MaintenanceSet(server_id=server_id, who="ops", admin=True, on=True))

    def submit(self) -> None:
        self.tasks += 1
        rng = self.rng
        spec = Spec(
            id=f"task_{self.tasks:032x}",
            owner="ann",
            type="text",
            created_at=self.now,
            priority=rng.choice((0, 0, 0, 3, 7)),
            capabilities=self.some(WORDS),
            group="eu" if rng.random() < 0.1 else "",
            pin=rng.choice(sorted(self.engine.memory.fleet.servers)) if rng.random() < 0.1 else "",
            backoff_base_ms=0,
        )
        self.take(Submitted(spec=spec, payload="{}"))

    def end_one(self) -> None:
        runs = [run for run in self.engine.memory.runs.values() if run.task is not None]
        if not runs:
            return
        run, rng = self.rng.choice(runs), self.rng
        kind = rng.choice((Outcome.COMPLETED, Outcome.FAILED, Outcome.DECLINED, Outcome.MISCONFIGURED))
        effect = Effect.SET_ASIDE if kind is Outcome.MISCONFIGURED else Effect.NONE
        pause = 5_000 if kind is Outcome.DECLINED else None
        self.take(Ended(task_id=run.task_id, attempt=run.attempt, outcome=kind, effect=effect, pause_ms=pause))

    def waiting(self) -> list[Task]:
        tasks = self.engine.memory.tasks.values()
        return [task for task in tasks if task.status is Status.PENDING and task.due_at is None]


def yard(seed: int) -> Yard:
    """A yard at rest in which tasks wait."""
    made = Yard(seed)
    rng = made.rng
    for number in range(rng.randint(1, 5)):
        made.server(number)
    made.take(AlgorithmSet(name=rng.choice(ALGORITHMS), who="ops"))
    for _ in range(rng.randint(4, 20)):
        made.submit()
        if rng.random() < 0.3:
            made.end_one()
        made.now += rng.randint(0, 50)
    made.now += rng.choice((0, 2_000))
    while made.take().again:
        pass
    return made


def all_candidates(engine: Engine, task: Task) -> Iterator[Remedy]:
    """The candidates as they are promised, written down once more."""
    servers = engine.memory.fleet.servers.values()
    for more in range(1, 9):
        for server in servers:
            yield Remedy(Kind.SLOTS, server.id, more)
    for server in servers:
        for word in task.spec.capabilities:
            if word not in server.capabilities:
                yield Remedy(Kind.CAPABILITY, server.id, 0, word)
    for more in range(1, 11):
        if task.spec.priority + more <= 10:
            yield Remedy(Kind.PRIORITY, "", more)
    for server in servers:
        if server.maintenance:
            yield Remedy(Kind.MAINTENANCE, server.id)


def starts(saved: bytes, now: int, task_id: str, found: Remedy) -> bool:
    """Do it to the real engine (as saved) by the fact that a call becomes; whether the next turn starts the task."""
    engine: Engine = pickle.loads(saved)
    memory = engine.memory
    facts: list[Fact] = []
    if found.kind is Kind.PRIORITY:
        task = memory.tasks[task_id]
        memory.dequeue(task)
        task.rank -= found.more << 48
        memory.enqueue(task)
    elif found.kind is Kind.MAINTENANCE:
        facts.append(MaintenanceSet(server_id=found.server_id, who="ops", admin=True, on=False))
    else:
        server = memory.fleet.servers[found.server_id]
        change = Registered(server_id=server.id, made_id="", who="ops", admin=True, patch=True)
        if found.kind is Kind.SLOTS:
            change.max_concurrent = server.max_concurrent + found.more
        else:
            change.capabilities = (*server.capabilities, found.capability)
        facts.append(change)
    engine.turn(facts, NOTHING, now, Random(1))
    return memory.tasks[task_id].status is Status.PROCESSING


@pytest.mark.parametrize("first", range(0, STATES, STATES_A_TEST))
def test_what_is_named_starts_the_task_and_nothing_smaller_does(first: int) -> None:
    kinds: Counter[Kind | None] = Counter()
    states = 0
    seed = first * 1000
    while states < STATES_A_TEST:
        seed += 1
        made = yard(seed)
        waiting = made.waiting()
        if not waiting:
            continue
        states += 1
        task = made.rng.choice(waiting)
        saved = pickle.dumps(made.engine)
        seen = picture(made.engine.memory, task, made.now, SLOTS_MOST)
        assert seen is not None
        found = remedy(seen, Random(seed))
        assert pickle.dumps(made.engine) == saved, "a trial is felt by the original"
        kinds[None if found is None else found.kind] += 1
        for candidate in all_candidates(made.engine, task):
            started = starts(saved, made.now, task.id, candidate)
            assert started is (candidate == found), (seed, task.id, candidate, found)
            if started:
                break
        else:
            assert found is None, (seed, found)
    assert all(kinds[kind] for kind in (Kind.SLOTS, Kind.CAPABILITY, Kind.MAINTENANCE, None)), kinds
