"""What holds for every policy, picked through a real fleet while servers fill, leave, return and change at random."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.domain.health import State
from taskyard.domain.policies import DEFAULT_POLICY, POLICIES
from taskyard.domain.server import Server
from tests.support.fleets import Yard

NAMES = sorted(POLICIES)
TYPES = ("text", "image", "sound")


def test_the_names_are_those_of_the_contract() -> None:
    assert NAMES == ["least-connections", "random", "response-time", "round-robin", "weighted-round-robin"]
    assert DEFAULT_POLICY == "weighted-round-robin"
    assert all(policy.summary and policy.name == name for name, policy in POLICIES.items())


def tier_of(server: Server) -> int:
    """Written from the contract: online before standby (weight 0) before degraded."""
    if server.health.state is State.ONLINE:
        return 0 if server.weight else 1
    return 2 if server.weight else 3


def may_be_picked(yard: Yard, server: Server) -> bool:
    """Written from the contract, not from `Server.open`."""
    return (
        server.health.state in (State.ONLINE, State.DEGRADED)
        and not (server.maintenance or server.draining or server.held or server.removing_until is not None)
        and len(server.runs) < server.max_concurrent
        and (server.paused_until is None or server.paused_until <= yard.now)
        and not server.misconfigured
    )


class Life:
    """Random events on a yard's servers."""

    def __init__(self, yard: Yard, chance: Random) -> None:
        self.yard = yard
        self.chance = chance
        self.made = 0

    def arrive(self) -> None:
        self.made += 1
        self.yard.add(f"s{self.made}", weight=self.chance.choice((0, 1, 1, 2, 5, 10)), slots=self.chance.randint(1, 4))

    def step(self) -> None:
        yard, chance = self.yard, self.chance
        servers = list(yard.fleet.servers.values())
        event = chance.randrange(12)
        if event == 0 and len(servers) < 8:
            self.arrive()
            return
        if not servers:
            return
        server = chance.choice(servers)
        if event == 1:
            server.runs.clear()
            yard.fleet.remove(server)
            return
        if event in (2, 3, 4) and server.runs:
            server.averages[chance.choice(TYPES)] = float(chance.randint(1, 500))
            yard.end_one(server)
        elif event == 5:
            server.health.state = chance.choice(list(State))
        elif event == 6:
            server.maintenance = not server.maintenance
        elif event == 7:
            server.weight = chance.choice((0, 1, 3, 10))
        elif event == 8:
            server.max_concurrent = chance.randint(1, 4)
        elif event == 9:
            server.paused_until = yard.now + chance.randint(0, 20)
        elif event == 10:
            server.held = not server.held
        else:
            server.draining = not server.draining
        yard.note(server)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_picks_an_open_server_of_the_best_tier_and_never_the_avoided_one(name: str, seed: int) -> None:
    chance = Random(seed)
    yard = Yard(name, seed)
    life = Life(yard, chance)
    for _ in range(chance.randint(1, 5)):
        life.arrive()
    for _ in range(250):
        life.step()
        yard.now += chance.randint(0, 3)
        for server in yard.fleet.servers.values():  # a pause that ends is a timer of the engine, which then notes it
            if server.paused_until is not None and server.paused_until <= yard.now:
                server.paused_until = None
                yard.note(server)
        if chance.random() < 0.05:
            yard.fleet.use_policy(name)
        avoid = chance.choice([*yard.fleet.servers, "", "", ""])
        could = [s for s in yard.fleet.servers.values() if s.id != avoid and may_be_picked(yard, s)]
        picked = yard.pick(chance.choice(TYPES), avoid)
        if not could:
            assert picked is None
        else:
            assert picked in could
            assert tier_of(picked) == min(map(tier_of, could))


@pytest.mark.parametrize("name", NAMES)
def test_standby_and_degraded_servers_come_only_when_better_ones_are_full(name: str) -> None:
    yard = Yard(name)
    yard.add("degraded standby", weight=0, slots=2, state=State.DEGRADED)
    yard.add("degraded", weight=10, slots=2, state=State.DEGRADED)
    yard.add("standby", weight=0, slots=2)
    yard.add("online", weight=1, slots=2)
    order = ["online", "standby", "degraded", "degraded standby"]
    picks = [yard.pick() for _ in range(8)]
    assert [server.id for server in picks if server] == [name for name in order for _ in range(2)]
    assert yard.pick() is None
    yard.end_one(yard.fleet.servers["degraded"])
    yard.end_one(yard.fleet.servers["online"])
    again = [yard.pick(), yard.pick(), yard.pick()]
    assert [server.id if server else None for server in again] == ["online", "degraded", None]


@pytest.mark.parametrize("name", NAMES)
def test_a_full_server_that_frees_a_slot_is_used_again(name: str) -> None:
    yard = Yard(name)
    only = yard.add("only", slots=1)
    for _ in range(50):
        assert yard.pick() is only
        assert yard.pick() is None
        yard.end_one(only)


@pytest.mark.parametrize("name", NAMES)
def test_a_pool_that_read_nothing_for_long_still_knows_every_server(name: str) -> None:
    yard = Yard(name)
    servers = [yard.add(f"s{n}", slots=1) for n in range(3)]
    assert yard.pick() in servers
    for _ in range(6000):  # more changes than the fleet's log holds
        yard.note(servers[0])
    yard.end_one(next(s for s in servers if s.runs))
    assert {yard.pick(), yard.pick(), yard.pick()} == set(servers)


@pytest.mark.parametrize("name", NAMES)
def test_among_ten_thousand_servers_a_pick_looks_at_few(name: str) -> None:
    """No clock: what is counted is how often a pick asks a server whether it is usable."""
    yard = Yard(name)
    for n in range(10_000):
        yard.add(f"s{n}", weight=1 + n % 10, slots=5)
    yard.pick()
    asked = 0

    slot: Any = vars(Server)["known_open"]

    class Counted(Server):
        __slots__ = ()

        @property
        def known_open(self) -> bool:
            nonlocal asked
            asked += 1
            return bool(slot.__get__(self))

        @known_open.setter
        def known_open(self, value: bool) -> None:
            slot.__set__(self, value)

    for server in yard.fleet.servers.values():
        server.__class__ = Counted
    for _ in range(1000):
        assert yard.pick() is not None
    assert asked < 1000 * 40
