"""The decider by itself, and what a large fleet would ask of it: the real engine in virtual time, the rest as costs.

`python -m benchmarks.scale decider` measures facts in and plan out, without HTTP and without a store, at 10 to 10,000
servers: what one task costs that is submitted, assigned, answered and ended.

`python -m benchmarks.scale fleet` plays a peak of a fleet: 50 nodes, 10,000 servers, 100 million tasks a day. Arrivals,
run times and health checks come at their virtual times; a turn lasts as long as the engine took for it here, times
`--slower`, plus `--fact-us` for each fact in the decider's process beside the engine and `--commit-ms` and `--task-us`
for its transaction. What comes meanwhile waits for the next turn, so that a decider that is too slow falls behind as a
real one would. The rate is raised until it does. docs/scaling.md has the assumptions and what follows. Nothing of
either is a test: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import time
from collections import deque
from dataclasses import dataclass, field
from random import Random

from taskyard.domain.outcomes import Outcome
from taskyard.domain.task import Spec
from taskyard.engine.facts import Checked, Ended, Fact, NodesSeen, Registered, Submitted
from taskyard.engine.limits import Limits
from taskyard.engine.plan import Check, Dispatch, Found, Plan, Receipt, Snapshot
from taskyard.engine.recovery import recover
from taskyard.host.node import GC_THRESHOLD

START = 1_800_000_000_000
DAY_S = 86_400
KINDS = 50
PAYLOAD = '{"text":"' + "x" * 988 + '"}'
FACTS_PER_TURN = 1_000
CHECK_EVERY_MS = 10_000


class Decider:
    """An engine with servers of `KINDS` capabilities, in a yard that has nothing to look up."""

    def __init__(self, servers: int, slots: int, nodes: int = 1, algorithm: str | None = None) -> None:
        self.rng = Random(1)
        self.now = START
        snapshot = Snapshot()
        if algorithm is not None:
            snapshot.settings["algorithm"] = algorithm
        self.engine, plan = recover(snapshot, Limits(), "node-0", self.now, self.rng)
        self._settle(plan)
        self._number = 0
        self._kinds = min(KINDS, servers)
        for first in range(0, servers, 500):
            self.take([self._registered(number, slots) for number in range(first, min(servers, first + 500))])
        for first in range(0, servers, 500):
            numbers = range(first, min(servers, first + 500))
            self.take([Checked(server_id=f"server-{number}", passed=True, took_ms=1) for number in numbers])
        if nodes > 1:
            self.take([NodesSeen(loads={f"node-{number}": 0 for number in range(nodes)})])

    def _registered(self, number: int, slots: int) -> Registered:
        name = f"server-{number}"
        return Registered(
            server_id=name, made_id=name, who="ops", admin=True, name=name, predict=f"http://{name}/p",
            health_url=f"http://{name}/h", capabilities=(f"kind-{number % self._kinds}",), max_concurrent=slots,
        )  # fmt: skip

    def submitted(self) -> Submitted:
        """The next task, for one kind of servers after the other."""
        self._number += 1
        spec = Spec(
            id=f"task_{self.now:012x}7{self._number:019x}", owner=f"user-{self._number % 20}", type="bench",
            created_at=self.now, capabilities=(f"kind-{self._number % self._kinds}",),
        )  # fmt: skip
        return Submitted(spec=spec, payload=PAYLOAD)

    def take(self, facts: list[Fact]) -> Plan:
        """A turn, as if it were committed."""
        self.engine.lookup(facts)
        plan = self.engine.turn(facts, Found(), self.now, self.rng)
        self._settle(plan)
        return plan

    def _settle(self, plan: Plan) -> None:
        receipt = Receipt(refills=[[] for _ in plan.refills], payloads=dict.fromkeys(plan.payloads, PAYLOAD))
        self.engine.settle(plan, receipt)


def completed(dispatch: Dispatch) -> Ended:
    """A server's good answer."""
    return Ended(
        task_id=dispatch.task_id, attempt=dispatch.attempt, outcome=Outcome.COMPLETED, result='{"ok":true}',
        http_status=200,
    )  # fmt: skip


# --- the decider by itself -------------------------------------------------------------------------------------------


