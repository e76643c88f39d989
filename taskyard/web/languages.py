"""Which of the dashboard's languages a reader gets: what was chosen before, else what the browser asks for."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("en", "zh-CN")


def language_of(chosen: str | None, accept: str) -> str:
    """One of `LANGUAGES`; `accept` is the header Accept-Language."""
    if chosen in LANGUAGES:
        return chosen
    best, weight = LANGUAGES[0], 0.0
    for part in accept.split(","):
        tag, *parameters = (piece.strip() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        match = next((known for known in LANGUAGES if tag.lower().split("-")[0] == known.split("-")[0]), None)
        if match is not None and quality > weight:
            best, weight = match, quality
    return best
