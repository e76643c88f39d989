"""What a backend does with a task that it got: works for a while, then answers the dispatch, calls back, or neither.

Each is a function under its name in the catalogue of faults. Knows the machine and nothing of the node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from taskyard.domain.outcomes import Word
from taskyard.host.transport.port import Broken, Silent

if TYPE_CHECKING:
    from taskyard.prove.simulation.backends import Backend, Order

Behaviour = Callable[["Backend", "Order"], None]
BEHAVIOURS: dict[str, Behaviour] = {}
RUBBISH: tuple[tuple[bytes, str], ...] = (
    (b"<html>it works</html>", ""),
    (b'{"result": ', ""),
    (b'{"result": "\xff\xfe"}', ""),
    (b"[" * 100_000, ""),
    (b"\x1f\x8b\x08", "gzip"),
)


def behaviour(what: Behaviour) -> Behaviour:
    """Register a behaviour under its function's name."""
    BEHAVIOURS[what.__name__] = what
    return what


def accept(backend: Backend, order: Order) -> None:
    """Say that it will call back."""
    backend.world.after(int(backend.share(order, 1) * 20), backend.replies, order, 202, "accepted")


def succeed(backend: Backend, order: Order) -> None:
    """Answer with the result; one that was registered as asynchronous calls back with it as well."""
    backend.replies(order, 200)
    if backend.machine.is_async and order.key in backend.working:
        backend.world.after(backend.work(order), backend.calls, order, Word.COMPLETED)


def _call_later(backend: Backend, order: Order, word: Word, more: Word | None = None) -> None:
    accept(backend, order)
    backend.world.after(20 + backend.work(order), backend.calls, order, word, more)


@behaviour
def succeeds(backend: Backend, order: Order) -> None:
    backend.world.after(backend.work(order), succeed, backend, order)


@behaviour
def fails_in_words(backend: Backend, order: Order) -> None:
    backend.world.after(backend.work(order), backend.replies, order, 200, "error")


@behaviour
def crashes(backend: Backend, order: Order) -> None:
    backend.world.after(backend.work(order), backend.replies, order, 500)


@behaviour
def finds_it_wrong(backend: Backend, order: Order) -> None:
    status = (400, 413, 422)[int(backend.share(order, 2) * 3)]
    backend.world.after(backend.work(order), backend.replies, order, status)


@behaviour
def answers_timeout(backend: Backend, order: Order) -> None:
    backend.world.after(backend.work(order), backend.replies, order, 200, "timeout")


@behaviour
def answers_rubbish(backend: Backend, order: Order) -> None:
    body, encoding = RUBBISH[int(backend.share(order, 2) * len(RUBBISH))]

    def answer() -> None:
        backend.replies(order, 200, "error", rubbish=body, encoding=encoding)

    backend.world.after(backend.work(order), answer)


@behaviour
def answers_unstorable(backend: Backend, order: Order) -> None:
    backend.world.after(backend.work(order), backend.replies_unstorable, order)


@behaviour
def declines(backend: Backend, order: Order) -> None:
    backend.replies(order, 429)


@behaviour
def asks_to_wait(backend: Backend, order: Order) -> None:
    status = 429 if backend.share(order, 2) < 0.3 else 503
    backend.replies(order, status, retry_after=(0, 1, 5)[int(backend.share(order, 3) * 3)])


@behaviour
def resets(backend: Backend, order: Order) -> None:
    backend.world.after(backend.work(order), backend.fails, order, Broken("reset by peer"))


@behaviour
def is_cut_off(backend: Backend, order: Order) -> None:
    backend.world.after(backend.work(order), backend.fails, order, Silent("silent after its head", total=False))


@behaviour
def hangs(backend: Backend, order: Order) -> None:
    """Takes it and is never heard of again."""


@behaviour
def accepts_in_silence(backend: Backend, order: Order) -> None:
    accept(backend, order)


@behaviour
def calls_back(backend: Backend, order: Order) -> None:
    _call_later(backend, order, Word.COMPLETED)


@behaviour
def calls_back_failed(backend: Backend, order: Order) -> None:
    _call_later(backend, order, Word.FAILED)


@behaviour
def calls_back_timeout(backend: Backend, order: Order) -> None:
    _call_later(backend, order, Word.TIMEOUT)


@behaviour
def hands_back(backend: Backend, order: Order) -> None:
    _call_later(backend, order, Word.CANCELLED if backend.share(order, 2) < 0.5 else Word.PENDING)


@behaviour
def calls_back_with_progress(backend: Backend, order: Order) -> None:
    for part in range(3):
        backend.world.after(20 + part * backend.machine.fast_ms // 4, backend.calls, order, Word.PROCESSING)
    _call_later(backend, order, Word.COMPLETED)


@behaviour
def calls_back_early(backend: Backend, order: Order) -> None:
    """The callback overtakes the answer to the dispatch."""
    backend.calls(order, Word.COMPLETED)

    def answer() -> None:
        backend.replies(order, 202, "accepted", called_already=True)

    backend.world.after(int(backend.share(order, 1) * 20), answer)


@behaviour
def calls_back_twice(backend: Backend, order: Order) -> None:
    _call_later(backend, order, Word.COMPLETED, Word.COMPLETED)


@behaviour
def calls_back_twice_otherwise(backend: Backend, order: Order) -> None:
    words = (Word.COMPLETED, Word.FAILED) if backend.share(order, 2) < 0.5 else (Word.FAILED, Word.COMPLETED)
    _call_later(backend, order, *words)


@behaviour
def calls_back_unstorable(backend: Backend, order: Order) -> None:
    accept(backend, order)
    backend.world.after(20 + backend.work(order), backend.calls_unstorable, order)


@behaviour
def calls_back_for_another(backend: Backend, order: Order) -> None:
    """Calls back about every task that it has, each time under the proof of this one; then properly."""

    def forge() -> None:
        for task_id, attempt in list(backend.working):
            if task_id != order.dispatch.task_id:
                backend.forges(order, task_id, attempt)

    backend.world.after(10, forge)
    _call_later(backend, order, Word.COMPLETED)


@behaviour
def calls_back_for_the_next(backend: Backend, order: Order) -> None:
    """Fails, and later calls back about the attempt that came after it."""
    crashes(backend, order)
    attempt = order.dispatch.attempt + 1
    for wait in (300, 2_000, 9_000):
        backend.world.after(backend.work(order) + wait, backend.forges, order, order.dispatch.task_id, attempt)


@behaviour
def is_late(backend: Backend, order: Order) -> None:
    """Calls back once given up: while the slot lingers, while the task waits, or from a superseded attempt."""
    accept(backend, order)
    late = order.dispatch.timeout_ms + (100, 2_000, 30_000)[int(backend.share(order, 2) * 3)]
    backend.world.after(late, backend.calls, order, Word.COMPLETED)
