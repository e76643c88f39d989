"""The name under which a process holds the lease, and whether the process of such a name has died on this machine.

A name has the host and the number of the process for people, and for whoever comes next: the machine's present run with
its space of process numbers, and when the process began. Only in the same space is a number that is gone a death.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_BEGAN: Final = 19  # of the fields of /proc/<pid>/stat after the command's name: the time the process began


def new_holder() -> str:
    """A name that no other holder ever has."""
    number = os.getpid()
    parts = (socket.gethostname(), str(number), _space(), _began(number), secrets.token_hex(4))
    return ":".join(parts)


def is_dead(holder: str) -> bool:
    """Whether it was a process of this machine that is no longer there; false where that cannot be known."""
    *_, number, space, began, _ = ("", "", "", *holder.split(":"))
    return bool(space) and space == _space() and number.isdecimal() and _began(int(number)) != began


def _space() -> str:
    """This machine since it was started, with its space of process numbers; nothing where that cannot be known."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
        return hashlib.sha256((boot + os.readlink(_PROC / "self/ns/pid")).encode()).hexdigest()[:12]
    except OSError:
        return ""


def _began(number: int) -> str:
    """When a process began, in the system's ticks; nothing when there is none."""
    try:
        _, _, fields = (_PROC / str(number) / "stat").read_text().rpartition(")")
        state, *_ = fields.split()
        return "" if state in ("Z", "X") else fields.split()[_BEGAN]
    except OSError:
        return ""
