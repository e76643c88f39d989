"""Who answers a sync: the C library, or something that was loaded before it."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

SYNCS = ("fsync", "fdatasync")
FOR_ALL = Path("/etc/ld.so.preload")
_C_LIBRARY = re.compile(r"^(libc|libpthread|ld-musl|libSystem|libsystem)\b|^libc\.musl|^libc-")


class _Found(ctypes.Structure):
    """What dladdr says of an address."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def preloaded(environment: Mapping[str, str] = os.environ, for_all: Path = FOR_ALL) -> list[str]:
    """The libraries that this process had to load before the C library."""
    words = environment.get("LD_PRELOAD", "") + " "
    with suppress(OSError):
        words += for_all.read_text(errors="replace")
    return words.replace(":", " ").split()


def answering(name: str) -> str | None:
    """The file of the library that answers a call, as the loader chose it; `None` where that is not told."""
    try:
        this = ctypes.CDLL(None)
        found = _Found()
        known = this.dladdr(ctypes.cast(getattr(this, name), ctypes.c_void_p), ctypes.byref(found))
    except (OSError, AttributeError, TypeError):
        return None
    return os.fsdecode(found.file) if known and found.file else None


def usurpers(answering: Callable[[str], str | None] = answering) -> dict[str, str]:
    """The syncs that something else than the C library answers, and what."""
    found = {name: file for name in SYNCS if (file := answering(name)) is not None}
    # A static build of Python has the C library in itself.
    own = os.path.realpath(sys.executable)
    return {
        name: file
        for name, file in found.items()
        if not _C_LIBRARY.match(os.path.basename(file)) and os.path.realpath(file) != own
    }
