"""Backends that hang or die: one of ten, the whole fleet, again and again; and the herd after a node's restart."""

import asyncio
import time
from pathlib import Path
from typing import Any

from taskyard.prove.torture.calls import Caller
from tests.overload.yard import Machine, Yard, p99, running, timed
from tests.support.nodes import token, until

PATIENCE_S = 90
BACKOFF = {"base": 50, "cap": 50}
FOREVER_MS = 600_000

# One of ten
TEN = 10
CALLERS = 12
CALLS = 600
WORK_MS = 20
TIMEOUT_MS = 3_000

# The whole fleet
MACHINES = 4
SLOTS = 10
WAITING = 20
RETRIES = 3
BUDGET = 0.2

# The herd
HERD = 200
SPREAD_MS = 5_000


def submit(yard: Yard, ms: int, **members: Any) -> str:
    body = {"type": "t", "payload": {"ms": ms}, "retryBackoff": BACKOFF, "timeout": FOREVER_MS} | members
    return str(yard.ask("POST", "/api/task", body)["id"])


def tasks_of(yard: Yard, ids: list[str]) -> list[dict[str, Any]]:
    with yard.node.client("admin") as client:
        return [client.get(f"/api/task/{task}").raise_for_status().json() for task in ids]


def came(machines: list[Machine]) -> list[tuple[int, str]]:
    """All attempts that came to these machines: when, and which task's."""
    return sorted((line["at"], line["task"]) for machine in machines for line in machine.lines())


def count_came(machines: list[Machine], ids: list[str]) -> int:
    return sum(task in ids for _, task in came(machines))


def at_rest(yard: Yard) -> bool:
    now = yard.ask("GET", "/api/stats")
    return bool(now["pendingTasks"] == now["processingTasks"] == 0)


async def calls_of(url: str) -> list[tuple[float, dict[str, Any]]]:
    """`CALLS` synchronous tasks from `CALLERS` at once: the ms of each and what was said."""
    left = iter(range(CALLS))
    found: list[tuple[float, dict[str, Any]]] = []
    body = {
        "type": "t",
        "payload": {"ms": WORK_MS},
        "async": False,
        "timeout": TIMEOUT_MS,
        "retryBackoff": BACKOFF,
    }

    async def one() -> None:
        caller = Caller(url, token("user"))
        for _ in left:
            took, status, said = await timed(url, "POST", "/api/task", body, caller)
            assert status == 200, said
            found.append((took, said))
        caller.close()

    await asyncio.gather(*(one() for _ in range(CALLERS)))
    return found


def test_one_of_ten_that_hangs_leaves_the_others_tasks_unharmed(tmp_path: Path) -> None:
    with Yard.of(tmp_path, {"RETRY_BUDGET": "1", "LINGER": "200ms"}) as yard:
        machines = [yard.add(f"m{number}", maxConcurrent=4) for number in range(TEN)]
        running(calls_of(yard.node.url), PATIENCE_S)  # connections are made, averages learnt
        calm = running(calls_of(yard.node.url), PATIENCE_S)
        assert {said["status"] for _, said in calm} == {"COMPLETED"}
        before = len(machines[0].lines())
        machines[0].freeze()
        found = running(calls_of(yard.node.url), PATIENCE_S)
        machines[0].thaw()
        assert len(found) == CALLS
        assert {said["status"] for _, said in found} == {"COMPLETED"}
        others = [took for took, said in found if said["attempts"] == 1]
        caught = [took for took, said in found if said["attempts"] > 1]
        figures = {"calm": p99([took for took, _ in calm]), "others": p99(others), "caught": len(caught)}
        print(figures)
        # It did hang, and only what was sent to it waited for it.
        assert 0 < len(caught) <= CALLS // TEN
        assert min(caught) > TIMEOUT_MS
        assert figures["others"] < TIMEOUT_MS, figures
        until(lambda: len(machines[0].lines()) > before, what="what was sent to it did not come when it thawed")


