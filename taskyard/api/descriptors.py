"""File descriptors: how many this process may have, and how many of them clients' connections may take."""

import sys
from contextlib import suppress

# What is taken for "unlimited"; the kernel's own default for what a process can be allowed.
UNLIMITED = 1 << 20


def take_all() -> None:
    """Allow this process as many descriptors as its hard limit does. The soft one is often 1,024, for `select`."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # some systems allow less than they say; what there is must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors() -> int:
    """How many this process may have open now."""
    if sys.platform == "win32":
        return UNLIMITED
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def connections_within(allowed: int) -> int:
    """Of so many descriptors, those for clients' connections: the rest is for backend servers and the store."""
    return max(1, allowed * 3 // 4)
