"""Mutants of the node's edges: proofs, answers, the inbox, the clock, the store and what becomes of failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from taskyard.engine.engine import NOTHING, Engine
from taskyard.engine.facts import CalledBack, Ended, Fact, Submitted
from taskyard.engine.plan import Found, Refusal
from taskyard.host import answers
from taskyard.host.clock import Clock
from taskyard.host.errors import Overloaded
from taskyard.host.inbox import REPEATABLE, Inbox
from taskyard.host.keys import Keys
from taskyard.host.transport.port import Reply
from taskyard.prove.simulation.host import Host
from taskyard.prove.simulation.lives import Lives
from taskyard.store import start
from taskyard.store.connection import Connection
from taskyard.store.port import StoreError
from taskyard.store.sqlite import SqliteStore
from tests.simulation.mutant import Swap, around, found_only_by

UNSTORABLE = ("unstorable_task", "answers_unstorable", "calls_back_unstorable")

# --- proofs and answers ----------------------------------------------------------------------------------------------


def _prove_only(swap: Swap, bound: Callable[[str, int], tuple[str, int, str]]) -> None:
    """Let proofs be made and checked over less than task, attempt and server."""

    def proof(original: Any, own: Keys, task_id: str, attempt: int, server_id: str) -> str:
        return str(original(own, *bound(task_id, attempt)))

    def is_good(original: Any, own: Keys, task_id: str, attempt: int, server_id: str, given: str) -> bool:
        return bool(original(own, *bound(task_id, attempt), given))

    around(swap, Keys, "proof", proof)
    around(swap, Keys, "proof_is_good", is_good)


@found_only_by("calls_back_for_the_next")
def proof_not_bound_to_the_attempt(swap: Swap) -> None:
    """The proof of one attempt is good for all attempts of its task."""
    _prove_only(swap, lambda task_id, attempt: (task_id, 0, ""))


@found_only_by("calls_back_for_another")
def proof_not_bound_to_the_task(swap: Swap) -> None:
    """The proof of one task is good for all tasks."""
    _prove_only(swap, lambda task_id, attempt: ("", attempt, ""))


@found_only_by("answers_rubbish")
def rubbish_is_a_result(swap: Swap) -> None:
    """An answer that cannot be read is taken as it is."""

    def read(reply: Reply, ok: bool) -> tuple[str, dict[str, msgspec.Raw], str | None]:
        return reply.body.decode(errors="replace"), {}, None

    around(swap, answers, "_read_body", lambda original, reply, ok: _lenient(original, reply, ok, read))


def _lenient(original: Any, reply: Reply, ok: bool, read: Any) -> Any:
    told = original(reply, ok)
    return told if told[2] is None else read(reply, ok)


@found_only_by("asks_to_wait")
def retry_after_ignored(swap: Swap) -> None:
    """`Retry-After` is not looked at."""
    swap(answers, "_pause", lambda reply, members, now: None)


# --- the inbox -------------------------------------------------------------------------------------------------------


@found_only_by("full_inbox")
def callbacks_are_shed(swap: Swap) -> None:
    """Callbacks are turned away like anything else when much waits."""

    def put(original: Any, inbox: Inbox, fact: Fact) -> None:
        if isinstance(fact, CalledBack) and len(inbox) >= inbox._calls_most:
            raise Overloaded("too much waits")
        original(inbox, fact)

    around(swap, Inbox, "put", put)


@found_only_by("full_inbox")
def shed_and_done_nevertheless(swap: Swap) -> None:
    """A submission that is turned away is taken in."""

    def put(original: Any, inbox: Inbox, fact: Fact) -> None:
        try:
            original(inbox, fact)
        except Overloaded:
            if isinstance(fact, Submitted):
                inbox._submissions.append(fact)
            raise

    around(swap, Inbox, "put", put)


# --- facts that cannot be stored -------------------------------------------------------------------------------------


@found_only_by(*UNSTORABLE)
def one_bad_fact_spoils_its_batch(swap: Swap) -> None:
    """When the store refuses a value, everything that came with it is refused."""

    def narrow(host: Host, facts: list[Fact], error: Exception) -> None:
        for fact in facts:
            host._journal.write(host._world.now, "host", "refuses", type(fact).__name__, fact.ref, "")
            host.door.answer(fact.ref, Refusal("unstorable", str(error)))
        host._drop_engine()
        host._recover()

    swap(Host, "_narrow", narrow)


@found_only_by(*UNSTORABLE)
def ends_forgotten_while_a_batch_is_halved(swap: Swap) -> None:
    """A recovery does not know of the ends in the other half of a batch."""

    def ended(inbox: Inbox) -> set[tuple[str, int]]:
        return {(fact.task_id, fact.attempt) for fact in inbox._urgent if isinstance(fact, Ended)}

    swap(Inbox, "ended", ended)


# --- the store and its failures --------------------------------------------------------------------------------------


@found_only_by("in_lookup")
def failed_lookup_finds_nothing(swap: Swap) -> None:
    """A lookup that fails is taken for one that found nothing."""

    def look_up(original: Any, host: Host, engine: Engine, facts: list[Fact]) -> Found:
        try:
            found: Found = original(host, engine, facts)
        except StoreError:
            return NOTHING
        return found

    around(swap, Host, "_look_up", look_up)


@found_only_by("store_away")
def ends_dropped_while_the_store_is_away(swap: Swap) -> None:
    """What backends say while the store is away is forgotten."""

    def give_back(original: Any, host: Lives, facts: Sequence[Fact]) -> None:
        if host._world.now < host._away_until:
            facts = [fact for fact in facts if type(fact) not in REPEATABLE]
        original(host, facts)

    around(swap, Lives, "_give_back", give_back)


@found_only_by("retention")
def the_young_are_swept(swap: Swap) -> None:
    """Ended tasks are removed a while before their time."""

    def sweep(original: Any, store: SqliteStore, ended_before: int, keys_before: int, most: int) -> int:
        return int(original(store, ended_before + 1_500, keys_before, most))

    around(swap, SqliteStore, "sweep", sweep)


@found_only_by("retention")
def results_outlive_their_tasks(swap: Swap) -> None:
    """The sweep forgets the results."""

    def sweep(original: Any, connection: Connection, *bounds: int) -> int:
        change_each = connection.change_each

        def without_results(statement: str, rows: Any) -> None:
            if "FROM result" not in statement:
                change_each(statement, rows)

        connection.change_each = without_results  # type: ignore[method-assign]
        try:
            return int(original(connection, *bounds))
        finally:
            del connection.change_each

    around(swap, start, "sweep", sweep)


# --- the clock -------------------------------------------------------------------------------------------------------


@found_only_by("clock_step")
def clock_follows_the_wall(swap: Swap) -> None:
    """A step of the wall clock moves the node's clock."""
    original = Clock.__init__

    def init(clock: Clock, not_before: int = 0, *, wall: Callable[[], int], monotonic: Callable[[], int]) -> None:
        original(clock, not_before, wall=wall, monotonic=wall)

    swap(Clock, "__init__", init)


@found_only_by("clock_step")
def clock_goes_back(swap: Swap) -> None:
    """A start does not look at the time that the store has seen."""
    swap(Clock, "not_before", lambda clock, moment: None)
