"""What a plan has for other nodes: taken out of its effects, and stored with it. Knows nothing of who reads it."""

from __future__ import annotations

from collections.abc import Sequence

from taskyard.engine.facts import Fact, NodeGone
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Abort, Answer, AnyEffect, Dispatch, Plan, Post, Refusal, Result
from taskyard.host.nodes.letters import ABORT, DISPATCH, VERDICT, encode, parcel, verdict
from taskyard.host.nodes.lines import Lines
from taskyard.host.nodes.membership import Membership


class Addressing:
    """For the node `me` while it decides. `lines` tells who asked, `members` who lives."""

    def __init__(self, me: str, lines: Lines, members: Membership) -> None:
        self._me = me
        self._lines = lines
        self._members = members
        self._refused: list[tuple[Fact, Result]] = []  # lines that no turn can take, and what to answer

    def refused(self, fact: Fact, reason: str) -> None:
        """No turn can take this fact: its line goes with the next plan."""
        if fact.line is not None:
            self._refused.append((fact, Refusal("bad_request", reason)))

    def forget(self) -> None:
        """Turns have failed: what was refused is read anew, and refused anew."""
        self._refused.clear()

    def settled(self, post: Post) -> None:
        """A plan's post is committed."""
        if self._refused:
            taken = set(post.taken)
            self._refused = [entry for entry in self._refused if entry[0].line not in taken]

    def address(self, memory: Memory, plan: Plan, facts: Sequence[Fact], *, must_commit: bool) -> None:
        """Take out of a plan's effects what is for other nodes, and have it stored with the plan.

        `must_commit`: have it committed whatever is in it, which fails when this node decides no longer.
        """
        post = Post()
        deferred = {id(fact) for fact in plan.deferred}
        for fact in facts:
            if fact.line is not None and id(fact) not in deferred:
                post.taken.append(fact.line)
            elif type(fact) is NodeGone:
                post.gone.append((fact.node,))
        for fact, refusal in self._refused:
            assert fact.line is not None
            post.taken.append(fact.line)
            self._answer(post, Answer(fact.ref, refusal))
        others = self._members.alive
        mine: list[AnyEffect] = []
        away: set[str] = set()
        for effect in plan.effects:
            kind = type(effect)
            if kind is Answer and effect.ref < 0:  # type: ignore[union-attr]
                self._answer(post, effect)  # type: ignore[arg-type]
            elif kind is Dispatch and effect.node != memory.node:  # type: ignore[union-attr]
                away.add(effect.task_id)  # type: ignore[union-attr]
                self._send(post, memory, effect)  # type: ignore[arg-type]
            elif kind is Abort and effect.node in others:  # type: ignore[union-attr]
                post.letters.append((effect.node, ABORT, effect.task_id, encode(effect).decode()))  # type: ignore[union-attr]
            else:
                mine.append(effect)
        plan.effects = mine
        if away:
            plan.payloads = [task_id for task_id in plan.payloads if task_id not in away]
        if post.taken or post.letters or post.gone or must_commit:
            plan.post = post

    def _answer(self, post: Post, effect: Answer) -> None:
        asker = self._lines.asker(effect.ref)
        if asker is None:
            return
        node, seq = asker
        if node == self._me:
            post.verdicts.append((seq, effect.result))
        else:
            post.letters.append((node, VERDICT, "", verdict(seq, effect.result)))

    def _send(self, post: Post, memory: Memory, effect: Dispatch) -> None:
        server = memory.fleet.servers[effect.server_id]
        post.letters.append((effect.node, DISPATCH, effect.task_id, parcel(effect, server)))
