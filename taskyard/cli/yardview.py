"""The yard in a terminal: what the events said so far, and how that is drawn or told in lines."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from taskyard.cli import show
from taskyard.cli.lanes import needs

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_BAR = 10
_LANES_MOST = 10


class State:
    """What was told last of each topic, the fleet's rows put together from its changes. `now` is the node's time.

    `stale`: as of when all that is, where the node cannot know what happens now.
    """

    def __init__(self) -> None:
        self.now = int(time.time() * 1000)
        self.stale: int | None = None
        self.overview: dict[str, Any] = {}
        self.lanes: dict[str, Any] = {"lanes": [], "other": {"lanes": 0, "queued": 0}}
        self.attention: dict[str, Any] = {"attention": [], "more": 0}
        self.fleet: dict[str, list[Any]] = {"id": [], "slots": [], "active": [], "status": [], "ms": []}

    def take(self, name: str, data: dict[str, Any]) -> None:
        """An event."""
        self.now = data["now"]
        if name in ("snapshot", "stale"):
            self.stale = data.get("since")
        if name == "snapshot":
            for topic in ("overview", "lanes", "attention", "fleet"):
                if topic in data:
                    setattr(self, topic, data[topic])
        elif name == "fleet" and "i" in data:
            for number, at in enumerate(data["i"]):
                for column in ("active", "status", "ms"):
                    if column != "status" or data[column][number] is not None:
                        self.fleet[column][at] = data[column][number]
        elif name in ("overview", "lanes", "attention", "fleet"):
            setattr(self, name, data)

    @property
    def servers(self) -> list[dict[str, Any]]:
        """The fleet's rows."""
        names = ("id", "slots", "active", "status", "ms")
        return [dict(zip(names, row, strict=True)) for row in zip(*(self.fleet[name] for name in names), strict=True)]

    def headline(self) -> str:
        """How things stand, in one line."""
        point, slots = self.overview.get("point", {}), self.overview.get("slots", {"used": 0, "total": 0})
        parts = [f"{point.get('running') or 0} running on {slots['used']}/{slots['total']} slots"]
        parts.append(f"{point.get('waiting') or 0} waiting")
        if self.overview.get("oldest"):
            parts.append(f"oldest {show.span(self.now - self.overview['oldest'])}")
        rates = ((name, point.get(name)) for name in ("submitted", "completed", "failed"))
        parts += [f"{rate}/s {name}" for name, rate in rates if rate is not None]
        if self.stale is not None:
            parts.append(f"as of {show.span(self.now - self.stale)} ago: the node cannot know what happens now")
        return ", ".join(parts)


def lines(name: str, state: State) -> Iterator[str]:
    """What is told in lines after an event: how things stand each time, and what else it was about."""
    if name in ("snapshot", "overview", "stale"):
        yield state.headline()
    if name in ("snapshot", "lanes"):
        for lane in state.lanes["lanes"][:_LANES_MOST]:
            yield f"  {lane['queued']} wait for {needs(lane)}: {lane['text']}"
    if name in ("snapshot", "fleet"):
        for server in state.servers:
            yield f"  {server['id']} {server['status']} {server['active']}/{server['slots']}"
    if name == "end":
        yield "the node ended the stream"


class Picture:
    """Draws it for a terminal of some lines' height: what does not fit is counted, not shown."""

    def drawn(self, state: State, height: int) -> "RenderableType":
        """The picture of a state."""
        from rich.console import Group
        from rich.text import Text

        head = Text.assemble((show.clean(state.headline()), "bold"), ("   q ends", "dim"))
        urgent = [Text(_urgent(entry), style="red") for entry in state.attention["attention"]]
        lanes = self._lanes(state)
        room = max(3, height - len(urgent) - min(len(state.lanes["lanes"]), _LANES_MOST) - 11)
        return Group(head, *urgent, lanes, self._servers(state, room))

    def _lanes(self, state: State) -> "Table":
        from rich.text import Text

        table = _table("What waits, and why", ("needs", "waiting", "oldest", "why"))
        for lane in state.lanes["lanes"][:_LANES_MOST]:
            oldest = "" if lane["oldestAt"] is None else show.span(state.now - lane["oldestAt"])
            table.add_row(Text(needs(lane)), str(lane["queued"]), oldest, Text(show.clean(lane["text"])))
        left = state.lanes["other"]["lanes"] + max(0, len(state.lanes["lanes"]) - _LANES_MOST)
        if left:
            table.add_row(f"and {left} more", "", "", "")
        return table

    def _servers(self, state: State, room: int) -> "Table":
        from rich.text import Text

        table = _table("What runs where", ("server", "status", "load", "run time"))
        servers = state.servers
        for server in servers[:room]:
            used = round(min(1.0, server["active"] / server["slots"]) * _BAR)
            bar = "█" * used + "░" * (_BAR - used)
            style = "green" if server["status"] == "online" else "red" if server["status"] == "offline" else "yellow"
            table.add_row(
                Text(show.clean(server["id"])),
                Text(show.clean(server["status"]), style=style),
                f"{bar} {server['active']}/{server['slots']}",
                "" if server["ms"] is None else show.span(server["ms"]),
            )
        if len(servers) > room:
            table.add_row(f"and {len(servers) - room} more", "", "", "")
        return table


def _table(title: str, heads: tuple[str, ...]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", expand=True, pad_edge=False)
    for head in heads:
        table.add_column(head, ratio=1 if head == heads[-1] else None, no_wrap=head != "why")
    return table


def _urgent(entry: dict[str, Any]) -> str:
    """Something that needs a person, as its code and figures say it."""
    said = ((name, value) for name, value in entry["params"].items() if value not in (None, [], {}))
    figures = ", ".join(f"{name} {show.words(value) if isinstance(value, list) else value}" for name, value in said)
    return show.clean(f"! {entry['code'].replace('_', ' ')}: {figures}")