def decider_rate(servers: int, batch: int, seconds: float, nodes: int, algorithm: str | None) -> tuple[float, float]:
    """Tasks a second of one core, and the 99th percentile of a turn in ms. Each turn ends what the last assigned."""
    decider = Decider(servers, slots=max(8, 8 * batch // servers), nodes=nodes, algorithm=algorithm)
    ended: list[Fact] = []
    turns: list[float] = []
    tasks = 0
    while sum(turns) < seconds:
        facts: list[Fact] = [*ended, *(decider.submitted() for _ in range(batch))]
        decider.now += 20
        began = time.process_time()
        plan = decider.take(facts)
        turns.append(time.process_time() - began)
        tasks += len(ended)
        ended = [completed(effect) for effect in plan.effects if isinstance(effect, Dispatch)]
    turns.sort()
    return tasks / sum(turns), turns[len(turns) * 99 // 100] * 1e3


def show_decider(seconds: float) -> None:
    print(f"{'servers':>8} {'tasks a turn':>12} {'nodes':>6} {'tasks/s':>10} {'µs a task':>10} {'turn p99 ms':>12}")
    for servers in (10, 1_000, 10_000):
        for batch in (20, 200, 500):
            for nodes in (1, 50):
                rate, slowest = decider_rate(servers, batch, seconds, nodes, None)
                print(f"{servers:8} {batch:12} {nodes:6} {rate:10.0f} {1e6 / rate:10.1f} {slowest:12.1f}", flush=True)


# --- a fleet ---------------------------------------------------------------------------------------------------------


@dataclass
class Costs:
    """What a turn costs beside the engine: µs a fact in the process, ms and µs a task in the transaction."""

    slower: float
    fact_us: float
    commit_ms: float
    task_us: float


@dataclass
class Peak:
    """What was seen of a peak; times in s."""

    took: float = 0.0
    facts: int = 0
    engine: float = 0.0
    submitted: int = 0
    ended: int = 0
    behind: int = 0
    running: int = 0
    turns: list[float] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)


def play(rate: float, seconds: float, servers: int, slots: int, nodes: int, run_s: float, costs: Costs) -> Peak:
    """So many seconds of virtual time at so many tasks a second. Run times are exponential with a mean of `run_s`."""
    decider = Decider(servers, slots, nodes)
    chance = Random(2)
    peak = Peak()
    arrived: deque[float] = deque()
    ends: list[tuple[float, int, Fact]] = []
    checks = [(chance.random() * CHECK_EVERY_MS / 1000, number) for number in range(servers)]
    heapq.heapify(checks)
    clock, next_arrival, running, serial = 0.0, 0.0, 0, 0
    while clock < seconds:
        while next_arrival <= clock:
            arrived.append(next_arrival)
            next_arrival += chance.expovariate(rate)
        facts: list[Fact] = []
        while ends and ends[0][0] <= clock and len(facts) < FACTS_PER_TURN:
            facts.append(heapq.heappop(ends)[2])
        over = len(facts)
        while checks[0][0] <= clock and len(facts) < FACTS_PER_TURN:
            _, number = heapq.heapreplace(checks, (checks[0][0] + CHECK_EVERY_MS / 1000, checks[0][1]))
            facts.append(Checked(server_id=f"server-{number}", passed=True, took_ms=5))
        decider.now = START + int(clock * 1000)
        while arrived and len(facts) < FACTS_PER_TURN:
            arrived.popleft()
            facts.append(decider.submitted())
            peak.submitted += 1
        if not facts:
            clock = min(next_arrival, checks[0][0], ends[0][0] if ends else next_arrival)
            continue
        began = time.process_time()
        plan = decider.take(facts)
        own = (time.process_time() - began) * costs.slower
        dispatched = [effect for effect in plan.effects if isinstance(effect, Dispatch)]
        length = own + len(facts) * costs.fact_us / 1e6
        length += costs.commit_ms / 1e3 + (over + len(dispatched)) / 2 * costs.task_us / 1e6
        peak.engine += own
        peak.facts += len(facts)
        peak.turns.append(length)
        clock += length
        running += len(dispatched) - over
        peak.ended += over
        peak.running = max(peak.running, running)
        for effect in dispatched:
            peak.waits.append(effect.waited_ms + int(length * 1000))
            serial += 1
            heapq.heappush(ends, (clock + chance.expovariate(1 / run_s), serial, completed(effect)))
        for effect in plan.effects:
            if isinstance(effect, Check):  # of a server that needs one out of turn
                serial += 1
                heapq.heappush(ends, (clock, serial, Checked(server_id=effect.server_id, passed=True, took_ms=5)))
    peak.took = clock
    peak.behind = len(arrived) + sum(1 for at, _, _ in ends if at <= clock)
    return peak


def show_fleet(options: argparse.Namespace) -> None:
    mean = options.tasks_a_day / DAY_S
    costs = Costs(options.slower, options.fact_us, options.commit_ms, options.task_us)
    print(
        f"{options.nodes} nodes, {options.servers} servers of {options.slots} slots, {options.tasks_a_day / 1e6:.0f} "
        f"million tasks a day: {mean:.0f}/s on average, a peak of {options.peak:g} times that; {costs}"
    )
    print(
        f"{'tasks/s':>8} {'of peak':>8} {'facts':>6} {'engine':>7} {'turn p50':>9} {'p99 ms':>8} {'wait p50':>9} "
        f"{'p99 ms':>8} {'running':>8} {'behind':>8}"
    )
    for share in (1 / options.peak, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0):
        rate = mean * options.peak * share
        run_s = min(options.run_s, 0.7 * options.servers * options.slots / rate)
        found = play(rate, options.seconds, options.servers, options.slots, options.nodes, run_s, costs)
        turns, waits = sorted(found.turns), sorted(found.waits)
        print(
            f"{rate:8.0f} {share:8.2f} {found.facts / len(turns):6.0f} {found.engine / found.took:7.0%} "
            f"{turns[len(turns) // 2] * 1e3:9.1f} {turns[len(turns) * 99 // 100] * 1e3:8.1f} "
            f"{waits[len(waits) // 2]:9} {waits[len(waits) * 99 // 100]:8} {found.running:8} {found.behind:8}",
            flush=True,
        )
        if found.behind > rate:  # a second and more
            print(f"it falls behind: the first limit is the decider, at less than {rate:.0f} tasks/s")
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("decider", "fleet"))
    parser.add_argument("--seconds", type=float, default=5, help="for each line: of CPU, or of virtual time")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--servers", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--tasks-a-day", type=float, default=100e6)
    parser.add_argument("--peak", type=float, default=3, help="the busiest hour to the average")
    parser.add_argument("--run-s", type=float, default=10, help="the mean time of a task on its server")
    parser.add_argument("--slower", type=float, default=1.0, help="another machine's engine to this one's")
    parser.add_argument("--fact-us", type=float, default=30, help="of the decider's process, a fact, beside the engine")
    parser.add_argument("--commit-ms", type=float, default=3, help="a transaction, whatever is in it")
    parser.add_argument("--task-us", type=float, default=100, help="a transaction, for each task in it")
    options = parser.parse_args()
    # As a node does, whose memory is as large.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    if options.what == "decider":
        show_decider(options.seconds)
    else:
        show_fleet(options)


if __name__ == "__main__":
    main()
