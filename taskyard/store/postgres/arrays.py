"""Columns of rows as PostgreSQL's array literals. Knows two kinds of values: numbers and text.

A batch goes as one array for each column. The driver would write them item by item in Python, at four times the cost of
a whole turn; here each column takes a few calls into C. What is no number or no text is refused, here or by the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

_NUL: Final = "\0"


def numbers(column: Sequence[int | None]) -> bytes:
    """An array of numbers. Raises `TypeError` for some values that are none; the server refuses all others."""
    # JSON writes numbers as the server reads them, and text in quotes, where no comma can make two of one.
    return b"{" + json.dumps(column).encode()[1:-1] + b"}"


def texts(column: Sequence[str | None]) -> bytes:
    """An array of text. Raises `TypeError`, `AttributeError` or `ValueError` for a value that is none."""
    try:
        # No text holds a NUL, so it parts them while quotes and backslashes are escaped in all at once.
        joined = _NUL.join(column)  # type: ignore[arg-type]
    except TypeError:
        items = ["NULL" if text is None else '"' + _escape(text) + '"' for text in column]
        return ("{" + ",".join(items) + "}").encode()
    if joined.count(_NUL) != len(column) - 1:
        raise ValueError("a text has a NUL in it")
    return ('{"' + _escape(joined).replace(_NUL, '","') + '"}').encode()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def columns(kinds: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[bytes]:
    """Rows as one array for each column; `kinds` says of each whether it is "bigint" or "text"."""
    return [
        numbers(column) if kind == "bigint" else texts(column)
        for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)
    ]
