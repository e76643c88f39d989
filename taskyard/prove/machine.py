"""On what a proof was made: the machine and the versions, as far as the system says. No names and no addresses."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path


def described() -> dict[str, str]:
    """The facts in the words of a report."""
    facts = {
        "Taskyard": version("taskyard"),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "system": " ".join((platform.system(), platform.release(), platform.machine())),
        "processor": f"{os.cpu_count()} × {processor()}",
    }
    if memory := memory_bytes():
        facts["memory"] = f"{memory / 2**30:.1f} GiB"
    return facts


def processor() -> str:
    """The processor's model."""
    for name, value in _cpu():
        if name == "model name":
            return value
    return platform.processor() or platform.machine()


def is_virtual() -> bool:
    """Whether a hypervisor says that it is there; on a machine that does not tell, false."""
    return any(name == "flags" and "hypervisor" in value.split() for name, value in _cpu())


def memory_bytes() -> int | None:
    """The machine's memory, where that is told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _cpu() -> Iterator[tuple[str, str]]:
    """What Linux says of its processors, of the first one first."""
    try:
        told = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return
    for line in told.splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()
