"""The journal: what clients, backends and the host wrote down, in the order in which it happened.

An entry is a plain tuple `(time in ms, author, what, *details)`. The oracle reads each as it is written; the last ones
are kept for whoever replays a seed. Knows nothing of what the entries mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

Entry = tuple[Any, ...]


class Journal:
    """Hands every entry to `reader`, and keeps the last `kept`."""

    def __init__(self, reader: Callable[[Entry], None], kept: int = 400) -> None:
        self._reader = reader
        self._tail: deque[Entry] = deque(maxlen=kept)
        self.written = 0

    def write(self, *entry: Any) -> None:
        """Write one entry. Raises what the reader raises."""
        self._tail.append(entry)
        self.written += 1
        self._reader(entry)

    def tail(self, most: int, start: int) -> Iterator[str]:
        """The last entries as lines, with times relative to `start`."""
        for entry in list(self._tail)[-most:]:
            at, author, what, *details = entry
            yield f"{(at - start) / 1000:10.3f} s  {author:8} {what:10} " + " ".join(str(detail) for detail in details)
