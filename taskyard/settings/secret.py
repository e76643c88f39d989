"""A string that never shows itself. Knows nothing of where secrets come from or what they open."""

import hmac
from typing import NoReturn


class Secret:
    """A secret text: `str`, `repr`, f-strings and tracebacks show `***`; only `reveal()` gives the text.

    Not a subclass of `str`, since every function that takes a string would then print it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that uses it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")
