"""What the structs have in common: names in camelCase, the scalar types, and the two base classes.

Patterns end in `(?!\\n)$` since Python's `$` also matches before a last line end.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# Year 9999: a time plus any allowed duration stays far below 2**53.
LATEST_MS = 253_402_300_799_999
# Ten years, as in the settings.
LONGEST_MS = 315_360_000_000
METADATA_BYTES = 16_384

_NO_NUL = r"^[^\u0000]*(?!\n)$"
SERVER_ID = r"^[A-Za-z0-9._:-]{1,128}(?!\n)$"
_OBJECT = {"type": "object"}


def form(pattern: str, words: str, low: int | None = None, high: int | None = None, **more: Any) -> Meta:
    """What a text must be: its pattern, and in `words` for people ("must be …"); `low` to `high` characters."""
    shown = {"description": f"{words[:1].upper()}{words[1:]}."} | more
    return Meta(pattern=pattern, min_length=low, max_length=high, extra={"form": words}, **shown)


Text = Annotated[str, form(_NO_NUL, "at most 4096 characters, no NUL", None, 4096)]
TaskType = Annotated[str, form(_NO_NUL, "1-128 characters, no NUL", 1, 128)]
Label = Annotated[str, form(_NO_NUL, "1-128 characters, no NUL", 1, 128)]
Tag = Annotated[str, form(_NO_NUL, "1-64 characters, no NUL", 1, 64)]
ServerId = Annotated[str, form(SERVER_ID, "1-128 characters out of A-Z a-z 0-9 . _ : -")]
TaskId = Annotated[str, form(_NO_NUL, "an id as the node gave it", 1, 128)]
Time = Annotated[int, Meta(ge=0, le=LATEST_MS, description="Milliseconds since the epoch.")]
Duration = Annotated[int, Meta(ge=1, le=LONGEST_MS, description="Milliseconds, at least 1.")]
Pause = Annotated[int, Meta(ge=0, le=LONGEST_MS, description="Milliseconds, 0 or more.")]
Priority = Annotated[int, Meta(ge=0, le=10, description="An integer 0-10.")]
Share = Annotated[float, Meta(ge=0, le=1)]

Json = Annotated[Raw, Meta(description="Any JSON value.")]
JsonObject = Annotated[Raw, Meta(description="A JSON object.", extra_json_schema=_OBJECT)]


class Body(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A request's body. `null` means absent. The reader, not the struct, decides what becomes of unknown members.

    `rule` is JSON Schema for what holds between members; the handlers check it, the docs show it. `exact`: unknown
    members are refused, whoever asks.
    """

    rule: ClassVar[dict[str, Any]] = {}
    exact: ClassVar[bool] = False


class Query(Struct, rename="camel", kw_only=True, forbid_unknown_fields=True):
    """A request's query parameters."""


class Answer(Struct, rename="camel", kw_only=True):
    """An answer's body. `warnings` stands in it only when there are some."""

    warnings: Annotated[
        list[str] | UnsetType, Meta(description="What was ignored in the request, and what is likely to go wrong.")
    ] = UNSET


class Refused(Struct, rename="camel", kw_only=True):
    """Any answer but 2xx."""

    error: Annotated[str, Meta(description="The kind of error, short.")]
    details: Annotated[str | UnsetType, Meta(description="What is wrong, where, and the mend.")] = UNSET
    status: Annotated[str | UnsetType, Meta(description="With 409: the state that forbids the call.")] = UNSET
    request_id: Annotated[str, Meta(description="The value of X-Request-ID, to find the request in the logs.")]


def present(value: Raw | UnsetType) -> bytes | None:
    """A JSON member's bytes, or `None` when it is absent or null."""
    if value is UNSET:
        return None
    data = bytes(value)
    return None if data == b"null" else data


def one_of_two(one: str, other: str, kind: str) -> dict[str, Any]:
    """The rule that exactly one of two members is there, null being absent."""
    return {
        "oneOf": [
            {"required": [name], "properties": {name: {"type": kind}, without: {"type": "null"}}}
            for name, without in ((one, other), (other, one))
        ]
    }


def word_pattern(*words: str) -> str:
    """A pattern that matches these words whatever their case, in the syntax that JSON Schema knows."""
    return (
        "^("
        + "|".join("".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else c for c in word) for word in words)
        + r")(?!\n)$"
    )
