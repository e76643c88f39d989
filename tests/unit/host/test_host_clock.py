"""A node among others goes by the database's clock, however wrong its machine's is."""

from taskyard.host.clock import Clock

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
