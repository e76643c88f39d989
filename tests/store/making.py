"""Rows with sensible values for all that a test does not care about."""

from taskyard.domain.window import rank_of
from taskyard.engine.plan import Plan, Writes
from taskyard.engine.rows import (
    STAT_NAMES,
    AttemptRow,
    EndedTask,
    FacetRow,
    FailureRow,
    HealthRow,
    KeyRow,
    LoadRow,
    NewTask,
    QueueRow,
    RunRow,
    SeriesRow,
    ServerRow,
    StatRow,
    TaskRow,
)

T0 = 1_760_000_000_000


def tid(number, at=None):
    """The id of a task that was created at a time, by default `number` ms after the first."""
    return f"task_{T0 + number if at is None else at:012x}7{number:019x}"


def new_task(number=1, *, at=None, **values):
    created = T0 + number if at is None else at
    usual = NewTask(
        id=tid(number, at), owner="ann", type="ocr", priority=0, lane=1, capabilities="[]", group_name="", pin="",
        run_async=1, run_at=None, timeout=3_600_000, ttl=None, queue_timeout=None, heartbeat_timeout=None,
        max_retries=3, backoff_base=1000, backoff_cap=30_000, tags=None, metadata=None, resubmit_of=None, hops=0,
        traceparent=None, created_at=created,
    )  # fmt: skip
    return usual._replace(**values)


def queue_row(number=1, *, priority=0, place=None, **values):
    usual = QueueRow(
        task_id=tid(number), owner="ann", lane=1, limit_key="", avoid="",
        rank=rank_of(priority, number if place is None else place), due_at=None, wake_at=None, attempts=0, failures=0,
        lost=0, deadline=None, queue_deadline=None, queued_at=T0, last_server="", last_outcome=None, updated_at=T0,
    )  # fmt: skip
    return usual._replace(**values)


def run_row(number=1, attempt=1, **values):
    usual = RunRow(
        task_id=tid(number), attempt=attempt, server_id="s1", node="n1", rank=rank_of(0, number), avoid="", failures=0,
        lost=0, deadline=None, started_at=T0 + 10, limit_at=T0 + 1000, accepted=0, responded_at=None, beat_at=T0 + 10,
        progress=None, message=None, linger_until=None, updated_at=T0 + 10,
    )  # fmt: skip
    return usual._replace(**values)


def attempt_row(number=1, attempt=1, **values):
    usual = AttemptRow(
        task_id=tid(number), attempt=attempt, last=attempt, server_id="s1", started_at=T0, ended_at=T0 + attempt,
        outcome="failed", count=1, http_status=500, error="no", metadata=None,
    )  # fmt: skip
    return usual._replace(**values)


def ended_task(number=1, **values):
    usual = EndedTask(
        status=2, attempts=1, failures=0, lost=0, server_id="s1", started_at=T0 + 10, responded_at=T0 + 11,
        completed_at=T0 + 20, deadline=T0 + 99, error="e", error_code="c", error_details='{"d":1}',
        result_metadata='{"m":1}', progress=50, message="half", http_status=200, ended_by=1, id=tid(number),
    )  # fmt: skip
    return usual._replace(**values)


def server_row(server_id="s1", **values):
    usual = ServerRow(
        id=server_id, name="one", owner="ops", predict="http://a/p", health_url="http://a/h", metrics_url=None,
        cancel_url=None, api_key=None, capabilities='["gpu"]', learns_capabilities=0, groups="[]", max_concurrent=10,
        weight=1, is_async=0, maintenance=0, maintenance_reason=None, draining=0, removing_until=None,
        registered_at=T0, last_heartbeat=T0, state="online", online_since=T0, averages="{}", misconfigured=0,
        paused_until=None, pause_step=0, held=0,
    )  # fmt: skip
    return usual._replace(**values)


def key_row(key="k", task=1, **values):
    return KeyRow("ann", key, "h", tid(task), T0, T0 + 1000)._replace(**values)


def stat_row(hour=1, scope="yard", key="", last_at=T0, **values):
    return StatRow._make((hour, scope, key, *(values.get(name, 0) for name in STAT_NAMES), last_at))


def series_row(at=T0, step=1000, **values):
    return SeriesRow(step, at, T0, 1, 2, 3, 4, 5, "1: 2", "3: 4", 6, 7)._replace(**values)


def failure_row(group="g", **values):
    usual = FailureRow(
        "ann", T0 // 3_600_000, group, "ocr", "failed", 500, None, "no", 1, 2, '{"3": 2}', '{"s1": 2}', "[]", T0,
        T0 + 1, 1000, None,
    )  # fmt: skip
    return usual._replace(**values)


def load_row(server_id="s1", at=T0, **values):
    return LoadRow(server_id, at, 10, 100, 3, 2, 1, 50, 2, 20, "{}")._replace(**values)


def health_row(server_id="s1", at=T0, status="online", reason=None):
    return HealthRow(server_id, at, status, reason)


def facet_row(value="ocr", *, field="type", owner="ann", last_at=T0):
    return FacetRow(field, owner, value, last_at)


def plan(**writes):
    """A plan that only writes."""
    return Plan(T0, Writes(**writes))


def fresh(task):
    """A new task's row as the store has it while the task is live."""
    return TaskRow._make((*task, 0, 0, 0, 0, *[None] * 13, 0, 0))


def queued(store, *numbers, **values):
    """Store tasks that wait; `values` go to both their rows where both have such a column."""
    in_task = {name: value for name, value in values.items() if name in NewTask._fields}
    in_queue = {name: value for name, value in values.items() if name in QueueRow._fields}
    store.commit(
        plan(
            tasks=[new_task(number, **in_task) for number in numbers],
            payloads=[(tid(number), f'{{"n":{number}}}') for number in numbers],
            queued=[queue_row(number, **in_queue) for number in numbers],
        )
    )


def running(store, *numbers, **values):
    """Store tasks that run."""
    in_task = {name: value for name, value in values.items() if name in NewTask._fields}
    in_run = {name: value for name, value in values.items() if name in RunRow._fields}
    store.commit(
        plan(
            tasks=[new_task(number, **in_task) for number in numbers],
            payloads=[(tid(number), "{}") for number in numbers],
            runs=[run_row(number, **in_run) for number in numbers],
        )
    )


def ended(store, *numbers, result="1", **values):
    """Store tasks that ended."""
    in_task = {name: value for name, value in values.items() if name in NewTask._fields}
    in_end = {name: value for name, value in values.items() if name in EndedTask._fields}
    store.commit(
        plan(
            tasks=[new_task(number, **in_task) for number in numbers],
            payloads=[(tid(number), "{}") for number in numbers],
            ended=[ended_task(number, **in_end) for number in numbers],
            results=[(tid(number), result) for number in numbers],
        )
    )
