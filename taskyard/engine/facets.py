"""The values that filters can be set to: which types, tags and owners there are, with when they were last seen.

A row is written when a value is new, and then once an hour at most. An owner that brings in very many values an hour is
not followed beyond a bound: nobody would find them in a list.
"""

from __future__ import annotations

from taskyard.domain.task import Spec
from taskyard.engine.rows import FacetRow

TYPE, TAG, OWNER = "type", "tag", "owner"
ALL = ""  # the owner under which a value stands for those who may see all
HOUR_MS = 3_600_000


class Facets:
    """What was seen in the present hour; `most` values at most of one field and owner."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hour = -1
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._new: list[tuple[str, str, str]] = []

    def note(self, now: int, spec: Spec) -> None:
        """A task was submitted."""
        if now // HOUR_MS != self._hour:
            self._hour = now // HOUR_MS
            self._seen.clear()
        owner = spec.owner
        types = self._seen.get((TYPE, owner))
        if types is None:
            self._seen[TYPE, owner] = types = set()
            self._add(OWNER, ALL, owner)
        if spec.type not in types:
            self._add(TYPE, owner, spec.type)
            self._add(TYPE, ALL, spec.type)
        for tag in spec.tags:
            tags = self._seen.get((TAG, owner))
            if tags is None or tag not in tags:
                self._add(TAG, owner, tag)
                self._add(TAG, ALL, tag)

    def _add(self, field: str, owner: str, value: str) -> None:
        seen = self._seen.setdefault((field, owner), set())
        if value not in seen and len(seen) < self._most:
            seen.add(value)
            self._new.append((field, owner, value))

    def rows(self, now: int) -> list[FacetRow]:
        """What this turn brought."""
        if not self._new:
            return []
        rows = [FacetRow(field, owner, value, now) for field, owner, value in self._new]
        self._new.clear()
        return rows
