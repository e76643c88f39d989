"""`taskyard tasks …`: list, show, why, submit, retry, cancel, purge, wait, watch."""

import json
import time
from itertools import islice
from typing import Annotated, Any

import typer

from taskyard.cli import follow, show, watch
from taskyard.cli.command import Yard, calls, each
from taskyard.cli.stop import Stop
from taskyard.cli.values import SomeTaskIds, TaskId, TaskIds, duration_option, json_object, moment_option

app = typer.Typer(name="tasks", help="Submit tasks and see to them.", no_args_is_help=True)


def _text(name: str, help: str) -> Any:
    return typer.Option(name, help=help, show_default=False)


@calls(app, "list")
def list_tasks(
    yard: Yard,
    status: Annotated[str | None, _text("--status", "PENDING, PROCESSING, COMPLETED, FAILED, …")] = None,
    type: Annotated[str | None, _text("--type", "Of this type.")] = None,
    server: Annotated[str | None, _text("--server", "Last on this server.")] = None,
    capability: Annotated[str | None, _text("--capability", "That need it.")] = None,
    tag: Annotated[str | None, _text("--tag", "With this tag.")] = None,
    owner: Annotated[str | None, _text("--owner", "Of this subject (for admins).")] = None,
    created_from: Annotated[int | None, moment_option("--from", "Created then or later.")] = None,
    created_to: Annotated[int | None, moment_option("--to", "Created before then.")] = None,
    q: Annotated[str | None, _text("--search", "An id, a type's beginning, or a tag.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="So many at most.", min=1)] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Without a limit.")] = False,
) -> None:
    """The tasks, newest first."""
    matching = yard.client.tasks(
        status=status and status.upper(),
        type=type,
        server_id=server,
        capability=capability,
        tag=tag,
        owner=owner,
        created_from=created_from,
        created_to=created_to,
        q=q,
        page=500 if everything else min(limit, 500),
    )
    found = matching if everything else islice(matching, limit)
    if yard.as_json:
        show.json_list(found)
        return
    heads = ("id", "type", "status", "priority", "server", "failures", "progress", "message", "age")
    show.table(heads, (_row(task) for task in found))


def _row(task: dict[str, Any]) -> tuple[object, ...]:
    over = task.get("completedAt") is not None
    progress = None if over else task.get("progress")
    return (
        task.get("id"),
        task.get("type"),
        task.get("status"),
        task.get("priority"),
        task.get("serverId"),
        watch.failures(task),
        f"{progress}%" if progress else "",
        # What was said on the way is no news of a task that has ended.
        task.get("error") if over else task.get("message") or task.get("error"),
        show.ago(task.get("createdAt")),
    )


@calls(app, "show")
def show_task(
    yard: Yard,
    task: TaskId,
    payload: Annotated[bool, typer.Option("--payload", help="With its payload.")] = False,
) -> None:
    """One task with its history and its result."""
    found = yard.client.task(task, payload=payload)
    if yard.as_json:
        show.json_line(found)
    else:
        _print(found)


def _print(task: dict[str, Any]) -> None:
    plain = ("id", "type", "status", "priority", "group", "owner", "message", "serverId", "error", "errorCode")
    facts: dict[str, object] = {name: task.get(name) for name in plain}
    facts |= {name: show.words(task.get(name)) for name in ("capabilities", "tags")}
    facts["failures"] = watch.failures(task)
    facts |= {
        name: _json(task.get(name)) for name in ("errorDetails", "metadata", "resultMetadata", "payload", "result")
    }
    times = ("createdAt", "runAt", "deadline", "startedAt", "completedAt")
    show.facts(facts | {name: show.moment(task.get(name)) for name in times} | _running(task))
    history = task.get("history") or []
    if history:
        heads = ("attempt", "server", "outcome", "count", "http", "took", "error")
        show.table(heads, (_attempt(attempt) for attempt in history), title="attempts")


def _running(task: dict[str, Any]) -> dict[str, object]:
    """Of a running task: when it was last heard of, and how long its attempt may take."""
    started, limit = task.get("startedAt"), task.get("timeout")
    if task.get("status") != "PROCESSING" or not isinstance(started, int) or not isinstance(limit, int):
        return {}
    left = show.span(started + limit - time.time() * 1000)
    return {
        "last heard of": f"{show.ago(task.get('updatedAt'))} ago",
        "may take until": f"{show.moment(started + limit)}, {left} from now",
    }


def _attempt(attempt: dict[str, Any]) -> tuple[object, ...]:
    started, ended = attempt.get("startedAt"), attempt.get("endedAt")
    took = show.span(ended - started) if isinstance(started, int) and isinstance(ended, int) else ""
    names = ("attempt", "serverId", "outcome", "count", "httpStatus")
    return (*(attempt.get(name) for name in names), took, attempt.get("error"))


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


