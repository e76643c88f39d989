"""A simulated machine behind a wire: what it answers goes back as it is, for the real dispatcher to read."""

from __future__ import annotations

from taskyard.host.transport.port import Reply, TransportError
from taskyard.prove.simulation.backends import Backend, Order


class WiredBackend(Backend):
    """See the module."""

    def _replied(self, order: Order, reply: Reply) -> None:
        order.answer(reply)

    def _failed(self, order: Order, error: TransportError) -> None:
        order.answer(error)

    def replies_unstorable(self, order: Order) -> None:
        """The real edge lets nothing through that no store can take: it answers rubbish instead."""
        self.replies(order, 200, "error", rubbish=b'{"result": "\xff\xfe"}')
