"""This node among others: the hooks of the turn loop and of the node, and the parts behind them put together.

While it decides, lines of others become facts, and what a plan has for others goes out as letters in the transaction of
that plan. While another decides, it takes in what comes and carries out the letters. What it sent goes on either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from taskyard.domain.server import Server
from taskyard.engine.facts import CalledBack, Ended, Fact, NodesSeen, SlotFreed, Submitted
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Plan, Post, Result, Snapshot
from taskyard.host.clock import Clock
from taskyard.host.effects import Effects
from taskyard.host.errors import Unavailable
from taskyard.host.inbox import Inbox
from taskyard.host.nodes.addressing import Addressing
from taskyard.host.nodes.awaited import Awaited
from taskyard.host.nodes.deaths import Deaths
from taskyard.host.nodes.figures import Figures, decider_figures, figures, view
from taskyard.host.nodes.intake import Intake
from taskyard.host.nodes.lines import Lines
from taskyard.host.nodes.mailbox import Mailbox, handed_back
from taskyard.host.nodes.membership import Membership
from taskyard.host.nodes.outgoing import Hands, Outgoing
from taskyard.host.nodes.threads import Threads
from taskyard.host.port import Decider, NodeView
from taskyard.settings import Settings
from taskyard.store.nodes import Letter, NodeRow, Seen, Shared
from taskyard.store.port import Store, StoreError

log = structlog.get_logger()
# Before a node leaves, the decider has had so long to learn of it and assign nothing more.
LEARNED_S = 1.5
# Of what is not much: the letters that a node has not read when it becomes the decider.
ALL = 1 << 30


class Nodes:
    """See the module. `version` is that of the program, `name` what people know this node by."""

    def __init__(
        self,
        settings: Settings,
        store: Shared,
        clock: Clock,
        inbox: Inbox,
        effects: Effects,
        hands: Hands,
        *,
        name: str,
        version: str,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._inbox = inbox
        self._effects = effects
        self._hands = hands
        self._name = name
        self._version = version
        self._started_at = clock.now()
        self._threads = Threads()
        self._reported: set[tuple[str, int]] = set()
        self._unread: Sequence[Letter] = ()  # letters to this node, when it got the right to decide
        self._decider_figures = Figures()
        self._lines_lost = True
        self._deposed = False
        self.id = store.nodes.id
        self.deciding = False
        self.draining = False
        poll_s = settings.node_poll / 1000
        self.members = Membership(store.nodes, self._threads, self._row, self._seen, settings.node_silence)
        self.intake = Intake(
            store.nodes,
            self._threads,
            clock.now,
            most=settings.inbox_submissions,
            most_bytes=settings.node_backlog,
            batch=settings.turn_facts,
            page=settings.node_page,
            key_ms=settings.idempotency_retention,
            stored=effects.stored,
        )
        self.lines = Lines(
            store.nodes, self._threads, inbox.adopt, poll_s, page=settings.node_page, backlog=settings.node_backlog
        )
        self._deaths = Deaths(self.lines, inbox.adopt)
        self._outgoing = Outgoing(self.id, hands, fresh=lambda: self.members.fresh, deciding=lambda: self.deciding)
        effects.hold_back = self._outgoing.hold_back
        self._addressing = Addressing(self.id, self.lines, self.members)
        self._mailbox = Mailbox(
            store.nodes,
            self._threads,
            may_read=lambda: not self.deciding and self.members.fresh,
            dispatch=self._outgoing.dispatch,
            abort=self._outgoing.give_up,
            decided=self.intake.decided,
            tell=self.intake.tell,
            busy=lambda: self.intake.asking or bool(hands.sending()),
            poll_s=poll_s,
            page=settings.node_page,
        )
        self._awaited = Awaited(
            store.nodes,
            self._threads,
            effects.ended,
            effects.changed,
            now=clock.now,
            deciding=lambda: self.deciding,
            poll_s=2 * poll_s,
            page=settings.node_page,
        )

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Become known, and begin. Raises `StoreError`."""
        await self.members.start()
        for part in (self.intake, self.lines, self._mailbox, self._awaited):
            part.start()

    async def withdraw(self) -> None:
        """Before what is being sent is waited for: get nothing new."""
        self.draining = self._mailbox.returning = True
        self.members.soon()
        if self.members.seen.decider not in ("", self.id):
            await asyncio.sleep(LEARNED_S)

    async def stop(self) -> None:
        """End, once nothing is sent any more."""
        await self._awaited.stop()
        await self._mailbox.stop()
        await self.lines.stop()
        await self.intake.stop(self._settings.last_answers_timeout / 1000)
        await self.members.stop(leave=True)
        await self._threads.close()

    # --- the hooks of the turn loop ----------------------------------------------------------------------------------

    def hand_over(self, _: Store) -> None:
        """On the writer's thread: let another node decide. Raises `StoreError`."""
        self._store.hand_over()

    def recovered(self) -> None:
        """On the writer's thread, after `recover`: what else a decider must know first. Raises `StoreError`."""
        self._reported = self._store.nodes.ends_reported()
        self._unread = self._store.nodes.letters(self._mailbox.after, ALL, ALL)

    def decides(self, snapshot: Snapshot) -> set[tuple[str, int]]:
        """This node has the right to decide: the attempts that others send, or whose ends are on their way."""
        self.deciding = True
        unsent = self._mailbox.take_over(self._unread)
        for effect in unsent:
            self._inbox.adopt(handed_back(effect, "the node that should dispatch it decides now"))
        alive = self.members.alive
        self._deaths.begin(alive, self.members.gone)
        others = {
            (record.run.task_id, record.run.attempt)
            for record in snapshot.runs
            if record.run is not None and record.run.node in alive
        }
        return others | self._reported | self.intake.ends | {(effect.task_id, effect.attempt) for effect in unsent}

    def address_first(self, memory: Memory, plan: Plan) -> None:
        """As `address`, for the first plan of a decider: no letter of before is for this node, or for dead ones."""
        self._deposed = False
        self.address(memory, plan, ())
        plan.post = plan.post or Post()
        plan.post.gone += [(node,) for node in sorted(self.members.gone)]
        plan.post.unread.append((self.id,))

    async def began(self) -> None:
        """The first plan is committed: turns follow. What the others have stored comes before what comes now."""
        if self._lines_lost or not self.lines.active:
            self._lines_lost = False
            self.lines.begin()
            self.lines.know(row.id for row in self.members.seen.nodes)
            stored = self.intake.stored_up_to
            try:
                await self.lines.read()
                drained = stored if self.lines.all_of(self.id) else self.lines.drained(self.id)
                self.intake.drained = max(self.intake.drained, drained)
            except StoreError as error:
                log.warning("not_read", what="lines", reason=str(error))
        self._spread()

    def follows(self, facts: Sequence[Fact]) -> None:
        """Another node decides: what this one still has to tell goes to it."""
        self.deciding = False
        self._deaths.forget()
        self.lines.end()
        self._lines_lost = True
        for fact in facts:
            self.tell(fact)

    def tell(self, fact: Fact) -> None:
        """Something that the decider should know; who waits for its answer gets it when that one has decided."""
        if isinstance(fact, Ended | CalledBack | SlotFreed):
            self.intake.tell(fact, self._effects.hand_on(fact))

    def give_up(self, facts: Sequence[Fact]) -> list[Fact]:
        """A turn over these facts came to nothing; those that are not read anew from the store."""
        self._lines_lost = True
        self._addressing.forget()
        return [fact for fact in facts if fact.line is None]

    def refused(self, fact: Fact, reason: str) -> None:
        """No turn can take this fact: its line goes with the next plan."""
        self._addressing.refused(fact, reason)

    def address(self, memory: Memory, plan: Plan, facts: Sequence[Fact]) -> None:
        """Take out of a plan's effects what is for other nodes, and have it stored with the plan."""
        self._addressing.address(memory, plan, facts, must_commit=self._deposed)

    def settled(self, plan: Plan) -> None:
        """A plan is committed."""
        if plan.post is not None:
            self._addressing.settled(plan.post)
            self.lines.taken(plan.post.taken)
            for seq, result in plan.post.verdicts:
                self.intake.decided(seq, result)

    # --- the hooks of the node ---------------------------------------------------------------------------------------

    def takes_in(self, fact: Fact) -> bool:
        """Whether a fact goes by way of the store: all while another decides; else what could overtake what did."""
        if not self.deciding:
            return True
        return isinstance(fact, Submitted) and (fact.key is not None or self.intake.behind > 0)

    def put(self, fact: Fact) -> asyncio.Future[Result]:
        """Take a fact in by way of the store. Raises `Overloaded`."""
        if not isinstance(fact, Submitted | CalledBack | Ended):
            raise Unavailable("another node decides")
        if not self.members.fresh:
            raise Unavailable(self.not_ready() or "the store is away")
        return self.intake.put(fact)

    def server(self, server_id: str) -> Server | None:
        """A server as the last letter about it said."""
        return self._outgoing.server(server_id)

    @property
    def decider(self) -> Decider:
        """The other node that decides, as it was last heard."""
        figures = self._decider_figures
        return Decider(self.members.decider_url, figures.careful, figures.owners)

    def views(self) -> list[NodeView]:
        """All nodes as the last beat has seen them."""
        return [view(row, self.id, self.members) for row in self.members.seen.nodes]

    def not_ready(self) -> str | None:
        """Why this node cannot take anything in, or `None`."""
        if self.members.fresh:
            return None
        return f"the store is away: {self.members.failure or 'no answer in time'}"

    # --- beats -------------------------------------------------------------------------------------------------------

    def _row(self) -> NodeRow:
        return NodeRow(
            self.id,
            self._name,
            self._hands.url(),
            self._version,
            self._started_at,
            self._store.epoch if self.deciding else self.members.seen.epoch,
            int(self.draining),
            len(self._hands.sending()),
            figures(self._hands.memory(), self._drained()) if self.deciding else "{}",
            0,
        )

    def _seen(self, seen: Seen) -> None:
        self._decider_figures = decider_figures(seen)
        self._clock.not_before(seen.now)
        self._outgoing.alive(anew=seen.anew)
        if seen.anew:
            self._mailbox.forget()
        if self.deciding:
            self._deposed = seen.epoch != self._store.epoch
            self.intake.drained = max(self.intake.drained, self.lines.drained(self.id))
            self._spread()
        else:
            self.intake.drained = max(self.intake.drained, self._decider_figures.drained.get(self.id, 0))
        self.intake.prune()

    def _drained(self) -> dict[str, int]:
        return {row.id: self.lines.drained(row.id) for row in self.members.seen.nodes}

    def _spread(self) -> None:
        """Tell the engine who lives."""
        rows = self.members.seen.nodes
        gone = self.members.gone
        self.lines.know(row.id for row in rows)
        self._deaths.look({row.id for row in rows if row.id != self.id}, gone)
        loads = {row.id: row.load for row in rows if not row.draining and row.id not in gone and row.id != self.id}
        if loads or self._deposed or self._hands.memory().loads:
            if loads:
                loads[self.id] = len(self._hands.sending())
            self._inbox.adopt(NodesSeen(loads=loads))
