"""The seven shapes of task that the demo submits, and the three servers that can serve them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A task as users submit it; `waits`: with `async: false`."""

    type: str
    capabilities: list[str]
    payload: dict[str, Any]
    waits: bool


@dataclass(frozen=True)
class Offer:
    """A server of the demo: what it can do, its slots and weight, and how long its work takes (ms)."""

    name: str
    kind: str
    about: str
    capabilities: list[str]
    slots: int
    weight: int
    fastest: int
    slowest: int


def shapes() -> list[Shape]:
    """The seven shapes."""
    read = json.loads(files("taskyard.demo").joinpath("shapes.json").read_text(encoding="utf-8"))
    return [Shape(one["type"], one["capabilities"], one["payload"], not one["async"]) for one in read]


OFFERS = (
    Offer(
        "swift",
        "direct",
        "answers directly",
        ["bert", "text-classification", "yolo", "object-detection", "custom-ml", "llm", "chat"],
        slots=4,
        weight=3,
        fastest=150,
        slowest=500,
    ),
    Offer(
        "studio",
        "callback",
        "accepts, then calls back",
        ["stable-diffusion", "txt2img", "whisper", "speech-recognition", "ocr", "paddle-ocr"],
        slots=4,
        weight=1,
        fastest=500,
        slowest=1500,
    ),
    Offer(
        "moody",
        "moody",
        "fails or declines now and then",
        ["llm", "chat", "ocr", "paddle-ocr", "custom-ml", "bert", "text-classification"],
        slots=3,
        weight=2,
        fastest=200,
        slowest=600,
    ),
)
