"""The report as one HTML file that needs nothing else: no request, no script, light and dark by the reader's choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path

from taskyard.prove.report.model import Part, Report
from taskyard.prove.report.text import moment, number, span

STYLE = Path(__file__).with_name("page.css")
# Longer lists are folded.
FOLDED_FROM = 12
# Whoever opens it sees that it can reach nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """The whole file."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(report.verdict())} · Taskyard</title>",
            f"<style>\n{STYLE.read_text('utf-8')}</style>",
            "</head>",
            "<body>",
            "<main>",
            "<h1>Taskyard, put to the proof</h1>",
            f'<p class="{_state(report.holds)} verdict">{_mark(report.holds)} {escape(report.verdict())}</p>',
            "<ul>",
            *(f"<li>{escape(part.title)}: {escape(part.headline)}</li>" for part in report.parts if part.headline),
            "</ul>",
            "<h2>What, when and where</h2>",
            *_table(
                "",
                {"began": moment(report.began_ms), "took": span(report.seconds), "seed": str(report.seed)}
                | dict(report.machine),
            ),
            *(line for part in report.parts for line in _part(part)),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _state(holds: bool) -> str:
    return "holds" if holds else "broken"


def _mark(holds: bool) -> str:
    """Not by its colour alone."""
    return '<span aria-hidden="true">✓</span>' if holds else '<span aria-hidden="true">✕</span>'


def _part(part: Part) -> Iterator[str]:
    yield "<section>"
    yield f"<h2>{escape(part.title)}</h2>"
    words = "Holds" if part.holds else "Does not hold"
    yield f'<p class="{_state(part.holds)}">{_mark(part.holds)} {words} <small>{span(part.seconds)}</small></p>'
    yield from _list("Not so", part.broken, "broken")
    yield from _list("Promised", part.promises)
    yield from _list("Tried", part.tried)
    if part.zeros:
        yield from _table("Must be 0", {name: number(value) for name, value in part.zeros.items()}, zeros=True)
    if part.figures:
        yield from _table("Figures", {name: number(value) for name, value in part.figures.items()})
    yield from _list("What cannot be told", part.untold, "untold")
    if part.again:
        yield f"<h3>The same again</h3>\n<pre>{escape(part.again)}</pre>"
    yield "</section>"


def _list(title: str, entries: Iterable[str], kind: str = "") -> Iterator[str]:
    found = list(entries)
    if not found:
        return
    yield f"<h3>{escape(title)}</h3>"
    if len(found) > FOLDED_FROM:
        yield f"<details><summary>All {len(found)}</summary>"
    yield f'<ul class="{kind}">' if kind else "<ul>"
    for entry in found:
        # What has lines, such as a log, keeps them.
        first, _, rest = entry.partition("\n")
        yield f"<li>{escape(first)}" + (f"<pre>{escape(rest)}</pre>" if rest else "") + "</li>"
    yield "</ul>"
    if len(found) > FOLDED_FROM:
        yield "</details>"


def _table(title: str, pairs: Mapping[str, str], *, zeros: bool = False) -> Iterator[str]:
    if title:
        yield f"<h3>{escape(title)}</h3>"
    yield "<table>"
    for name, value in pairs.items():
        state = f' class="{_state(value == "0")}"' if zeros else ""
        yield f'<tr><th scope="row">{escape(name)}</th><td{state}>{escape(value)}</td></tr>'
    yield "</table>"
