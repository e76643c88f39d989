"""What the real host asks of the world outside, answered by the simulation: time, chance, the store, connections, logs.

`entered` says whose code runs; within `replaced` the host's modules ask here. Nothing of the host itself is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from random import Random
from typing import Any, Protocol

import structlog

from taskyard.host import checks, loop, node, storage, sweeper
from taskyard.host.nodes import membership, threads
from taskyard.host.transport.port import Transport
from taskyard.store.port import Store


class Inside(Protocol):
    """A process whose code runs."""

    def monotonic(self) -> float:
        """Its machine's monotonic clock in s."""

    def random(self) -> Random:
        """A new source of chance."""

    def open_store(self) -> Store:
        """The store. Raises `StoreError`."""

    def transport(self) -> Transport:
        """What it reaches backends by."""

    def fell_over(self, what: str) -> None:
        """Its code has logged an error that it had not reckoned with."""


_inside: list[Inside] = []


def entered(process: Inside, inside: bool) -> None:
    """Code of a process begins to run, or ends to."""
    if inside:
        _inside.append(process)
    else:
        _inside.pop()


class _Time:
    """In the place of the module `time`."""

    @staticmethod
    def monotonic() -> float:
        return _inside[-1].monotonic()


class _Quiet:
    """In the place of the modules by which a process sets itself up."""

    @staticmethod
    def setswitchinterval(_: float) -> None:
        pass

    @staticmethod
    def freeze() -> None:
        pass

    @staticmethod
    def set_threshold(*_: int) -> None:
        pass


class _Threads:
    """In the place of a pool of threads: the loop asks how many there are."""

    def __init__(self, max_workers: int, _: str) -> None:
        self._max_workers = max_workers

    def shutdown(self) -> None:
        """Nothing to end."""


def _random() -> Random:
    return _inside[-1].random()


def _open_store(_: Any) -> Store:
    return _inside[-1].open_store()


def _client(*_: Any, **__: Any) -> Transport:
    return _inside[-1].transport()


_PLACES: tuple[tuple[Any, str, Any], ...] = (
    *((module, "time", _Time) for module in (membership, loop, checks, sweeper)),
    (loop, "Random", _random),
    (node, "open_store", _open_store),
    (node, "Client", _client),
    (storage, "ThreadPoolExecutor", _Threads),
    (threads, "ThreadPoolExecutor", _Threads),
    (node, "sys", _Quiet),
    (node, "gc", _Quiet),
)


@contextmanager
def replaced() -> Iterator[None]:
    """Within, the host asks the simulation."""
    before = [(module, name, getattr(module, name)) for module, name, _ in _PLACES]
    configured = structlog.get_config()
    structlog.configure(
        processors=[_note],
        wrapper_class=structlog.BoundLogger,
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    try:
        for module, name, value in _PLACES:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
        structlog.configure(**configured)


def _note(_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Log lines are not kept; an exception that was caught and logged is a finding."""
    if method == "exception" and _inside:
        _inside[-1].fell_over(str(event.get("event")))
    raise structlog.DropEvent
