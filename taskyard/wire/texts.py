"""JSON texts that are kept as they came: what they must fulfil, and when two bodies are the same.

Syntax, escapes and lone surrogates are checked by the decoder that cuts them out of a body; here is the rest.
"""

from __future__ import annotations

import hashlib
import re
from itertools import accumulate

import msgspec

DEPTH_MOST = 512
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}


def depth(text: bytes) -> int:
    """How deep a valid JSON text is nested; exact only where it could pass `DEPTH_MOST`."""
    opened = text.count(b"{") + text.count(b"[")
    if opened <= DEPTH_MOST:
        return opened
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def kept(raw: msgspec.Raw | bytes) -> str:
    """A raw JSON value as text. Raises ValueError saying what is wrong with it, in words that follow its name."""
    data = bytes(raw)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"is not valid UTF-8 (byte {error.start} of it)") from None
    if depth(data) > DEPTH_MOST:
        raise ValueError(f"is nested deeper than {DEPTH_MOST} levels")
    return text


def kept_object(raw: msgspec.Raw | bytes, most: int | None = None) -> str:
    """As `kept`, for an object of at most `most` bytes."""
    data = bytes(raw)
    if data[:1] != b"{":
        raise ValueError("must be a JSON object")
    if most is not None and len(data) > most:
        raise ValueError(f"is larger than {most // 1024} KiB")
    return kept(data)


def _number(text: str) -> float | int | str:
    value = float(text)
    if value.is_integer():
        return int(value)
    return value if value == value and abs(value) != float("inf") else text


_decode = msgspec.json.Decoder(float_hook=_number).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def digest(body: bytes, without: str) -> str:
    """A hash of a JSON object by its values, one member left out: order, spaces, escapes and 1.0 for 1 do not matter.

    `body` is valid JSON, nested at most `DEPTH_MOST` deep below its members.
    """
    value = _decode(body)
    value.pop(without, None)
    return hashlib.sha256(_encode(value)).hexdigest()
