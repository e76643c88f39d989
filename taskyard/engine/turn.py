"""One turn: the plan in the making, and the moves that both change memory and record what to write.

The handlers in `tasks`, `attempts`, `servers` and `matching` call these; nothing else fills a plan. Each task, attempt
and server that a turn touched is written once, at its end, in the state it has then.
"""

from __future__ import annotations

import json
from random import Random

from taskyard.domain.fleet import Lane
from taskyard.domain.health import State
from taskyard.domain.outcomes import AFTER, Outcome, Status
from taskyard.domain.server import Server
from taskyard.domain.task import Run, Task
from taskyard.engine import tally
from taskyard.engine.figures import write_figures
from taskyard.engine.memory import Memory
from taskyard.engine.plan import (
    Abort,
    Answer,
    AttemptOver,
    Changed,
    Found,
    Plan,
    Refill,
    Refusal,
    Result,
    ServerChanged,
    TaskDone,
    Unserved,
    WakeRead,
)
from taskyard.engine.rows import AttemptRow, AuditRow, EndedTask, LaneRow
from taskyard.engine.states import queue_row, run_row, server_row

ERROR_MOST = 4096  # bytes


class Turn:
    """The context of one turn: what it may read, and what it decides. `now` is int ms."""

    def __init__(self, memory: Memory, now: int, rng: Random, found: Found) -> None:
        self.memory = memory
        self.now = now
        self.rng = rng
        self.found = found
        self.plan = Plan(now)
        self.touched: dict[str, Task] = {}
        self.loaded: dict[str, Task] = {}
        self.touched_runs: set[Run] = set()
        self.touched_servers: dict[str, Server] = {}
        self.new_keys: dict[tuple[str, str], tuple[str, str, int]] = {}
        self.tally = tally.Tally()

    # --- answers, counters, audit ------------------------------------------------------------------------------------

    def answer(self, ref: int, result: Result) -> None:
        """Answer whoever waits."""
        if ref:
            self.plan.effects.append(Answer(ref, result))

    def refuse(self, ref: int, code: str, details: str, status: Status | None = None) -> None:
        """Refuse a call."""
        self.answer(ref, Refusal(code, details, status))

    def done(self, ref: int, task: Task) -> None:
        """Say that a call on a task took effect."""
        self.answer(ref, TaskDone(task.id, task.status, self.now))

    def audit(self, who: str, action: str, target: str, details: str | None = None) -> None:
        """Record who did what."""
        self.plan.writes.audit.append(AuditRow(self.now, who, action, target, details))

    # --- tasks -------------------------------------------------------------------------------------------------------

    def touch(self, task: Task) -> None:
        """The task's rows must be written at the end of the turn."""
        self.touched[task.id] = task

    def note_lane(self, lane: Lane) -> None:
        """A lane that the store may not know yet."""
        if not lane.stored:
            lane.stored = True
            capabilities = json.dumps(sorted(lane.capabilities), ensure_ascii=False)
            self.plan.writes.lanes.append(LaneRow(lane.id, capabilities, lane.group, lane.pin))

    def requeue(self, task: Task, due_at: int | None) -> None:
        """Put a task back into the queue, ready or due later."""
        task.due_at = due_at if due_at is not None and due_at > self.now else None
        task.queued_at = task.due_at or self.now
        self.memory.enqueue(task)
        self.touch(task)
        self.plan.effects.append(Changed(task.id, Status.PENDING))

    def end_task(
        self,
        task: Task,
        status: Status,
        *,
        result: str | None = None,
        error: str | None = None,
        error_code: str | None = None,
        error_details: str | None = None,
        metadata: str | None = None,
        http_status: int | None = None,
        run: Run | None = None,
        progress: int | None = None,
        message: str | None = None,
        by: int | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        """End a task that is neither queued nor holds a slot any more.

        `run` is its last attempt where that is known; `by` the number of the attempt whose word ends it, if one does,
        and `outcome` how that one ended.
        """
        task.status = status
        task.ended_by = by
        self.touch(task)
        server_id, started_at, responded_at = task.last_server or None, None, None
        if run is not None:
            server_id, started_at, responded_at = run.server.id, run.started_at, run.responded_at
            progress = run.progress if progress is None else progress
            message = run.message if message is None else message
        self.plan.writes.ended.append(
            EndedTask(  # by position: by name it takes twice as long
                status.value,
                task.attempts,
                task.failures,
                task.lost,
                server_id,
                started_at,
                responded_at,
                self.now,
                task.deadline,
                _cut(error),
                error_code,
                error_details,
                metadata,
                progress,
                message,
                http_status,
                by,
                task.id,
            )
        )
        if result is not None:
            self.plan.writes.results.append((task.id, result))
        spec, place = task.spec, tally.ENDS[status]
        self.tally.of_type(spec.type)[place] += 1
        self.tally.of_owner(spec.owner)[place] += 1
        if status is Status.FAILED or status is Status.TIMEOUT:
            how = (outcome or (Outcome.FAILED if status is Status.FAILED else Outcome.TIMEOUT)).value
            group = self.memory.failures.task(
                self.now, spec.owner, task.id, spec.type, how, http_status, error_code, error, alone=outcome is None
            )
            self.plan.writes.failed.append((task.id, group))
        self.plan.effects.append(Changed(task.id, status))
        if run is None:
            waited = max(0, self.now - task.queued_at)
            self.plan.effects.append(Unserved(task.id, task.attempts, spec, status, waited))

    # --- attempts ----------------------------------------------------------------------------------------------------

    def close_attempt(
        self,
        run: Run,
        outcome: Outcome,
        *,
        given_up: bool,
        error: str | None = None,
        http_status: int | None = None,
        metadata: str | None = None,
    ) -> Task:
        """Part a task from its attempt: history, counters, and the slot (kept for the linger when it is given up)."""
        memory, now = self.memory, self.now
        task = memory.detach(run)
        task.last_outcome = outcome
        server = run.server
        took = max(0, now - run.started_at)
        response = None if run.responded_at is None else max(0, run.responded_at - run.started_at)
        counted = (self.tally.of_type(task.spec.type), self.tally.of_server(server.id))
        key = server.id, task.spec.type, outcome
        self.tally.outcomes[key] = self.tally.outcomes.get(key, 0) + 1
        if outcome is Outcome.COMPLETED:
            ran = self.tally.ran.get(task.spec.type)
            if ran is None:
                ran = self.tally.ran[task.spec.type] = []
            ran.append(took)
            for counters in counted:
                counters[tally.ATTEMPTS_OK] += 1
                counters[tally.RUN_MS] += took
            server.learn(task.spec.type, took)
            server.health.good()
            self.touch_server(server)
        else:
            if AFTER[outcome].counter == "failures":
                for counters in counted:
                    counters[tally.ATTEMPTS_FAILED] += 1
            self.plan.writes.attempts.append(
                AttemptRow(
                    task_id=task.id,
                    attempt=run.attempt,
                    last=run.attempt,
                    server_id=server.id,
                    started_at=run.started_at,
                    ended_at=now,
                    outcome=outcome.value,
                    count=2 if AFTER[outcome].folds else 1,
                    http_status=http_status,
                    error=_cut(error),
                    metadata=metadata,
                )
            )
        if response is not None:
            for counters in counted:
                counters[tally.RESPONSES] += 1
                counters[tally.RESPONSE_MS] += response
        self.plan.effects.append(
            AttemptOver(task.id, run.attempt, server.id, task.spec, outcome, took, response, error)
        )
        if given_up:
            self.give_up(run)
        else:
            self.free(run)
        self.touch(task)
        return task

    def give_up(self, run: Run) -> None:
        """The backend may still be at it: ask it to stop, and hold the slot for the linger."""
        memory = self.memory
        run.linger_until = self.now + memory.limits.linger_ms
        run.dirty = True
        memory.run_timers.set(run, run.linger_until)
        self.touched_runs.add(run)
        server = run.server
        self.plan.effects.append(
            Abort(run.task_id, run.attempt, server.id, run.node, server.cancel_url, server.api_key)
        )

    def free(self, run: Run) -> None:
        """Give a slot back."""
        self.memory.free(run)
        self.touched_runs.add(run)
        self.touched_servers[run.server.id] = run.server

    # --- servers -----------------------------------------------------------------------------------------------------

    def touch_server(self, server: Server) -> None:
        """Something about the server changed: its openness, its timers, its row."""
        self.touched_servers[server.id] = server

    def refresh_servers(self) -> None:
        """Let the fleet know of every server that the facts touched; before the match."""
        fleet = self.memory.fleet
        for server in self.touched_servers.values():
            if server.id in fleet.servers:
                fleet.refresh(server, self.now)

    def _finish_server(self, server: Server) -> None:
        memory = self.memory
        if server.was_online:
            self.tally.of_server(server.id)[tally.ONLINE_MS] += self.now - server.online_booked_at
        server.online_booked_at = self.now
        server.was_online = server.health.state is State.ONLINE
        status = server.status
        change = memory.service.changed(server.id, status, server.health.last_error, self.now)
        if change is not None:
            self.plan.writes.health.append(change)
        if memory.shown_status.get(server.id) != status:
            memory.shown_status[server.id] = status
            server.dirty = True
            self.plan.effects.append(ServerChanged(server.id, status, server.health.last_error))
        memory.rewake_server(server, self.now)
        if server.dirty:
            server.dirty = False
            self.plan.writes.servers.append(server_row(server))

    # --- the end of the turn -----------------------------------------------------------------------------------------

    def finish(self) -> Plan:
        """Write what was touched, ask for refills, and return the plan."""
        memory, writes = self.memory, self.plan.writes
        memory.trim()
        memory.shrink_wakes()
        for task in self.touched.values():
            self._write_task(task)
        for run in self.touched_runs:
            if run.over:
                if run.stored:
                    writes.stopped.append((run.task_id, run.attempt))
            elif run.dirty:
                run.dirty = False
                run.stored = True
                writes.runs.append(run_row(run, self.now))
        for server in self.touched_servers.values():
            if server.id in memory.fleet.servers:
                self._finish_server(server)
        # One that was registered again in this very turn stays.
        writes.unregistered = [row for row in writes.unregistered if row[0] not in memory.fleet.servers]
        writes.stats.extend(self.tally.rows(self.now))
        write_figures(memory, self.now, self.tally, writes)
        self._ask_for_more()
        return self.plan

    def _write_task(self, task: Task) -> None:
        memory, writes = self.memory, self.plan.writes
        queued = task.status is Status.PENDING
        if queued:
            task.row_in_queue = True
            writes.queued.append(queue_row(task, self.now))
            memory.forget_unless_covered(task)
        else:
            if task.row_in_queue:
                task.row_in_queue = False
                writes.unqueued.append((task.id,))
            if task.status.ended:
                memory.drop_payload(task)
                memory.tasks.pop(task.id, None)

    def _ask_for_more(self) -> None:
        memory, plan = self.memory, self.plan
        if memory.short_flows:
            room = max(0, memory.limits.window_entries - memory.in_windows)
            bite = min(memory.limits.refill_bite, max(1, room // len(memory.short_flows)))
            for flow in sorted(memory.short_flows, key=lambda flow: flow.serial):
                if flow.window.tail is not None:
                    plan.refills.append(Refill(flow.lane.id, flow.limit_key, flow.avoid, flow.window.tail, bite))
            memory.short_flows.clear()
        if memory.wakes.wants_more():
            assert memory.wakes.horizon is not None
            at, task_id = memory.wakes.horizon
            plan.wakes = WakeRead(at, task_id, memory.limits.wake_entries // 4)


def _cut(error: str | None) -> str | None:
    """An error as it is kept: at most `ERROR_MOST` bytes of UTF-8."""
    if error is None or len(error) * 4 <= ERROR_MOST:
        return error
    return error.encode()[:ERROR_MOST].decode(errors="ignore")
