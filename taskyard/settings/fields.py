"""The settings as data, read off the classes of `model.py`: names, kinds, ranges, and how each is written."""

import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec

from taskyard.settings.kinds import ALLOWED, READERS
from taskyard.settings.model import Settings
from taskyard.settings.units import show_duration, show_size

PREFIX = "TASKYARD_"
# A second name, kept because deployments of the protocol already set it.
ALIASES = {"public_url": "WORKER_URL"}


class Field(NamedTuple):
    """One setting: `kind` names its reader, `low` and `high` its range (ms, bytes or a number)."""

    name: str
    kind: str
    doc: str
    default: Any
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    bare: bool
    flag: str | None

    def read(self, raw: object) -> Any:
        """The typed value. Raises ValueError with a predicate that does not repeat the value."""
        value = READERS[self.kind](raw)
        if self.choices and value not in self.choices:
            raise ValueError("is not one of them")
        if isinstance(value, int | float) and not isinstance(value, bool):
            # Negated, so that not-a-number fails too.
            if self.low is not None and not value >= self.low:
                raise ValueError("is too small")
            if self.high is not None and not value <= self.high:
                raise ValueError("is too large")
        return value

    def show(self, value: object) -> str:
        """A value of this setting as one would write it; nothing for an absent one."""
        if value is None or value == ():
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if self.kind == "duration":
            return show_duration(typing.cast(int, value))
        if self.kind == "size":
            return show_size(typing.cast(int, value))
        return f"{value}"

    @property
    def allowed(self) -> str:
        """What may stand there, in words."""
        words = ALLOWED[self.kind]
        if self.choices:
            return f"{words} {', '.join(self.choices)}"
        if self.low is None or self.high is None:
            return words
        return f"{words}, {self.span}"

    @property
    def span(self) -> str:
        """The range, or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"from {self.show(self.low)} to {self.show(self.high)}"

    @property
    def environment(self) -> tuple[str, ...]:
        """The environment variables that set it, the strongest first."""
        names = [self.name.upper(), *([ALIASES[self.name]] if self.name in ALIASES else [])]
        return tuple(PREFIX + name for name in names) + (tuple(names) if self.bare else ())


@cache
def fields(struct: type[msgspec.Struct] = Settings) -> dict[str, Field]:
    """Every member of `struct` that one value sets, by its name in a file."""
    return {field.name: field for field in _fields(struct)}


def _fields(struct: type[msgspec.Struct]) -> Iterator[Field]:
    hints = typing.get_type_hints(struct, include_extras=True)
    for info in msgspec.structs.fields(struct):
        meta, base = _meta(hints[info.name])
        if meta is None or meta.extra is None:
            continue
        yield Field(
            name=info.name,
            kind=meta.extra["kind"],
            doc=meta.description or "",
            default=None if info.default is msgspec.NODEFAULT else info.default,
            low=meta.ge,
            high=meta.le,
            choices=typing.get_args(base) if typing.get_origin(base) is typing.Literal else (),
            bare=meta.extra["bare"],
            flag="--" + info.name.replace("_", "-") if meta.extra["flag"] else None,
        )


def _meta(hint: Any) -> tuple[msgspec.Meta | None, Any]:
    if typing.get_origin(hint) is typing.Annotated:
        base, *extras = typing.get_args(hint)
        return next((extra for extra in extras if isinstance(extra, msgspec.Meta)), None), base
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return _meta(typing.get_args(hint)[0])
    return None, hint
