"""Why tasks wait: each reason is reached, holds for whatever is queued, and making it false starts the task."""

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from taskyard.domain.outcomes import Effect, Outcome, Status
from taskyard.domain.server import Server
from taskyard.domain.task import Task
from taskyard.engine.facts import Beat, DrainBegan, MaintenanceSet, Registered, RetryAsked, Unregistered
from taskyard.engine.funnel import Step, Survey
from taskyard.engine.limits import Limits
from taskyard.engine.position import ahead
from taskyard.engine.states import task_of
from taskyard.engine.why import Code, Why, fullest, why_lane, why_task
from taskyard.store.port import TaskQuery
from tests.support.turns import Desk

SEEDS = 28
MADE_FALSE_LEAST = 10
ROUNDS_MOST = 16


def waiting(desk: Desk, task_id: str) -> Task:
    """The task as memory has it, or the store."""
    return desk.engine.memory.tasks.get(task_id) or task_of(desk.record(task_id), desk.engine.memory.fleet)


def why(desk: Desk, task_id: str, halted: str | None = None) -> Why:
    return why_task(desk.engine.memory, waiting(desk, task_id), desk.now, halted)


def code(desk: Desk, task_id: str) -> Code:
    return why(desk, task_id).reason.code


def params(desk: Desk, task_id: str) -> dict[str, Any]:
    return why(desk, task_id).reason.params


def also(desk: Desk, task_id: str) -> list[Code]:
    return [reason.code for reason in why(desk, task_id).also]


def left(found: Why) -> dict[str, int]:
    return {step.step.value: step.count for step in found.funnel}


def maintain(desk: Desk, server_id: str, on: bool, reason: str | None = None) -> None:
    desk.take(MaintenanceSet(server_id=server_id, who="ops", admin=True, on=on, reason=reason))


def unreached(desk: Desk, task_id: str) -> None:
    desk.end(task_id, Outcome.UNREACHED, error="refused")


def set_aside(desk: Desk, task_id: str) -> None:
    desk.end(task_id, Outcome.MISCONFIGURED, http_status=401, effect=Effect.SET_ASIDE)


# --- each reason -----------------------------------------------------------------------------------------------------


