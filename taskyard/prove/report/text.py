"""The report as text, for a terminal, a mail or an issue."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from taskyard.prove.report.model import Part, Report

WIDTH = 100


def text(report: Report) -> str:
    """All of it, lines of at most 100 characters where words allow."""
    return "\n".join(_lines(report)) + "\n"


def brief(report: Report) -> str:
    """What a person wants to know at once: what it came to, what did not hold, and what cannot be told."""
    lines = [report.verdict(), *_headlines(report)]
    lines += _list("NOT SO", (line for part in report.parts for line in part.broken))
    lines += _list("cannot be told", (line for part in report.parts for line in part.untold))
    return "\n".join(lines) + "\n"


def moment(ms: int) -> str:
    """A time in UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def span(seconds: float) -> str:
    """A duration."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.1f} s"


def number(value: int | str) -> str:
    """A figure, with its thousands set apart."""
    return f"{value:,}" if isinstance(value, int) else value


def _lines(report: Report) -> Iterator[str]:
    yield "Taskyard, put to the proof"
    yield ""
    yield report.verdict()
    yield from _headlines(report)
    yield ""
    yield from _facts({"began": moment(report.began_ms), "took": span(report.seconds), "seed": str(report.seed)})
    yield from _facts(report.machine)
    for part in report.parts:
        yield ""
        yield from _part(part)


def _headlines(report: Report) -> Iterator[str]:
    return (f"  {part.title}: {part.headline}" for part in report.parts if part.headline)


def _part(part: Part) -> Iterator[str]:
    head = f"{part.title}: {'holds' if part.holds else 'DOES NOT HOLD'} ({span(part.seconds)})"
    yield head
    yield "-" * len(head)
    yield from _list("promised", part.promises)
    yield from _list("tried", part.tried)
    if part.zeros:
        yield "must be 0:"
        yield from _facts({name: number(value) for name, value in part.zeros.items()})
    if part.figures:
        yield "figures:"
        yield from _facts({name: number(value) for name, value in part.figures.items()})
    yield from _list("NOT SO", part.broken)
    yield from _list("cannot be told", part.untold)
    if part.again:
        yield from _list("again", [part.again])


def _facts(pairs: Mapping[str, str]) -> Iterator[str]:
    wide = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        yield f"  {name:<{wide}}  {value}"


def _list(name: str, entries: Iterable[str]) -> Iterator[str]:
    found = list(entries)
    if found:
        yield f"{name}:"
    for entry in found:
        # What has lines, such as a log, keeps them.
        first, *rest = entry.splitlines()
        yield from textwrap.wrap(first, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_long_words=False)
        yield from (f"      {line}" for line in rest)
