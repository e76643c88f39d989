"""W3C trace context as one line of text: a `traceparent`, and after a space its `tracestate` where there is one.

So it is kept with a task and passed on. What is no such thing is none (https://www.w3.org/TR/trace-context/). Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# More need not be passed on (3.3.1.5).
STATE_MOST = 512
_MEMBERS_MOST = 32
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
# "sampled", and "the trace's id is random"; the others say nothing yet and are not passed on (3.2.2.5.3).
_SAMPLED, _FLAGS = 1, 3


class Context(NamedTuple):
    """A trace, the span in it that is the parent of what comes, its flags, and the `tracestate` ('' for none)."""

    trace_id: int
    span_id: int
    flags: int
    state: str

    @property
    def sampled(self) -> bool:
        """Whether spans of this trace are wanted."""
        return bool(self.flags & _SAMPLED)

    def text(self) -> str:
        """The line of text."""
        parent = f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}"
        return f"{parent} {self.state}" if self.state else parent


def context_of(text: str) -> Context | None:
    """The context of a line of text; `None` for one that is none."""
    parent, _, state = text.partition(" ")
    match = _PARENT.fullmatch(parent)
    if match is None or (match[5] is not None and match[1] == "00"):
        return None
    return Context(int(match[2], 16), int(match[3], 16), int(match[4], 16) & _FLAGS, state)


def received(traceparent: str, tracestate: str | None) -> str | None:
    """The line for the two headers of a request, checked; `None` when the first is none. Such a state is left out."""
    found = context_of(traceparent)
    if found is None or " " in traceparent:
        return None
    return found._replace(state=_state(tracestate) if tracestate else "").text()


def head_lines(text: str) -> bytes:
    """The header lines for a context that `received` or `Context.text` made: in those no line can end early."""
    parent, _, state = text.partition(" ")
    if not state:
        return b"traceparent: %b\r\n" % parent.encode()
    return b"traceparent: %b\r\ntracestate: %b\r\n" % (parent.encode(), state.encode())


def _state(given: str) -> str:
    """Members as they came, as many as have room; nothing of a list that has one which is none, or one twice."""
    members = [member for part in given.split(",") if (member := part.strip(" \t"))]
    names = {member.partition("=")[0] for member in members}
    if len(members) > _MEMBERS_MOST or len(names) < len(members) or not all(map(_MEMBER.fullmatch, members)):
        return ""
    while sum(map(len, members)) + len(members) - 1 > STATE_MOST:
        members.pop()
    return ",".join(members)
