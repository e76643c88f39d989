"""Printing: tables and lines for people, JSON for scripts. Everything that came over the network is cleaned here.

rich is imported only where a table is drawn, so that the start stays fast.
"""

import functools
import json
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Control characters (ESC among them), marks that reorder text, and halves of surrogate pairs.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SPACE = re.compile(r"[\t\r\n\v\f\u2028\u2029]+")
# Wide enough that a pipe never gets a folded id.
_PIPE_WIDTH = 240
_STYLES = {
    "COMPLETED": "green",
    "PROCESSING": "cyan",
    "FAILED": "red",
    "TIMEOUT": "red",
    "CANCELLED": "yellow",
    "online": "green",
    "healthy": "green",
    "degraded": "yellow",
    "maintenance": "yellow",
    "draining": "yellow",
    "offline": "red",
    "unhealthy": "red",
}


def clean(value: object) -> str:
    """`value` as one line of text that cannot steer a terminal; None is empty."""
    text = "" if value is None else str(value)
    return _UNSAFE.sub("", _SPACE.sub(" ", text))


def json_line(value: Any) -> None:
    """JSON on stdout: one line into a pipe, indented on a terminal; unsafe characters are escaped, not lost."""
    indent = 2 if sys.stdout.isatty() else None
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    lines = (_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line) for line in text.split("\n"))
    print("\n".join(lines))


def json_list(values: Iterable[Any]) -> None:
    """A list of objects on stdout: one a line into a pipe, as they come; one indented array on a terminal."""
    if sys.stdout.isatty():
        json_line(list(values))
        return
    for value in values:
        json_line(value)


def line(*parts: object) -> None:
    """One cleaned line on stdout."""
    print(*(clean(part) for part in parts))


def note(*parts: object) -> None:
    """One cleaned line on stderr, beside the output that scripts read."""
    print(*(clean(part) for part in parts), file=sys.stderr)


@functools.cache
def console(stderr: bool = False) -> "Console":
    """The terminal; a pipe is taken to be wide."""
    from rich.console import Console

    wide = None if (sys.stderr if stderr else sys.stdout).isatty() else _PIPE_WIDTH
    return Console(stderr=stderr, width=wide, highlight=False, markup=False, emoji=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table with one line for each row; known status words get their colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, title=title and Text(clean(title)), title_justify="left", pad_edge=False)
    for head in heads:
        # Ids are for copying: they are folded on a narrow terminal, never cut.
        drawn.add_column(head, overflow="fold")
    for row in rows:
        cells = [clean(cell) for cell in row]
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    console().print(drawn)


def facts(pairs: Mapping[str, object]) -> None:
    """Names and values below each other; what is absent is left out."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table.grid(padding=(0, 2))
    for name, value in pairs.items():
        text = clean(value)
        if text:
            drawn.add_row(Text(name, style="bold"), Text(text, style=_STYLES.get(text, ""), overflow="fold"))
    console().print(drawn)


def span(ms: object) -> str:
    """A duration in ms as people say it: 0.3s, 12s, 3m 5s, 2h 4m, 5d 1h."""
    if isinstance(ms, bool) or not isinstance(ms, int | float):
        return ""
    seconds = max(0, ms) / 1000
    if seconds < 10:
        return f"{seconds:.2g}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def ago(ms: object) -> str:
    """How long ago a time (ms since the epoch) was."""
    if isinstance(ms, bool) or not isinstance(ms, int | float):
        return ""
    return span(time.time() * 1000 - ms)


def moment(ms: object) -> str:
    """A time (ms since the epoch) in UTC."""
    if isinstance(ms, bool) or not isinstance(ms, int | float):
        return ""
    try:
        whole = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms / 1000))
    except (OverflowError, ValueError, OSError):
        return f"{ms}"
    return f"{whole}.{int(ms) % 1000:03d} UTC"


def percent(share: object) -> str:
    """A share (0-1) in percent."""
    return f"{share * 100:.0f}%" if isinstance(share, int | float) else ""


def starts(estimate: Mapping[str, int] | None) -> str | None:
    """When a task will start, as far as that is foreseen."""
    return None if estimate is None else f"within {span(estimate['p50'])} (9 of 10: {span(estimate['p90'])})"


def funnel(steps: Sequence[Mapping[str, Any]]) -> str:
    """How many servers each step leaves, up to the first that leaves none: 14 registered → 3 able → 0 free."""
    shown: list[Mapping[str, Any]] = []
    for step in steps:
        if not shown or step["count"] != shown[-1]["count"]:
            shown.append(step)
    return " → ".join(f"{step['count']} {clean(step['step'])}" for step in shown)


def words(values: object) -> str:
    """A list in one cell."""
    return ", ".join(clean(value) for value in values) if isinstance(values, list) else ""