def test_a_fleet_that_dies_and_comes_back_is_probed_and_not_flooded(tmp_path: Path) -> None:
    with Yard.of(tmp_path, {"LINGER": "200ms", "RETRY_BUDGET": str(BUDGET)}) as yard:
        machines = [yard.add(f"m{number}", maxConcurrent=SLOTS) for number in range(MACHINES)]
        slots = MACHINES * SLOTS
        in_flight = [submit(yard, FOREVER_MS, maxRetries=RETRIES) for _ in range(slots)]
        until(lambda: len(came(machines)) == slots, PATIENCE_S, "they were not all sent")
        waiting = [submit(yard, 0, maxRetries=0) for _ in range(WAITING)]
        for machine in machines:
            machine.kill()
        until(lambda: all(task["failures"] == 1 for task in tasks_of(yard, in_flight)), PATIENCE_S, "no failure seen")
        # Each server is found out, and then left alone until a check passes.
        states = lambda: [server["status"] for server in yard.ask("GET", "/api/servers")["servers"]]  # noqa: E731
        until(lambda: "online" not in states(), PATIENCE_S, "the outage was not seen", every_s=0.1)
        found = tasks_of(yard, in_flight + waiting)
        assert {task["status"] for task in found} == {"PENDING"}
        assert {task["failures"] for task in tasks_of(yard, waiting)} == {0}
        tried = sum(task["attempts"] for task in found) - slots
        print({"unreached": tried, "slots": slots})
        assert tried <= 2 * slots
        for machine in machines:
            machine.start("hurries")
        until(lambda: count_came(machines, waiting) == WAITING, PATIENCE_S, "the waiting were not sent", every_s=0.1)
        # What was in flight is tried again at once: a retry that goes well makes room for the next.
        until(lambda: at_rest(yard), PATIENCE_S, "not all ended", every_s=0.1)
        ended = tasks_of(yard, in_flight + waiting)
        assert {task["status"] for task in ended} == {"COMPLETED"}
        assert [task["failures"] for task in ended] == [1] * slots + [0] * WAITING
        assert count_came(machines, in_flight) == 2 * slots


def test_a_task_in_flight_survives_as_many_resets_as_it_has_retries(tmp_path: Path) -> None:
    with Yard.of(tmp_path, {"LINGER": "200ms", "RETRY_BUDGET": "1"}) as yard:
        # Room for both tasks on either machine: a retry waits for another server that is alive, even a full one.
        machines = [yard.add(f"m{number}", maxConcurrent=2) for number in range(2)]
        lasting = submit(yard, FOREVER_MS, maxRetries=RETRIES, priority=10)
        failing = submit(yard, FOREVER_MS, maxRetries=RETRIES - 1, priority=10)
        until(lambda: len(came(machines)) == 2, PATIENCE_S, "they were not sent")
        waiting: list[str] = []
        for outage in range(1, RETRIES + 1):
            for machine in machines:
                machine.kill()
            until(
                lambda outage=outage: {task["failures"] for task in tasks_of(yard, [lasting, failing])} == {outage},
                PATIENCE_S,
                "the reset was not seen",
            )
            waiting += [submit(yard, 0, maxRetries=0, priority=0) for _ in range(5)]
            last = outage == RETRIES
            for machine in machines:
                machine.start("hurries" if last else "works")
            if not last:
                until(
                    lambda outage=outage: all(
                        count_came(machines, [task]) == outage + 1 for task in (lasting, failing)
                    ),
                    PATIENCE_S,
                    "they were not sent again",
                )
        until(lambda: at_rest(yard), PATIENCE_S, "not all ended", every_s=0.1)
        ended = tasks_of(yard, [lasting, failing, *waiting])
        assert [task["status"] for task in ended] == ["COMPLETED", "FAILED"] + ["COMPLETED"] * len(waiting)
        assert [task["failures"] for task in ended] == [RETRIES, RETRIES] + [0] * len(waiting)
        assert count_came(machines, [lasting]) == RETRIES + 1
        assert count_came(machines, [failing]) == RETRIES


def test_the_herd_after_a_restart_is_spread(tmp_path: Path) -> None:
    settings = {"LINGER": "200ms", "TASKYARD_RECOVERY_SPREAD": f"{SPREAD_MS}ms"}
    with Yard.of(tmp_path, settings) as yard:
        machine = yard.add("one", maxConcurrent=2 * HERD)
        herd = [submit(yard, FOREVER_MS) for _ in range(HERD)]
        until(lambda: len(came([machine])) == HERD, PATIENCE_S, "they were not all sent")
        yard.node.kill()
        machine.kill()
        machine.start("hurries")
        began = time.time_ns() // 1_000_000
        yard.node.start()
        until(lambda: at_rest(yard), PATIENCE_S, "not all ended", every_s=0.1)
        again = [at for at, _ in came([machine]) if at >= began]
        assert len(again) == HERD
        assert {task["status"] for task in tasks_of(yard, herd)} == {"COMPLETED"}
        most = max(sum(at <= other < at + 1_000 for other in again) for at in again)
        print({"within": max(again) - min(again), "most in a second": most})
        # Evenly it would be a fifth of them in a second.
        assert most <= HERD // 2
        assert max(again) - min(again) > SPREAD_MS // 2
