"""Mutants of what several nodes do: the lease and its epoch, who is dead, letters, lines and what is stored for others.

Those of the database are patches of the simulated one, whose rules are the real one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskyard.engine.engine import HANDLERS
from taskyard.engine.facts import Fact, NodeGone, Submitted
from taskyard.engine.plan import SubmitDone
from taskyard.host.clock import Clock
from taskyard.host.nodes.intake import Intake, Taken
from taskyard.host.nodes.lines import Lines
from taskyard.host.nodes.mailbox import Mailbox
from taskyard.host.nodes.membership import Membership
from taskyard.host.nodes.nodes import Nodes
from taskyard.prove.simulation.nodes.database import Database
from taskyard.store.nodes import Letter, Line
from tests.simulation.mutant import Swap, around, of_nodes, of_nodes_when

# --- who decides -----------------------------------------------------------------------------------------------------


@of_nodes
def epoch_not_checked_at_commit(swap: Swap) -> None:
    """A turn of a decider that was followed by another is committed."""
    swap(Database, "prove", lambda database, epoch: None)


@of_nodes
def lease_taken_before_it_expired(swap: Swap) -> None:
    """Who looks whether the decider is gone takes its right."""

    def take(original: Any, database: Database, node: str, is_dead: Any) -> int:
        database.expires_at = 0
        return int(original(database, node, is_dead))

    around(swap, Database, "take_lease", take)


@of_nodes
def clock_of_the_node(swap: Swap) -> None:
    """A node goes by the clock of its machine, not by the database's."""
    swap(Clock, "set", lambda clock, moment: None)


# --- who is dead -----------------------------------------------------------------------------------------------------


@of_nodes
def dead_node_keeps_its_attempts(swap: Swap) -> None:
    """What a dead node was sending waits for its time limit."""
    handlers: Any = HANDLERS
    swap(handlers, NodeGone, lambda turn, fact: None)  # type: ignore[arg-type]


@of_nodes
def dead_after_a_second(swap: Swap) -> None:
    """A node that was silent for a second is taken for dead."""

    def init(original: Any, members: Membership, *arguments: Any) -> None:
        original(members, *arguments)
        members._watch._silence_ms = 1_100

    around(swap, Membership, "__init__", init)


@of_nodes_when(kind="node_freeze", decider=False, after="letters", lasting=9_000)
def woken_node_sends_on(swap: Swap) -> None:
    """A node does not look whether it may have been taken for dead."""
    swap(Membership, "fresh", property(lambda members: members._told_at is not None))


@of_nodes_when(kind="node_freeze", decider=False, after="letters", lasting=9_000)
def letters_of_before_a_death_count(swap: Swap) -> None:
    """A node that had been taken for dead carries out what it had read before."""
    swap(Mailbox, "forget", lambda mailbox: None)


@of_nodes
def unread_letters_are_lost(swap: Swap) -> None:
    """Who becomes the decider does not look at what it should have sent."""
    swap(Mailbox, "take_over", lambda mailbox, letters: [])


# --- what goes from node to node -------------------------------------------------------------------------------------


@of_nodes
def letter_carried_out_twice(swap: Swap) -> None:
    """Letters are read from the start after an error."""

    def carry_out(original: Any, mailbox: Mailbox, letters: Sequence[Letter], payloads: Any) -> Any:
        left = original(mailbox, letters, payloads)
        for letter in letters if not left else ():
            mailbox._after = min(mailbox._after, letter.id - 1)
        return left

    around(swap, Mailbox, "_carry_out", carry_out)
    swap(Database, "letters_of", lambda database, node, after: list(database.letters.get(node, ())))


@of_nodes
def line_read_past(swap: Swap) -> None:
    """Of the lines that were read, one in seven is not taken."""

    def take(original: Any, lines: Lines, line: Line, specs: Any) -> None:
        if line.seq % 7 != 3:
            original(lines, line, specs)

    around(swap, Lines, "_take", take)


@of_nodes
def line_taken_twice(swap: Swap) -> None:
    """A turn need not prove that its lines are still there, and what was taken is read again."""

    def post(original: Any, database: Database, post: Any) -> None:
        if post is not None:
            post.taken, kept = [], post.taken
            original(database, post)
            post.taken = kept

    around(swap, Database, "post", post)
    swap(Database, "may_post", lambda database, post: None)


@of_nodes
def answered_before_it_is_stored(swap: Swap) -> None:
    """A submission is acknowledged when it is taken in, before the database has it."""

    def put(original: Any, intake: Intake, fact: Fact) -> Any:
        answer = original(intake, fact)
        if isinstance(fact, Submitted) and fact.key is None and not answer.done():
            answer.set_result(SubmitDone(fact.spec.id, fact.spec.created_at))
        return answer

    around(swap, Intake, "put", put)


@of_nodes
def keys_not_claimed(swap: Swap) -> None:
    """Two nodes may use one idempotency key."""

    def take_in(original: Any, database: Database, writes: Any, lines: Any, keys: Any) -> None:
        original(database, writes, lines, {})

    around(swap, Database, "take_in", take_in)
    swap(Intake, "_known", _nothing_known)


async def _nothing_known(intake: Intake, batch: list[Taken]) -> dict[tuple[str, str], Any]:
    return {}


@of_nodes
def own_tasks_overtake(swap: Swap) -> None:
    """Who has just become the decider gives new submissions their place before what it had stored."""
    swap(Nodes, "takes_in", lambda nodes, fact: not nodes.deciding or (isinstance(fact, Submitted) and bool(fact.key)))
