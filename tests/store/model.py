"""The store as plain dicts: what a plan means, in the fewest words. Shares no code with the real one."""

import copy

from taskyard.engine.plan import FlowCount, Receipt
from taskyard.engine.rows import Record, StatRow
from taskyard.store.port import BadData, Purged
from tests.store.making import fresh

PLACE = 2**48 - 1


class Model:
    def __init__(self):
        self.lanes, self.tasks, self.bodies, self.results, self.keys = {}, {}, {}, {}, {}
        self.queue, self.runs, self.attempts, self.servers, self.stats = {}, {}, {}, {}, {}
        self.settings, self.tags, self.audit = {}, set(), []

    def commit(self, plan):
        before = copy.deepcopy(self.__dict__)
        try:
            self.write(plan.writes)
        except BadData:
            self.__dict__ = before
            raise
        return self.read(plan)

    def write(self, writes):
        for lane in writes.lanes:
            self.lanes.setdefault(lane.id, lane)
        for task in writes.tasks:
            once(self.tasks, task.id, fresh(task))
        for task_id, body in writes.payloads:
            once(self.bodies, task_id, body)
        self.tags |= set(writes.tags)
        for key in writes.keys:
            self.keys[key.owner, key.key] = key
        for (task_id,) in writes.reopened:
            if task_id in self.tasks:
                live = fresh(self.tasks[task_id][: self.tasks[task_id]._fields.index("status")])
                kept = {name: getattr(self.tasks[task_id], name) for name in ("purged", "retried")}
                self.tasks[task_id] = live._replace(**kept)
            self.results.pop(task_id, None)
        for (task_id,) in writes.retried:
            if task_id in self.tasks:
                self.tasks[task_id] = self.tasks[task_id]._replace(retried=1)
        for (task_id,) in writes.unqueued:
            self.queue.pop(task_id, None)
        for row in writes.queued:
            self.queue[row.task_id] = row
        for stopped in writes.stopped:
            self.runs.pop(stopped, None)
        for row in writes.runs:
            self.runs[row.task_id, row.attempt] = row
        for entry in writes.attempts:
            self.add_attempt(entry)
        for end in writes.ended:
            if end.id in self.tasks:
                self.tasks[end.id] = self.tasks[end.id]._replace(**end._asdict())
        for task_id, body in writes.results:
            once(self.results, task_id, body)
        for (task_id,) in writes.purged:
            self.purge(task_id)
        for row in writes.servers:
            self.servers[row.id] = row
        for (server_id,) in writes.unregistered:
            self.servers.pop(server_id, None)
        for row in writes.stats:
            key = row.scope, row.key, row.hour
            old = self.stats.get(key, StatRow._make((row.hour, row.scope, row.key, *[0] * 15)))
            sums = [a + b for a, b in zip(old[3:-1], row[3:-1], strict=True)]
            self.stats[key] = StatRow._make((*row[:3], *sums, max(old.last_at, row.last_at)))
        self.settings.update(writes.settings)
        self.audit += writes.audit

    def add_attempt(self, entry):
        entries = self.attempts.setdefault(entry.task_id, {})
        last = entries[max(entries)] if entries else None
        if entry.count > 1:
            if last is not None and (last.server_id, last.outcome) == (entry.server_id, entry.outcome):
                new = {name: getattr(entry, name) for name in ("ended_at", "http_status", "error")}
                entries[last.attempt] = last._replace(last=entry.attempt, count=last.count + 1, **new)
                return
            entry = entry._replace(count=1)
        once(entries, entry.attempt, entry)

    def purge(self, task_id):
        self.bodies.pop(task_id, None)
        self.results.pop(task_id, None)
        for attempt, entry in self.attempts.get(task_id, {}).items():
            self.attempts[task_id][attempt] = entry._replace(metadata=None)
        if task_id in self.tasks:
            none = dict.fromkeys(("metadata", "result_metadata", "error_details"))
            self.tasks[task_id] = self.tasks[task_id]._replace(purged=1, **none)

    # --- reads -------------------------------------------------------------------------------------------------------

    def waiting(self):
        return [Record(self.tasks[task_id], row, None) for task_id, row in self.queue.items() if task_id in self.tasks]

    def read(self, plan):
        receipt = Receipt()
        for lane, limit_key, avoid, start, limit in plan.refills:
            found = [
                record
                for record in self.waiting()
                if record.queue[2:5] == (lane, limit_key, avoid)
                and record.queue.due_at is None
                and record.queue.rank >= start
            ]
            receipt.refills.append(sorted(found, key=lambda record: (record.queue.rank, record.task.id))[:limit])
        if plan.wakes is not None:
            after = plan.wakes[:2]
            found = [record for record in self.wakes() if (record.queue.wake_at, record.task.id) > after]
            receipt.wakes = found[: plan.wakes.limit]
        receipt.payloads = {task_id: self.bodies[task_id] for task_id in plan.payloads if task_id in self.bodies}
        return receipt

    def wakes(self):
        found = [record for record in self.waiting() if record.queue.wake_at is not None]
        return sorted(found, key=lambda record: (record.queue.wake_at, record.task.id))

    def task(self, task_id, owner):
        task = self.tasks.get(task_id)
        if task is None or owner not in (None, task.owner):
            return None
        live = [run for run in self.runs.values() if run.task_id == task_id and run.linger_until is None]
        return Record(task, self.queue.get(task_id), live[0] if live else None)

    def body(self, bodies, task_id, owner):
        task = self.tasks.get(task_id)
        if task is None or owner not in (None, task.owner):
            return None
        if task.purged:
            raise Purged
        return bodies.get(task_id)

    def history(self, task_id):
        entries = self.attempts.get(task_id, {})
        return [entries[attempt] for attempt in sorted(entries)]

    def flows(self):
        counts = {}
        for row in self.queue.values():
            if row.due_at is None:
                counts[row[2:5]] = counts.get(row[2:5], 0) + 1
        return sorted(map(str, (FlowCount(*flow, count) for flow, count in counts.items())))

    def last_place(self):
        return max((row.rank & PLACE for row in [*self.queue.values(), *self.runs.values()]), default=0)


def once(rows, key, row):
    if key in rows:
        raise BadData(str(key))
    rows[key] = row
