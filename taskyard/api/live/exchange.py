"""What a node asks of the one that decides so as to tell its own listeners, and what it is told, once a tick.

Only messages: who asks is `ear`, who answers `neighbours`.
"""

from __future__ import annotations

from typing import Final

import msgspec

PATH: Final = "/internal/events"

# A topic, and the audience for which it is told: see `Topic.audience`.
Key = tuple[str, bool | None]


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """What a node wants to be told of.

    `number` counts its questions from 0, with which everything begins anew: `more` are then all tasks that it watches,
    else those it watches since the question before; `less` are those that it watches no longer. `at_once`: only how
    things stand, of which nothing is kept.
    """

    node: str
    number: int
    keys: list[Key]
    more: list[str]
    less: list[str]
    at_once: bool = False


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What is new: states (JSON) by the place of their key, topics that cannot be looked at, tasks that were touched.

    `anew`: nothing is known here of the question before; ask from 0.
    """

    states: list[tuple[int, bytes]]
    failed: list[int]
    touched: list[str]
    anew: bool = False


encode = msgspec.msgpack.Encoder().encode
asked = msgspec.msgpack.Decoder(Asked).decode
told = msgspec.msgpack.Decoder(Told).decode
