"""Which servers a lane may use: the fleet's classes, masks and pools against brute force, while both come and go."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.domain.fleet import Lane, lane_id_of
from taskyard.domain.server import AWAY, Server
from taskyard.domain.task import Spec, Task
from taskyard.domain.window import rank_of
from tests.support.fleets import Yard

WORDS = ("gpu", "text", "ocr", "größe")
GROUPS = ("east", "west")


def qualifies(server: Server, lane: Lane) -> bool:
    """Written from the contract: it has them all, it is in that group, it is that one."""
    return (
        all(word in server.capabilities for word in lane.capabilities)
        and (not lane.group or lane.group in server.groups)
        and (not lane.pin or lane.pin == server.id)
    )


def some(chance: Random, words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if chance.random() < 0.4)


class Changes:
    """Servers register, change, leave; lanes appear and go."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.yard = Yard(self.chance.choice(("weighted-round-robin", "least-connections", "random")), seed)
        self.made = 0
        self.bits: set[int] = set()

    def step(self) -> None:
        chance, fleet = self.chance, self.yard.fleet
        servers, lanes = list(fleet.servers.values()), list(fleet.lanes.values())
        event = chance.randrange(8)
        if event < 2 and len(servers) < 10:
            self.made += 1
            name = f"s{self.made if chance.random() < 0.5 else chance.randint(1, 12)}"
            if name not in fleet.servers:
                self.yard.add(name, 1, 3, some(chance, WORDS), some(chance, GROUPS))
        elif event == 2 and servers:
            fleet.remove(chance.choice(servers))
        elif event == 3 and servers:
            server = chance.choice(servers)
            server.capabilities, server.groups = some(chance, WORDS), some(chance, GROUPS)
            fleet.place(server)
            self.yard.note(server)
        elif event < 6:
            pin = f"s{chance.randint(1, 12)}" if chance.random() < 0.2 else ""
            group = chance.choice(GROUPS) if chance.random() < 0.3 else ""
            fleet.lane(frozenset(some(chance, WORDS)), group, pin)
        elif event == 6 and len(lanes) > 1:
            fleet.drop_lane(chance.choice([lane for lane in lanes if lane is not self.yard.lane]))
        elif servers:
            server = chance.choice(servers)
            if server.runs:
                self.yard.end_one(server)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_lanes_and_servers_match_as_by_brute_force(seed: int) -> None:
    changes = Changes(seed)
    yard, fleet, chance = changes.yard, changes.yard.fleet, changes.chance
    for _ in range(120):
        changes.step()
        servers = list(fleet.servers.values())
        for lane in fleet.lanes.values():
            expected = {server for server in servers if qualifies(server, lane)}
            assert set(lane.pool.members(fleet)) == expected
            assert {server for server in servers if lane.pool.has(server)} == expected
            assert lane in lane.pool.lanes
            assert fleet.pools[lane.pool.mask, lane.pool.pin] is lane.pool
            serving = {server.id for server in expected if server.tier != AWAY and server.fit}
            for server in servers:
                assert lane.pool.only(fleet, server.id) is (not serving - {server.id})
        assert set(fleet.pools.values()) == {lane.pool for lane in fleet.lanes.values()}
        assert {cls for server in servers if (cls := server.cls)} == set(fleet.classes.values())
        bits = [cls.bit for cls in fleet.classes.values()]
        assert len(set(bits)) == len(bits)
        assert max(bits, default=0) < 12  # freed bits are used again: at most one more than classes at once
        lane = chance.choice(list(fleet.lanes.values()))
        could = [s for s in servers if qualifies(s, lane) and len(s.runs) < s.max_concurrent]
        picked = yard.pick(lane=lane)
        assert picked in could if could else picked is None


def test_a_bit_that_is_used_again_serves_nobody_of_before() -> None:
    yard = Yard("weighted-round-robin")
    fleet = yard.fleet
    gpu, ocr = fleet.lane(frozenset({"gpu"}), "", ""), fleet.lane(frozenset({"ocr"}), "", "")
    first = yard.add("first", capabilities=("gpu",))
    assert first.cls is not None
    bit = first.cls.bit
    assert yard.pick(lane=gpu) is first
    fleet.remove(first)
    second = yard.add("second", capabilities=("ocr",))
    assert second.cls is not None
    assert second.cls.bit == bit
    assert yard.pick(lane=gpu) is None
    assert yard.pick(lane=ocr) is second


def test_lanes_that_the_same_classes_serve_share_a_pool_and_its_order() -> None:
    yard = Yard("round-robin")
    fleet = yard.fleet
    a, b = yard.add("a", capabilities=("x", "y")), yard.add("b", capabilities=("x", "y"))
    lanes = [fleet.lane(frozenset(words), "", "") for words in ("x", "y", "xy")]
    assert len({lane.pool for lane in lanes}) == 1
    assert [yard.pick(lane=lane) for lane in lanes] in ([a, b, a], [b, a, b])


def test_a_flow_that_moves_to_another_pool_takes_its_head_along() -> None:
    yard = Yard("round-robin")
    fleet = yard.fleet
    lane = fleet.lane(frozenset({"gpu"}), "", "")
    flow = fleet.flow(lane, "")
    spec = Spec(id="task_1", owner="o", type="t", created_at=0)
    flow.window.add(Task(spec.id, spec, lane, rank_of(0, 1)))
    flow.count = 1
    fleet.announce(flow)
    before = lane.pool
    yard.add("gpu", capabilities=("gpu",))
    assert lane.pool is not before
    assert [(rank, moved) for rank, _, moved in lane.pool.heads] == [(rank_of(0, 1), flow)]


def test_a_server_is_known_by_its_predict_url_only_while_it_is_there() -> None:
    yard = Yard("round-robin")
    server = yard.add("a")
    assert yard.fleet.by_predict == {"http://a/predict": server}
    yard.fleet.rename_predict(server, "http://b/predict")
    assert yard.fleet.by_predict == {"http://b/predict": server}
    yard.fleet.remove(server)
    assert not yard.fleet.by_predict


def test_unknown_policy() -> None:
    with pytest.raises(KeyError):
        Yard("fastest-finger")


@settings(max_examples=200)
@given(
    words=st.lists(st.text(max_size=8), max_size=5, unique=True),
    group=st.text(max_size=5),
    pin=st.text(max_size=5),
)
def test_a_lanes_id_is_the_same_in_any_order_and_fits_a_store(words: list[str], group: str, pin: str) -> None:
    one = lane_id_of(frozenset(words), group, pin)
    assert one == lane_id_of(frozenset(reversed(words)), group, pin)
    assert 0 <= one < 1 << 53
    assert one != lane_id_of(frozenset([*words, "and another"]), group, pin)
