"""Least connections, response time and random: what each promises beyond what holds for every policy."""

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.domain.server import Server
from tests.support.fleets import Yard


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_least_connections_never_picks_a_more_loaded_server(seed: int) -> None:
    chance = Random(seed)
    yard = Yard("least-connections")
    servers = [
        yard.add(f"s{n}", weight=chance.randint(1, 10), slots=chance.randint(1, 6)) for n in range(chance.randint(1, 8))
    ]
    for _ in range(200):
        server = chance.choice(servers)
        event = chance.randrange(5)
        if event < 2 and server.runs:
            yard.end_one(server)
        elif event == 2:
            yard.hold(server, not server.held)
        elif event == 3 and chance.random() < 0.3:
            server.weight, server.max_concurrent = chance.randint(1, 10), chance.randint(1, 6)
            yard.note(server)
        avoid = chance.choice([server.id, "", ""])
        loads = {s: (len(s.runs) / s.max_concurrent, -s.weight) for s in yard.open_servers() if s.id != avoid}
        picked = yard.pick(avoid=avoid)
        assert (picked is None) is (not loads)
        if picked is not None:
            assert loads[picked] == min(loads.values())


def test_least_connections_takes_turns_among_equals() -> None:
    yard = Yard("least-connections")
    servers = [yard.add(f"s{n}", slots=4) for n in range(4)]
    for _ in range(10):
        picks = []
        for _ in range(4):
            picked = yard.pick()
            assert picked is not None
            yard.end_one(picked)
            picks.append(picked)
        assert set(picks) == set(servers)


def ended(yard: Yard, server: Server, took_ms: int, task_type: str = "t") -> None:
    server.learn(task_type, took_ms)
    yard.end_one(server)


def test_response_time_measures_everybody_then_prefers_the_fastest_and_still_asks_the_others() -> None:
    yard = Yard("response-time")
    speeds = {"slow": 900, "middle": 300, "fast": 100}
    for server_id in speeds:
        yard.add(server_id, slots=5)
    counts: Counter[str] = Counter()
    last = dict.fromkeys(speeds, 0)
    for n in range(1, 5001):
        picked = yard.pick()
        assert picked is not None
        if n <= 3:
            assert not counts[picked.id]  # one that was never measured counts as the fastest
        counts[picked.id] += 1
        assert all(n - last[other] <= 201 for other in speeds)  # 1 in 200 for each that is free
        last[picked.id] = n
        ended(yard, picked, speeds[picked.id])
    assert counts["fast"] > 4900
    assert counts["slow"] >= 5000 // 200
    assert counts["middle"] >= 5000 // 200


def test_response_time_notices_that_a_server_has_become_fast() -> None:
    yard = Yard("response-time")
    yard.add("a", slots=5)
    yard.add("b", slots=5)
    speeds = {"a": 100, "b": 1000}
    shares = []
    for phase in range(2):
        counts: Counter[str] = Counter()
        for _ in range(12_000):
            picked = yard.pick()
            assert picked is not None
            counts[picked.id] += 1
            ended(yard, picked, speeds[picked.id])
        shares.append(counts)
        if not phase:
            speeds["b"] = 10
    assert shares[0]["a"] > 11_800
    assert shares[1]["b"] > shares[1]["a"]


@settings(max_examples=60, deadline=None)
@given(averages=st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True), seed=st.integers(0, 2**32))
def test_response_time_fills_the_fastest_first(averages: list[int], seed: int) -> None:
    """Fewer picks than any server would wait for: nothing is explored."""
    chance = Random(seed)
    yard = Yard("response-time")
    servers = []
    for n, average in enumerate(averages):
        server = yard.add(f"s{n}", slots=chance.randint(1, 3))
        server.averages["t"] = float(average)
        servers.append(server)
    while True:
        free = [server for server in servers if len(server.runs) < server.max_concurrent]
        picked = yard.pick()
        if picked is None:
            assert not free
            break
        assert picked is min(free, key=lambda server: server.averages["t"])


def test_response_time_keeps_types_apart() -> None:
    yard = Yard("response-time")
    for server_id, text, image in (("a", 10, 1000), ("b", 1000, 10)):
        server = yard.add(server_id, slots=50)
        server.averages.update(text=float(text), image=float(image))
    picks = [(yard.pick("text"), yard.pick("image")) for _ in range(40)]
    assert {(text.id, image.id) for text, image in picks if text and image} == {("a", "b")}


def test_the_average_is_bounded_in_types_and_follows_the_new() -> None:
    server = Yard("response-time").add("a")
    for n in range(300):
        server.learn(f"type {n}", 100)
    assert len(server.averages) == 256
    assert "type 299" in server.averages
    for _ in range(40):
        server.learn("type 299", 500)
    assert 495 < server.averages["type 299"] < 500


# Chi-square with k degrees of freedom passes this with probability 0.001 by chance alone; the seed is fixed.
CHI_SQUARE_999 = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47}


def chi_square(counts: Counter[str], weights: dict[str, int], draws: int) -> float:
    total = sum(weights.values())
    return sum((counts[s] - draws * w / total) ** 2 / (draws * w / total) for s, w in weights.items())


def test_random_follows_the_weights() -> None:
    yard = Yard("random", seed=7)
    weights = {"a": 1, "b": 2, "c": 5, "d": 10}
    for server_id, weight in weights.items():
        yard.add(server_id, weight)
    counts: Counter[str] = Counter()
    for _ in range(20_000):
        picked = yard.pick()
        assert picked is not None
        counts[picked.id] += 1
    assert chi_square(counts, weights, 20_000) < CHI_SQUARE_999[3]
    weights["a"] = 10
    yard.fleet.servers["a"].weight = 10
    yard.hold(yard.fleet.servers["d"], True)
    del weights["d"]
    counts.clear()
    for _ in range(20_000):
        picked = yard.pick()
        assert picked is not None
        counts[picked.id] += 1
    assert chi_square(counts, weights, 20_000) < CHI_SQUARE_999[2]


def test_random_keeps_the_proportions_of_the_rest_when_one_is_avoided() -> None:
    yard = Yard("random", seed=11)
    weights = {"a": 1, "b": 9, "avoided": 10}
    for server_id, weight in weights.items():
        yard.add(server_id, weight)
    counts: Counter[str] = Counter()
    for _ in range(10_000):
        picked = yard.pick(avoid="avoided")
        assert picked is not None
        counts[picked.id] += 1
    del weights["avoided"]
    assert set(counts) == set(weights)
    assert chi_square(counts, weights, 10_000) < CHI_SQUARE_999[1]
