"""A node among others goes by the database's clock, however wrong its machine's is."""

from email.utils import formatdate

from taskyard.host.answers import read_reply
from taskyard.host.clock import Clock
from taskyard.host.transport.port import Reply

MINUTE = 60_000


class Machine:
    """A machine whose wall clock is minutes wrong; its monotonic one runs as all do."""

    def __init__(self, wrong_ms: int) -> None:
        self.ms = 5_000
        self.clock = Clock(
            wall=lambda: (1_900_000_000_000 + wrong_ms + self.ms) * 1_000_000, monotonic=lambda: self.ms * 1_000_000
        )


def test_clocks_that_are_minutes_apart_tell_the_databases_time() -> None:
    for wrong in (-7 * MINUTE, 0, 7 * MINUTE):
        machine = Machine(wrong)
        assert machine.clock.now() == 1_900_000_000_000 + wrong + 5_000
        machine.clock.set(1_900_000_000_000)
        machine.ms += 1_500
        assert machine.clock.now() == 1_900_000_001_500
        # What the database says later moves it on, never back.
        machine.clock.not_before(1_900_000_001_400)
        assert machine.clock.now() == 1_900_000_001_500
        machine.clock.not_before(1_900_000_001_700)
        assert machine.clock.now() == 1_900_000_001_700


def test_a_date_in_retry_after_is_judged_by_the_nodes_clock() -> None:
    now = 1_900_000_000_000
    date = formatdate(now / 1000 + 30, usegmt=True)
    reply = Reply(
        status=503, content_type="", content_encoding="", retry_after=date, body=b"", connect_ms=0, head_ms=1
    )  # fmt: skip
    assert read_reply("t", 1, reply, server_is_async=False, responded_at=now).pause_ms == 30_000