@calls(app, "why")
def why(yard: Yard, task: TaskId) -> None:
    """Why a task waits, and what would change that."""
    found = yard.client.why(task)
    if yard.as_json:
        show.json_line(found)
        return
    show.line(found["text"])
    if found["wouldStart"] is not None:
        show.line(found["wouldStart"]["text"])
    facts = {
        "reason": found["code"],
        "also": show.words([other["code"] for other in found["also"]]),
        "servers": show.funnel(found["funnel"]),
        "place": found["position"],
        "starts": show.starts(found["estimate"]),
    }
    show.facts(facts)
    out = [(server["id"], server["code"], step["step"]) for step in found["funnel"] for server in step["servers"]]
    if out:
        show.table(("server", "left out for", "by step"), out)
    if found["actions"]:
        heads = ("what to do", "call", "body")
        show.table(heads, ((do["code"], f"{do['method']} {do['path']}", _json(do["body"])) for do in found["actions"]))


@calls(app, "submit")
def submit(
    yard: Yard,
    type: Annotated[str, typer.Argument(metavar="TYPE", help="The task's type.", show_default=False)],
    payload: Annotated[str, typer.Option("--payload", "-p", help="A JSON object, @file, or - for stdin.")] = "{}",
    priority: Annotated[int | None, typer.Option("--priority", min=0, max=10, help="Higher first.")] = None,
    capability: Annotated[list[str] | None, _text("--capability", "The server must have it (repeatable).")] = None,
    group: Annotated[str | None, _text("--group", "The server must be in this group.")] = None,
    server: Annotated[str | None, _text("--server", "On this server only.")] = None,
    delay: Annotated[int | None, duration_option("--delay", "Not before so long from now.")] = None,
    run_at: Annotated[int | None, moment_option("--run-at", "Not before then.")] = None,
    timeout: Annotated[int | None, duration_option("--timeout", "For one attempt.")] = None,
    ttl: Annotated[int | None, duration_option("--ttl", "For the whole task.")] = None,
    queue_timeout: Annotated[int | None, duration_option("--queue-timeout", "For its first dispatch.")] = None,
    heartbeat_timeout: Annotated[int | None, duration_option("--heartbeat-timeout", "Between callbacks.")] = None,
    max_retries: Annotated[int | None, typer.Option("--max-retries", min=0, max=100, help="After a failure.")] = None,
    tag: Annotated[list[str] | None, _text("--tag", "A tag (repeatable).")] = None,
    metadata: Annotated[str | None, _text("--metadata", "A JSON object that is given back, @file, or -.")] = None,
    key: Annotated[str | None, _text("--key", "Idempotency key: the same one is taken once.")] = None,
    resubmit_of: Annotated[str | None, _text("--resubmit-of", "The id of the task that this one repeats.")] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for its end, and show its result.")] = False,
) -> None:
    """Submits a task and prints its id."""
    members: dict[str, Any] = {
        "priority": priority,
        "capabilities": capability or None,
        "group": group,
        "server_id": server,
        "delay": delay,
        "run_at": run_at,
        "timeout": timeout,
        "ttl": ttl,
        "queue_timeout": queue_timeout,
        "heartbeat_timeout": heartbeat_timeout,
        "max_retries": max_retries,
        "tags": tag or None,
        "metadata": None if metadata is None else json_object(metadata, "--metadata"),
        "idempotency_key": key,
        "resubmit_of": resubmit_of,
    }
    answer = yard.client.submit(type, json_object(payload, "--payload"), **members)
    if wait:
        _finish(yard, str(answer["id"]), None)
    elif yard.as_json:
        show.json_line(answer)
    else:
        show.line(answer["id"])


@calls(app, "wait")
def wait_for(
    yard: Yard,
    task: TaskIds,
    timeout: Annotated[int | None, duration_option("--timeout", "Give up waiting after it.")] = None,
) -> None:
    """Waits for the end of tasks and shows their results; the exit code is 0 only if all have completed."""
    failed = []
    for one in task:
        try:
            _finish(yard, one, timeout)
        except Stop as stop:
            failed.append(stop.message)
    if failed:
        raise Stop("; ".join(failed))


def _finish(yard: Yard, task: str, timeout: int | None) -> None:
    found = watch.until_end(yard.client, task, timeout)
    if yard.as_json:
        show.json_line(found)
    else:
        _print(found)
    if found["status"] != "COMPLETED":
        from taskyard.client import ENDED

        raise Stop(f"task {task} {'ended' if found['status'] in ENDED else 'is still'} {found['status']}")


@calls(app, "watch")
def watch_them(yard: Yard, task: TaskIds) -> None:
    """Shows tasks as they change, until all have ended; the exit code is 0 only if all have completed."""
    follow.follow(yard, task)


@calls(app, "retry")
def retry(yard: Yard, task: TaskIds) -> None:
    """Queues ended tasks again, or makes waiting ones due now."""
    each(yard, task, yard.client.retry)


@calls(app, "cancel")
def cancel(
    yard: Yard,
    task: SomeTaskIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All of yours; an admin's: everybody's.")] = False,
) -> None:
    """Cancels tasks that have not ended."""
    if bool(task) is everything:
        raise Stop("give the ids of tasks, or --all in their place", 2)
    if task:
        each(yard, task, yard.client.cancel)
        return
    answer = yard.client.cancel_all()
    if yard.as_json:
        show.json_line(answer)
        return
    rest = f"; {answer['bulkId']} goes on with the rest" if answer.get("bulkId") else ""
    show.line(f"{answer['changed']} cancelled{rest}")


@calls(app, "purge")
def purge(yard: Yard, task: TaskIds) -> None:
    """Erases payload and result of ended tasks; their records stay."""
    each(yard, task, yard.client.purge)
