"""Bulk changes of tasks: pages of at most 500, one turn's worth at a time, the rest in the background.

Jobs live in memory, bounded in number, and do not outlive the node. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from taskyard.domain.outcomes import Status
from taskyard.engine.facts import CancelAsked, Fact, Noted, RetryAsked
from taskyard.engine.plan import TaskDone
from taskyard.engine.states import ended_status
from taskyard.host.errors import Overloaded
from taskyard.host.port import NodePort
from taskyard.store.port import Store, TaskQuery

PAGE = 500
# How often a shed page is tried again before the job fails, and the longest wait in between, in seconds.
_TRIES = 60
_WAIT_MOST_S = 5.0

log = structlog.get_logger("taskyard.bulk")

ACTIONS: dict[str, Callable[[str, str | None, str], Fact]] = {
    "retry": lambda task_id, owner, who: RetryAsked(task_id=task_id, owner=owner, who=who),
    "cancel": lambda task_id, owner, who: CancelAsked(task_id=task_id, owner=owner, who=who),
}
# Without a status in the filter: the states in which the action can do something.
DEFAULT_STATUSES: dict[str, tuple[Status, ...]] = {
    "retry": (Status.FAILED, Status.TIMEOUT, Status.CANCELLED),
    "cancel": (Status.PENDING, Status.PROCESSING),
}


@dataclass(slots=True)
class Job:
    """A bulk change and how far it is. `owner` restricts it to that subject's tasks; `state` is running, done, stopped
    or failed. What is left to do: `ids`, or the tasks of `query`."""

    id: str
    action: str
    who: str
    owner: str | None
    dry_run: bool
    created_at: int
    updated_at: int
    ids: list[str] = field(default_factory=list)
    query: TaskQuery | None = None
    told: str = ""  # which tasks, as the caller said it: for the audit log
    state: str = "running"
    error: str | None = None
    matched: int = 0
    changed: int = 0
    skipped: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    task: asyncio.Task[None] | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return not self.ids and self.query is None


class BulkJobs:
    """All bulk changes of a node."""

    def __init__(self, node: NodePort) -> None:
        self._node = node
        self._jobs: dict[str, Job] = {}

    def get(self, job_id: str, owner: str | None) -> Job | None:
        """A job; others' are as if they did not exist (`owner` `None`: an admin)."""
        job = self._jobs.get(job_id)
        return job if job is not None and owner in (None, job.who) else None

    async def start(self, job: Job) -> Job:
        """Do the first page at once and leave the rest to the background. Raises `Overloaded`, `Unavailable`."""
        running = [known for known in self._jobs.values() if known.state == "running"]
        mine = sum(known.who == job.who for known in running)
        settings = self._node.settings
        if len(running) >= settings.bulk_jobs or mine >= settings.bulk_jobs_per_sub:
            raise Overloaded("too many bulk jobs run; wait for one of them or stop it", 5000)
        if not job.dry_run:
            await self._node.ask(Noted(who=job.who, action=f"bulk.{job.action}", target=job.id, details=job.told))
        await self._step(job)
        if job.finished:
            job.state = "done"
            return job
        self._forget_old()
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._run(job), name=f"bulk {job.id}")
        return job

    async def stop(self, job: Job) -> None:
        """Stop a job after the page it is at."""
        if job.state == "running":
            job.state = "stopped"
            if job.task is not None:
                await job.task

    async def close(self) -> None:
        """Stop all jobs."""
        for job in list(self._jobs.values()):
            await self.stop(job)

    async def _run(self, job: Job) -> None:
        tries = 0
        while job.state == "running":
            try:
                await self._step(job)
            except Overloaded as shed:
                tries += 1
                if tries >= _TRIES or self._node.draining():
                    job.state, job.error = "failed", shed.reason
                    return
                await asyncio.sleep(min(_WAIT_MOST_S, shed.retry_after_ms / 1000))
                continue
            except Exception:
                log.exception("bulk job failed", bulk=job.id)
                job.state, job.error = "failed", "an internal error, see the log"
                return
            tries = 0
            if job.finished and job.state == "running":
                job.state = "done"

    async def _step(self, job: Job) -> None:
        """Take the next page out of what is left. A page that is shed is still left."""
        if job.query is not None:
            query = job.query
            page = await self._node.read(lambda store: store.tasks(query))
            found = [(record.task.id, status_of_record(record.task.status, record.run)) for record in page.records]
            rest = None if page.next_before is None else replace(query, before=page.next_before)
            await self._change(job, found, 0)
            job.query = rest
        else:
            ids = job.ids[:PAGE]
            owner = job.owner
            found = await self._node.read(lambda store: _statuses(store, ids, owner))
            await self._change(job, found, len(ids) - len(found))
            del job.ids[: len(ids)]

    async def _change(self, job: Job, found: Sequence[tuple[str, Status]], missing: int) -> None:
        able = DEFAULT_STATUSES[job.action]
        changed = 0
        if job.dry_run:
            changed = sum(status in able for _, status in found)
        elif found:
            make = ACTIONS[job.action]
            results = await self._node.ask_many([make(task_id, job.owner, job.who) for task_id, _ in found])
            changed = sum(isinstance(result, TaskDone) for result in results)
        job.matched += len(found)
        job.changed += changed
        job.skipped += len(found) - changed + missing
        job.by_status.update(status.name for _, status in found)
        job.updated_at = self._node.now()

    def _forget_old(self) -> None:
        now, settings = self._node.now(), self._node.settings
        ended = [job for job in self._jobs.values() if job.state != "running"]
        for index, job in enumerate(sorted(ended, key=lambda job: job.updated_at, reverse=True)):
            if index >= settings.bulk_jobs_kept or job.updated_at + settings.bulk_retention < now:
                del self._jobs[job.id]


def status_of_record(ended: int, run: object | None) -> Status:
    """A task's status from its row's number and whether it has a run row."""
    status = ended_status(ended)
    return status if status.ended else Status.PROCESSING if run is not None else Status.PENDING


def _statuses(store: Store, ids: Sequence[str], owner: str | None) -> list[tuple[str, Status]]:
    found = []
    for task_id in ids:
        record = store.task(task_id, owner)
        if record is not None:
            found.append((task_id, status_of_record(record.task.status, record.run)))
    return found