def test_scheduled(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(run_at=desk.now + 5_000)
    assert (code(desk, task), params(desk, task)) == (Code.SCHEDULED, {"at": desk.now + 5_000})
    assert also(desk, task) == []
    nobody = desk.submit(run_at=desk.now + 5_000, capabilities=("8k",))
    assert (code(desk, nobody), also(desk, nobody)) == (Code.SCHEDULED, [Code.NO_CAPABILITY])


def test_backoff(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=3)
    desk.fail(task)
    found = params(desk, task)
    assert code(desk, task) is Code.BACKOFF
    assert found == {"at": desk.now + 500, "outcome": "failed", "server": "s1", "failures": 1, "allowed": 4}


def test_no_servers(desk: Desk) -> None:
    task = desk.submit()
    assert (code(desk, task), left(why(desk, task))["registered"]) == (Code.NO_SERVERS, 0)


def test_no_capability_and_no_combination(desk: Desk) -> None:
    for number in range(3):
        desk.server(f"s{number}", capabilities=("video", "hdr")[: 1 + number // 2])
    desk.server("s9", capabilities=("4k",))
    eight = desk.submit(capabilities=("video", "8k"))
    assert code(desk, eight) is Code.NO_CAPABILITY
    assert params(desk, eight) == {"missing": ["8k"], "others": {"video": 3}, "closest": "s0", "lacks": ["8k"]}
    every = desk.submit(capabilities=("video", "4k", "hdr"))
    assert code(desk, every) is Code.NO_COMBINATION
    wanted = {"capabilities": ["4k", "hdr", "video"], "closest": "s2", "lacks": ["4k"]}
    assert params(desk, every) == wanted
    funnel = why(desk, every).funnel
    assert (funnel[1].step, funnel[1].count) == (Step.ABLE, 0)
    assert sorted(funnel[1].out) == [(name, "unable") for name in ("s0", "s1", "s2", "s9")]


def test_no_group(desk: Desk) -> None:
    desk.server("s1", groups=("us",))
    desk.server("s2")
    task = desk.submit(group="eu")
    assert (code(desk, task), params(desk, task)) == (Code.NO_GROUP, {"group": "eu", "elsewhere": 2})


def test_pinned(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    nobody, unfit, busy, waits = (
        desk.submit(pin="s2"),
        desk.submit(pin="s2", capabilities=("x",)),
        desk.submit(pin="s1"),
        desk.submit(pin="s1"),
    )
    assert (code(desk, nobody), params(desk, nobody)) == (Code.PINNED, {"server": "s2", "state": "unknown"})
    assert desk.status(busy) is Status.PROCESSING
    assert (code(desk, waits), params(desk, waits)) == (Code.PINNED, {"server": "s1", "state": "full"})
    assert also(desk, waits) == [Code.FULL]
    desk.server("s2")
    desk.server("s3", capabilities=("x",))
    assert params(desk, unfit) == {"server": "s2", "state": "unfit"}
    maintain(desk, "s1", True)
    assert params(desk, waits)["state"] == "maintenance"
    assert also(desk, waits) == [Code.ALL_DOWN]


def test_all_down(desk: Desk) -> None:
    for name in ("s1", "s2", "s3"):
        desk.server(name)
    for name in ("s1", "s2"):
        for _ in range(3):
            desk.check(name, False)
    maintain(desk, "s3", True, "disk swap")
    task = desk.submit()
    assert code(desk, task) is Code.ALL_DOWN
    found = params(desk, task)
    assert (found["count"], found["states"], found["reason"]) == (3, {"offline": 2, "maintenance": 1}, "disk swap")
    assert left(why(desk, task)) | {"in_service": 2, "alive": 0, "free": 0} == left(why(desk, task))


def test_misconfigured_wholly_and_in_part(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    task = desk.submit()
    set_aside(desk, task)
    assert code(desk, task) is Code.MISCONFIGURED
    assert params(desk, task) == {"count": 1, "able": 1, "servers": ["s1"], "at": desk.now + 60_000}
    desk.server("s2", max_concurrent=1)
    assert desk.server_of(task) == "s2"
    other = desk.submit()
    assert (code(desk, other), also(desk, other)) == (Code.FULL, [Code.MISCONFIGURED])
    assert params(desk, other) == {"count": 1, "able": 2, "servers": ["s2"], "used": 1, "slots": 1}


def test_declined(desk: Desk) -> None:
    for name in ("s1", "s2"):
        desk.server(name)
    first, second = desk.submit(), desk.submit()
    desk.decline(first, 9_000)
    desk.decline(second, 4_000)
    while desk.status(first) is Status.PROCESSING:  # it went on to the other one
        desk.decline(first, 4_000)
    assert (code(desk, first), params(desk, first)["count"]) == (Code.DECLINED, 2)
    assert params(desk, first)["at"] == desk.now + 4_000


def test_unreached(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    unreached(desk, task)
    assert (code(desk, task), params(desk, task)["servers"]) == (Code.UNREACHED, ["s1"])


def test_avoiding(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    task = desk.submit()
    desk.server("s2", max_concurrent=1)
    other = desk.submit()
    assert desk.server_of(other) == "s2"
    desk.fail(task)
    desk.advance(600)
    assert (code(desk, task), params(desk, task)) == (Code.AVOIDING, {"server": "s1", "at": desk.now - 100 + 30_000})
    third = desk.submit()
    assert desk.server_of(third) == "s1"
    assert (code(desk, task), also(desk, task)) == (Code.FULL, [Code.AVOIDING])
    desk.complete(other)
    assert desk.server_of(task) == "s2"


def test_retry_budget(desk: Desk) -> None:
    desk.server("s1", max_concurrent=9)
    tasks = [desk.submit() for _ in range(5)]
    desk.take(*(desk.ended(task, Outcome.FAILED, http_status=500, error="broken") for task in tasks))
    desk.advance(600)
    held = [task for task in tasks if desk.status(task) is Status.PENDING]
    assert held
    for task in held:
        assert code(desk, task) is Code.RETRY_BUDGET
        assert desk.now < params(desk, task)["at"] <= desk.now + 1_000


def test_full_names_its_servers_and_what_they_hold(desk: Desk) -> None:
    desk.server("s1", max_concurrent=2)
    desk.server("s2", max_concurrent=1)
    for _ in range(3):
        desk.submit()
    task = desk.submit()
    assert code(desk, task) is Code.FULL
    assert params(desk, task) == {"count": 2, "able": 2, "servers": ["s1", "s2"], "used": 3, "slots": 3}
    steps = left(why(desk, task))
    assert list(steps) == ["registered", "able", "in_service", "alive", "trusted", "willing", "reached", "free"]
    assert list(steps.values()) == [2] * 7 + [0]


def test_next_and_not_deciding(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    first, second = desk.submit(), desk.submit()
    memory = desk.engine.memory
    memory.fleet.servers["s1"].max_concurrent = 2  # as between the change of a server and the next turn
    assert code(desk, second) is Code.NEXT
    assert why(desk, second, "stalled").reason.code is Code.NOT_DECIDING
    memory.fleet.servers["s1"].max_concurrent = 1
    desk.take(DrainBegan())
    desk.complete(first)
    assert desk.status(second) is Status.PENDING
    halted = why(desk, second, "draining")
    assert (halted.reason.code, halted.reason.params) == (Code.NOT_DECIDING, {"state": "draining"})


def test_a_lane_says_why_most_of_its_tasks_wait(desk: Desk) -> None:
    memory = desk.engine.memory
    late = desk.submit(run_at=desk.now + 9_000, capabilities=("x",))
    soon = desk.submit(run_at=desk.now + 5_000, capabilities=("x",))
    lane = waiting(desk, soon).lane
    assert (fullest(lane), waiting(desk, late).lane) == (None, lane)
    found = why_lane(memory, lane, Survey(memory.fleet, desk.now), None, waiting(desk, soon))
    assert found.reason.params == {"at": desk.now + 5_000}
    unknown = why_lane(memory, lane, Survey(memory.fleet, desk.now), None, None)
    assert (unknown.reason.code, unknown.reason.params) == (Code.SCHEDULED, {"at": None})
    assert [reason.code for reason in found.also] == [Code.NO_SERVERS]
    desk.submit(capabilities=("x",))
    ready = why_lane(memory, lane, Survey(memory.fleet, desk.now), None, None)
    assert ready.reason.code is Code.NO_SERVERS


def test_a_funnel_names_at_most_twenty_servers_a_step(desk: Desk) -> None:
    for number in range(25):
        desk.server(f"s{number:02}")
    funnel = why(desk, desk.submit(capabilities=("x",))).funnel
    assert (funnel[1].count, len(funnel[1].out)) == (0, 20)


# --- whatever the state ----------------------------------------------------------------------------------------------

WORDS = ("a", "b", "c")
GROUPS = ("east", "west")


class Muddle:
    """A yard in which everything that can keep a task from starting happens by chance."""

    def __init__(self, path: Path, seed: int) -> None:
        self.chance = Random(seed)
        small = Limits(window_entries=6, window_least=2, refill_bite=2)
        self.desk = Desk(path, small if self.chance.random() < 0.5 else Limits())
        for number in range(self.chance.choice((0, 1, 2, 2, 3, 3, 4, 5))):
            self.desk.server(
                f"s{number}",
                capabilities=self.some(WORDS, 0.8),
                groups=self.some(GROUPS, 0.5),
                max_concurrent=self.chance.randint(1, 3),
                weight=self.chance.randint(0, 2),
            )

    def some(self, words: tuple[str, ...], share: float) -> tuple[str, ...]:
        return tuple(word for word in words if self.chance.random() < share)

    @property
    def servers(self) -> dict[str, Server]:
        return self.desk.engine.memory.fleet.servers

    def queued(self) -> list[str]:
        page = self.desk.store.tasks(TaskQuery(None, statuses=(Status.PENDING.value,), limit=500))
        return [record.task.id for record in page.records]

    def running(self) -> list[str]:
        page = self.desk.store.tasks(TaskQuery(None, statuses=(Status.PROCESSING.value,), limit=500))
        return [record.task.id for record in page.records]

    def step(self) -> None:
        """Something happens."""
        chance, desk = self.chance, self.desk
        running = self.running()
        event = chance.randrange(20)
        if event < 4 or not self.servers:
            delay = chance.choice((None, None, None, desk.now + 5_000))
            desk.take(*(desk.submitted(**self.wish(), run_at=delay) for _ in range(chance.randint(1, 4))))
        elif event < 12 and running:
            apart = (partial(unreached, desk), partial(set_aside, desk))
            ends = (desk.fail, desk.fail, desk.fail, desk.complete, desk.decline, *apart)
            chance.choice(ends)(chance.choice(running))
        elif event < 16:
            desk.advance(chance.choice((0, 700, 1_500)))
        elif event == 16:
            maintain(desk, chance.choice(list(self.servers)), True, "works")
        elif event == 17:
            server_id = chance.choice(list(self.servers))
            for _ in range(chance.randint(1, 3)):
                desk.check(server_id, False)
        elif event == 18:
            server_id = chance.choice(list(self.servers))
            if chance.random() < 0.5:
                desk.take(Beat(server_id=server_id, who="ops", admin=True, status="draining"))
            else:
                desk.take(Unregistered(server_id=server_id, who="ops", admin=True))
        else:
            desk.submit(**self.wish())

    def wish(self) -> dict[str, Any]:
        chance = self.chance
        return {
            "capabilities": self.some(WORDS, 0.25),
            "group": chance.choice(GROUPS) if chance.random() < 0.1 else "",
            "pin": f"s{chance.randrange(5)}" if chance.random() < 0.1 else "",
            "priority": chance.choice((0, 0, 5)),
            "max_retries": 9,
        }

    # --- making a reason false ---------------------------------------------------------------------------------------

    def amend(self, task_id: str) -> None:
        """Do what makes the task's reason false, and let one turn come."""
        desk = self.desk
        found = why(desk, task_id)
        reason, spec = found.reason, waiting(desk, task_id).spec
        if reason.code is Code.PINNED and reason.params["state"] not in ("unknown", "unfit"):
            reason = found.also[0]
        args = reason.params
        match reason.code:
            case Code.SCHEDULED | Code.BACKOFF:
                desk.take(RetryAsked(task_id=task_id, owner=None, who="ops"))
            case Code.NO_SERVERS | Code.AVOIDING:
                groups = (spec.group,) if spec.group else ()
                desk.server(spec.pin or "twin", capabilities=spec.capabilities, groups=groups)
            case Code.NO_CAPABILITY | Code.NO_COMBINATION:
                self.change(args["closest"], capabilities=(*self.servers[args["closest"]].capabilities, *args["lacks"]))
            case Code.NO_GROUP:
                able = next(left for left in found.funnel if left.step is Step.IN_GROUP).out[0][0]
                self.change(able, groups=(*self.servers[able].groups, args["group"]))
            case Code.PINNED:
                groups = (spec.group,) if spec.group else ()
                if args["state"] == "unfit":
                    self.change(spec.pin, capabilities=spec.capabilities, groups=groups)
                else:
                    desk.server(spec.pin, capabilities=spec.capabilities, groups=groups)
            case Code.ALL_DOWN:
                for server_id in args["servers"]:
                    self.bring_back(server_id)
            case Code.MISCONFIGURED:
                for server_id in args["servers"]:
                    self.change(server_id, api_key="another")
            case Code.DECLINED:
                desk.advance(args["at"] - desk.now)
            case Code.UNREACHED:
                for server_id in args["servers"]:
                    desk.check(server_id, True)
            case Code.RETRY_BUDGET:
                for _ in range(11):  # a second more than the budget remembers
                    if self.starts(task_id) or code(desk, task_id) is not Code.RETRY_BUDGET:
                        break
                    desk.advance(1_000)
            case Code.FULL:
                place = position(desk, task_id)
                first = args["servers"][0]
                self.change(first, max_concurrent=self.servers[first].max_concurrent + place)
            case _:
                raise AssertionError(f"{reason} after a turn")

    def change(self, server_id: str, **members: Any) -> None:
        self.desk.take(Registered(server_id=server_id, made_id="", who="ops", admin=True, patch=True, **members))

    def bring_back(self, server_id: str) -> None:
        desk = self.desk
        server = self.servers[server_id]
        if server.removing_until is not None:
            members = {"capabilities": server.capabilities, "groups": server.groups}
            desk.take(desk.registered(server_id, max_concurrent=server.max_concurrent, **members))
        maintain(desk, server_id, False)
        desk.take(Beat(server_id=server_id, who="ops", admin=True, status="healthy"))
        for _ in range(3):
            desk.check(server_id, True)

    def starts(self, task_id: str) -> bool:
        return self.desk.status(task_id) is not Status.PENDING

    def close(self) -> None:
        self.desk.close()


def position(desk: Desk, task_id: str) -> int:
    """The place of a ready task as the API tells it."""
    before = ahead(desk.engine.memory, waiting(desk, task_id))
    assert before is not None
    return 1 + before.known + sum(desk.store.ready_between(*outside, 10_000) for outside in before.outside)


def qualify(desk: Desk, task: Task) -> set[str]:
    """The servers that a task may use, whatever their state; written from the contract."""
    return {
        server.id
        for server in desk.engine.memory.fleet.servers.values()
        if set(task.spec.capabilities) <= set(server.capabilities)
        and (not task.spec.group or task.spec.group in server.groups)
        and task.spec.pin in ("", server.id)
    }


def test_whatever_waits_has_a_reason_and_without_it_it_starts(tmp_path: Path) -> None:
    held: set[Code] = set()
    made_false: set[Code] = set()
    for seed in range(SEEDS):
        muddle = Muddle(tmp_path / str(seed), seed)
        try:
            for _ in range(24):
                muddle.step()
            held |= reasons_of_all(muddle)
            queued = muddle.queued()
            for task_id in muddle.chance.sample(queued, min(3, len(queued))):
                made_false |= until_it_starts(muddle, task_id)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            muddle.close()
    never = {Code.NEXT, Code.NOT_DECIDING}  # after a turn of a node that decides
    assert not held & never
    assert len(made_false) >= MADE_FALSE_LEAST, made_false


def reasons_of_all(muddle: Muddle) -> set[Code]:
    """Whatever is queued after a turn has a reason and a place; those that were met."""
    desk = muddle.desk
    queued = muddle.queued()
    ready = [task for task_id in queued if (task := waiting(desk, task_id)).due_at is None]
    may = {task.id: qualify(desk, task) for task in ready}
    for task in ready:
        able = may[task.id]
        before = [other for other in ready if other.rank < task.rank]
        rivals = [other for other in before if may[other.id] & able or (not able and other.lane is task.lane)]
        assert position(desk, task.id) == len(rivals) + 1
    met: set[Code] = set()
    for task_id in queued:
        found = why(desk, task_id)
        counts = [step.count for step in found.funnel]
        assert counts == sorted(counts, reverse=True)
        assert counts[0] == len(muddle.servers)
        met |= {found.reason.code, *(reason.code for reason in found.also)}
    return met


def until_it_starts(muddle: Muddle, task_id: str) -> set[Code]:
    """Make one reason after the other false until the task starts; those that were. None may hold on."""
    desk = muddle.desk
    met: set[Code] = set()
    before = None
    for _ in range(ROUNDS_MOST):
        if muddle.starts(task_id):
            return met
        reason = why(desk, task_id).reason
        assert (reason.code, reason.params) != before, f"{before} was made false and holds still"
        before = reason.code, reason.params
        met.add(reason.code)
        muddle.amend(task_id)
    raise AssertionError(f"it does not start: {before}")
