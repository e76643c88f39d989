"""Judges when things happened: `python timeline.py DATABASE LINGER_MS SLOTS ORDEAL CLIENT BACKEND...` (logs).

It joins the logs with the database's history, and shares nothing with Taskyard nor with the other judge. It prints the
moments at which a backend had more than `SLOTS` attempts at work that were the node's; then its figures as lines of
`name: value`; and ends with 1 if there was such a moment. An attempt is no more the node's when it was given up longer
ago than `LINGER_MS`.

| log | event | says |
|---|---|---|
| backend | `got` task, attempt, server, busy · `left` task, attempt | an attempt came · its work is done, untold yet |
| client | `ack` | a submission was acknowledged |
| ordeal | `start` · `ready` | the node was started · answered that it can work, after a start or a fault |
| ordeal | `kill` · `stop` · `fault` what | the node was killed · was told to stop · something else was done to it |
"""

import itertools
import json
import sqlite3
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

# Two processes read the same clock, but not in the same moment.
SLACK_MS = 100
SHOWN = 5

Attempt = tuple[str, int]
Event = dict[str, Any]


class Span(NamedTuple):
    """A time between two moments, and what it was."""

    begin: int
    end: int
    what: str


class Crowd(NamedTuple):
    """A moment at which a backend had more at work than slots; `size` is how much of it was the node's."""

    at: int
    server: str
    size: int

    def __str__(self) -> str:
        return f"excess: {self.size} attempts at {self.server} at {self.at} that were the node's"


def lines(path: str) -> Iterator[Event]:
    """The events of a log, in the order in which they were noted."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


class History(NamedTuple):
    """What the store says of attempts: when each began, and when those that did not succeed were over for the node."""

    began: dict[Attempt, int]
    over: dict[Attempt, int]


def history(path: str) -> History:
    """Read it from the database."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    began: dict[Attempt, int] = {}
    over: dict[Attempt, int] = {}
    for task, attempt, started, ended in database.execute("SELECT task_id, attempt, started_at, ended_at FROM attempt"):
        began[task, attempt] = started
        over[task, attempt] = ended
    for task, attempt, started in database.execute("SELECT id, attempts, started_at FROM task WHERE started_at > 0"):
        began[task, attempt] = started
    database.close()
    return History(began, over)


def gone(over: dict[Attempt, int], linger_ms: int) -> dict[Attempt, int]:
    """From when on an attempt that a backend still works on has no slot any more."""
    return {attempt: at + linger_ms for attempt, at in over.items()}


def crowds(events: list[Event], gone: dict[Attempt, int], slots: int) -> Iterator[Crowd]:
    """The moments of one backend's log at which more had come than slots, and how many of them were the node's."""
    at_work: set[Attempt] = set()
    for event in events:
        attempt = (event.get("task", ""), event.get("attempt", 0))
        if event["event"] == "left":
            at_work.discard(attempt)
        elif event["event"] == "got":
            at_work.add(attempt)
            if len(at_work) > slots:
                now = event["at"] + SLACK_MS
                yield Crowd(event["at"], event["server"], sum(gone.get(one, sys.maxsize) > now for one in at_work))


def faults(events: list[Event]) -> list[Span]:
    """What was done to the node, and how long each took until it could work again."""
    spans: list[Span] = []
    begun: dict[str, int] = {}
    for event in events:
        if event["event"] == "ready":
            spans += [Span(at, event["at"], what) for what, at in begun.items()]
            begun.clear()
        else:
            begun.setdefault(event["what"] if event["event"] == "fault" else event["event"], event["at"])
    return spans


def first_dispatches(ordeal: list[Event], backends: list[list[Event]], began: dict[Attempt, int]) -> list[int]:
    """For each start that came to it: ms until a backend got an attempt that began after it."""
    came = sorted(
        (event["at"], began.get((event["task"], event["attempt"]), 0))
        for log in backends
        for event in log
        if event["event"] == "got"
    )
    marks = [(event["at"], event["event"]) for event in ordeal if event["event"] in ("start", "kill", "stop")]
    found: list[int] = []
    for number, (at, what) in enumerate(marks):
        until = marks[number + 1][0] if number + 1 < len(marks) else sys.maxsize
        if what == "start":
            first = next((moment for moment, start in came if at <= moment < until and start >= at - SLACK_MS), None)
            if first is not None:
                found.append(first - at)
    return found


def stalls(moments: list[int], spans: list[Span]) -> list[tuple[int, int, str]]:
    """The gaps between things that happened: their length, what of it no fault covers, and the faults in it."""
    gaps = []
    for begin, end in itertools.pairwise(moments):
        if end - begin < SLACK_MS:
            continue
        inside = sorted(span for span in spans if span.begin < end and span.end > begin)
        bare, at = 0, begin
        for span in inside:
            bare += max(0, span.begin - at)
            at = max(at, span.end)
        bare += max(0, end - at)
        gaps.append((end - begin, bare, ", ".join(dict.fromkeys(span.what for span in inside)) or "nothing"))
    return gaps


def main(database: str, linger_ms: str, slots: str, ordeal: str, client: str, *backends: str) -> int:
    told = history(database)
    logs = [list(lines(path)) for path in backends]
    acts = list(lines(ordeal))
    without_slot = gone(told.over, int(linger_ms))
    crowded = [moment for log in logs for moment in crowds(log, without_slot, int(slots))]
    found = [moment for moment in crowded if moment.size > int(slots)]
    for excess in found[:SHOWN]:
        print(excess)
    peaks = [max((event["busy"] for event in log if event["event"] == "got"), default=0) for log in logs]
    moments = sorted(
        [event["at"] for event in lines(client) if event["event"] == "ack"]
        + [event["at"] for log in logs for event in log if event["event"] == "got"]
    )
    dispatched = sorted(first_dispatches(acts, logs, told.began))
    gaps = stalls(moments, faults(acts))
    longest = max(gaps, default=(0, 0, "nothing"))
    bare = max(gaps, key=lambda gap: gap[1], default=(0, 0, "nothing"))
    kills = sum(event["event"] == "kill" for event in acts)
    print(f"kills: {kills}")
    print(f"excess over maxConcurrent: {len(found)} (of {len(crowded)} with more at work)")
    print(f"most at once at a backend of {slots} slots: {', '.join(map(str, peaks))}")
    if dispatched:
        print(f"start to first dispatch: median {dispatched[len(dispatched) // 2]} ms, longest {dispatched[-1]} ms")
    print(f"longest stall: {longest[0]} ms (in it: {longest[2]})")
    print(f"longest stall that no fault covers: {bare[1]} ms (beside it: {bare[2]})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
