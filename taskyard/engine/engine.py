"""The engine: takes turns. Facts, what was looked up for them, the time and randomness in; a plan out.

    lookup = engine.lookup(facts)          what memory does not hold
    plan = engine.turn(facts, store.lookup(lookup), now, rng)
    receipt = store.commit(plan)           one transaction
    engine.settle(plan, receipt)           what the store gave back; now the plan's effects may be carried out

Memory runs ahead of the store by the one plan that is under way. If its commit fails, or may have failed, the engine is
thrown away and `recovery.recover` builds another from the store; no effect of the plan has been carried out by then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from taskyard.engine import attempts, servers, tasks
from taskyard.engine.facts import (
    AlgorithmSet,
    Beat,
    CalledBack,
    CancelAsked,
    CheckAsked,
    Checked,
    DrainBegan,
    Ended,
    Fact,
    Judged,
    MaintenanceSet,
    NodeGone,
    NodesSeen,
    Noted,
    PurgeAsked,
    Registered,
    RetryAsked,
    SlotFreed,
    Submitted,
    Unregistered,
)
from taskyard.engine.matching import match
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Dispatch, Found, Lookup, Plan, Receipt
from taskyard.engine.states import is_admitted, task_of
from taskyard.engine.turn import Turn

NOTHING = Found()
TASK_FACTS = (CalledBack, Judged, CancelAsked, RetryAsked, PurgeAsked)


def _drain(turn: Turn, fact: DrainBegan) -> None:
    turn.memory.draining = True


def _see_nodes(turn: Turn, fact: NodesSeen) -> None:
    turn.memory.loads = dict(fact.loads)


HANDLERS: dict[type[Fact], Callable[[Turn, Any], None]] = {
    Submitted: tasks.submit,
    Ended: attempts.answered,
    CalledBack: attempts.called_back,
    Judged: tasks.judge_by_hand,
    CancelAsked: tasks.cancel,
    RetryAsked: tasks.retry,
    PurgeAsked: tasks.purge,
    SlotFreed: attempts.slot_freed,
    Registered: servers.registered,
    Unregistered: servers.unregistered,
    Beat: servers.beat,
    MaintenanceSet: servers.set_maintenance,
    CheckAsked: servers.check_asked,
    Checked: servers.checked,
    AlgorithmSet: servers.set_algorithm,
    Noted: tasks.note,
    DrainBegan: _drain,
    NodesSeen: _see_nodes,
    NodeGone: attempts.node_gone,
}


class Engine:
    """Decides; see the module. One turn at a time."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def lookup(self, facts: Sequence[Fact]) -> Lookup:
        """What the store must be asked before a turn over these facts."""
        ask = Lookup()
        known = self.memory.tasks
        for fact in facts:
            if isinstance(fact, Submitted):
                if fact.key is not None:
                    ask.keys.append((fact.spec.owner, fact.key))
            elif isinstance(fact, TASK_FACTS) and fact.task_id not in known:
                ask.tasks.append(fact.task_id)
        return ask

    def turn(self, facts: Sequence[Fact], found: Found, now: int, rng: Random) -> Plan:
        """Take one turn at time `now` (int ms, never before that of the last turn)."""
        memory = self.memory
        turn = Turn(memory, now, rng, found)
        if memory.damaged:
            tasks.end_damaged(turn)
        early = {task_id for task_id, record in found.tasks.items() if not is_admitted(record)} if found.tasks else ()
        for fact in facts:
            if early and isinstance(fact, TASK_FACTS) and fact.task_id in early and fact.task_id not in turn.touched:
                turn.plan.deferred.append(fact)  # of a task that another node took in: first it must get its place
                continue
            HANDLERS[type(fact)](turn, fact)
        self._timers(turn)
        turn.refresh_servers()
        match(turn)
        return turn.finish()

    def _timers(self, turn: Turn) -> None:
        memory, now = self.memory, turn.now
        most = memory.limits.wakes_per_turn
        for run in memory.run_timers.pop_due(now, most):
            attempts.run_due(turn, run)
        for task in memory.wakes.pop_due(now, most):
            tasks.wake(turn, task)
        for server in memory.server_timers.pop_due(now, most):
            servers.server_due(turn, server)
        if memory.fleet.servers and memory.sweep_at <= now:
            servers.sweep(turn)

    def settle(self, plan: Plan, receipt: Receipt) -> None:
        """Take in what the store read for a committed plan; completes its dispatches with their payloads."""
        memory = self.memory
        for refill, records in zip(plan.refills, receipt.refills, strict=True):
            lane = memory.fleet.lanes.get(refill.lane)
            flow = lane.flows.get((refill.limit_key, refill.avoid)) if lane is not None else None
            if flow is None:
                continue
            entries = []
            for record in records:
                task = memory.tasks.get(record.task.id)
                if task is None:
                    task = task_of(record, memory.fleet)
                    memory.tasks[task.id] = task
                    memory.note_damage(task)
                task.flow = flow
                task.in_window = True
                entries.append(task)
            flow.window.refill(entries, complete=len(records) < refill.limit)
            memory.in_windows += len(entries)
            memory.fleet.announce(flow)
        if plan.wakes is not None:
            for record in receipt.wakes:
                self._adopt_wake(record)
            complete = len(receipt.wakes) < plan.wakes.limit
            last = receipt.wakes[-1].queue if receipt.wakes else None
            memory.wakes.horizon = (
                None if complete or last is None or last.wake_at is None else (last.wake_at, last.task_id)
            )
        if receipt.payloads:
            for effect in plan.effects:
                if isinstance(effect, Dispatch) and effect.payload is None:
                    effect.payload = receipt.payloads.get(effect.task_id)

    def _adopt_wake(self, record: Any) -> None:
        memory = self.memory
        task = memory.tasks.get(record.task.id)
        if task is None:
            task = task_of(record, memory.fleet)
            memory.adopt(task)
            memory.tasks[task.id] = task
        at = task.wake_at
        if at is not None:
            memory.wakes.add(task, at)

    def next_at(self) -> int | None:
        """When a turn is due though no fact comes (int ms), or `None`."""
        return self.memory.next_at()
