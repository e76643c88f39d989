"""API.md §8: statistics and the load balancer."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.api.yard import Backend, Yard, accept, eventually, refused

ALGORITHMS = ["weighted-round-robin", "round-robin", "least-connections", "response-time", "random"]


class Day:
    """A node with a day behind it: 3 completed, 1 failed after a retry, 1 timed out, 1 cancelled, 1 waits, 1 runs."""

    def __init__(self, data_dir: Path) -> None:
        self.yard = Yard(data_dir)
        self.client = self.yard.client("admin")
        self.good, self.bad, self.slow = Backend(), Backend(lambda _: (500, {})), Backend(accept)
        self.ids: dict[str, str] = {}
        for name in ("good", "bad", "slow"):
            server: Backend = getattr(self, name)
            given = {"name": name.title(), "endpoints": server.endpoints, "capabilities": [name], "maxConcurrent": 4}
            self.ids[name] = self.client.post("/api/servers", json=given).json()["serverId"]
        for _ in range(3):
            assert self.submit("good", **{"async": False})["status"] == "COMPLETED"
        backoff = {"base": 0, "cap": 0}
        assert self.submit("bad", maxRetries=1, retryBackoff=backoff, **{"async": False})["status"] == "FAILED"
        assert self.submit("slow", maxRetries=0, timeout=50, **{"async": False})["status"] == "TIMEOUT"
        self.client.post(f"/api/task/{self.submit('nobody')['id']}/cancel")
        self.submit("nobody")
        running = self.submit("slow")["id"]
        eventually(lambda: self.client.get(f"/api/task/{running}").json()["status"] == "PROCESSING")

    def submit(self, skill: str, **members: Any) -> dict[str, Any]:
        body = {"type": "t", "payload": {}, "capabilities": [skill]} | members
        answer: dict[str, Any] = self.client.post("/api/task", json=body).json()
        return answer

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self) -> None:
        self.yard.stop()
        for server in (self.good, self.bad, self.slow):
            server.stop()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    made = Day(tmp_path_factory.mktemp("day") / "data")
    yield made
    made.stop()


def test_a_days_figures(day: Day) -> None:
    shown = day.get("/api/stats")
    assert shown.keys() == {
        *("date", "totalTasks", "pendingTasks", "processingTasks", "successfulTasks", "failedTasks", "cancelledTasks"),
        *("timedOutTasks", "retriedTasks", "averageProcessingTime", "averageWaitTime", "oldestPendingAge"),
        *("serverCount", "topServers", "hourlyTrend", "types"),
    }
    counts = {name: shown[name] for name in shown if name.endswith("Tasks")}
    assert counts == {
        "totalTasks": 8,
        "pendingTasks": 1,
        "processingTasks": 1,
        "successfulTasks": 3,
        "failedTasks": 1,
        "cancelledTasks": 1,
        "timedOutTasks": 1,
        "retriedTasks": 1,
    }
    assert shown["serverCount"] == 3
    assert shown["averageProcessingTime"] >= 0
    assert shown["oldestPendingAge"] > 0
    assert day.get("/api/stats/tasks") | {"oldestPendingAge": 0} == shown | {"oldestPendingAge": 0}


def test_top_servers(day: Day) -> None:
    top = {entry["serverId"]: entry for entry in day.get("/api/stats")["topServers"]}
    assert next(iter(top)) == day.ids["good"]
    good, bad, slow = (top[day.ids[name]] for name in ("good", "bad", "slow"))
    assert good.keys() == {"serverId", "name", "tasksProcessed", "successRate", "averageProcessingTime"}
    assert (good["name"], good["tasksProcessed"], good["successRate"]) == ("Good", 3, 1)
    assert (bad["tasksProcessed"], bad["successRate"]) == (2, 0)
    assert slow["tasksProcessed"] == 1


def test_hours(day: Day) -> None:
    trend = day.get("/api/stats")["hourlyTrend"]
    assert [entry["hour"] for entry in trend] == list(range(24))
    assert sum(entry["tasks"] for entry in trend) == 8
    shown = day.get("/api/stats/hourly")
    assert shown.keys() == {"date", "hours", "hourlyBreakdown"}
    assert shown["hours"] == shown["hourlyBreakdown"]
    assert [entry["hour"] for entry in shown["hours"]] == list(range(24))
    names = ("created", "completed", "failed", "timedOut", "cancelled")
    sums = {name: sum(entry[name] for entry in shown["hours"]) for name in names}
    assert sums == {"created": 8, "completed": 3, "failed": 1, "timedOut": 1, "cancelled": 1}
    now = datetime.now(UTC).hour
    assert {entry["hour"] for entry in shown["hours"] if entry["created"]} <= {now, (now - 1) % 24}


def test_types_are_for_admins(day: Day) -> None:
    (of_type,) = day.get("/api/stats")["types"]
    counts = ("created", "completed", "failed", "timedOut", "cancelled", "successRate")
    assert [of_type[name] for name in ("type", *counts)] == ["t", 8, 3, 1, 1, 1, 0.6]
    assert day.yard.client("user").get("/api/stats").json()["types"] == []
    assert day.get("/api/stats?date=2001-02-03")["types"] == []


def test_other_days(day: Day) -> None:
    shown = day.get("/api/stats?date=2001-02-03")
    assert (shown["date"], shown["totalTasks"], shown["successfulTasks"]) == ("2001-02-03", 0, 0)
    assert (shown["averageProcessingTime"], shown["averageWaitTime"], shown["topServers"]) == (0, 0, [])
    assert shown["pendingTasks"] == 1  # of now, whatever the day
    today = datetime.now(UTC).date().isoformat()
    assert day.get(f"/api/stats?date={today}")["totalTasks"] == 8
    assert day.get("/api/stats/hourly?date=2001-02-03")["hours"][0]["created"] == 0


@pytest.mark.parametrize("date", ["2001-02-30", "20010203", "2001-2-3", "today", "2001-02-03T00:00", "", "٢٠٠١-02-03"])
def test_a_wrong_date_is_named(day: Day, date: str) -> None:
    for path in ("/api/stats", "/api/stats/hourly", f"/api/stats/servers/{day.ids['good']}"):
        refused(day.client.get(path, params={"date": date}), 400, "date")


def test_a_servers_figures(day: Day) -> None:
    for path in (f"/api/stats/servers/{day.ids['good']}", f"/api/stats/server/{day.ids['good']}"):
        shown = day.get(path)
        assert shown.keys() == {
            *("serverId", "tasksProcessed", "successCount", "failureCount", "successRate", "averageProcessingTime"),
            *("averageResponseTime", "uptime", "lastActiveTime"),
        }
        assert (shown["tasksProcessed"], shown["successCount"], shown["failureCount"]) == (3, 3, 0)
        assert 0 <= shown["uptime"] <= 1
        assert shown["lastActiveTime"] > 1_600_000_000_000
    bad = day.get(f"/api/stats/servers/{day.ids['bad']}")
    assert (bad["failureCount"], bad["successRate"]) == (2, 0)
    old = day.get(f"/api/stats/servers/{day.ids['good']}?date=2001-02-03")
    assert (old["tasksProcessed"], old["uptime"], old["lastActiveTime"]) == (0, 0, None)


def test_timeouts_count_as_failures_of_the_server(day: Day) -> None:
    assert day.get(f"/api/stats/servers/{day.ids['slow']}")["failureCount"] == 1


def test_figures_are_the_whole_yards(day: Day) -> None:
    for role in ("user", "service"):
        assert day.yard.client(role, sub="stranger").get("/api/stats").json()["totalTasks"] == 8


def test_the_balancer(day: Day) -> None:
    # The timed-out attempt lingers on its slot for a while.
    shown = eventually(
        lambda: (s := day.get("/api/loadbalancer/status")) and s["totalActiveTasks"] == 1 and s, patience_s=15
    )
    assert shown == day.get("/api/stats/load-balancer")
    assert shown.keys() == {
        *("algorithm", "healthyServers", "serverDistribution", "serverLoads", "totalActiveTasks", "averageLoad")
    }
    assert shown["serverDistribution"].keys() == shown["serverLoads"].keys() == set(day.ids.values())
    assert shown["serverDistribution"][day.ids["slow"]] == {"load": 0.25, "activeTasks": 1, "weight": 1}
    assert shown["serverLoads"][day.ids["slow"]] == 0.25
    assert shown["averageLoad"] == pytest.approx(0.0833)
    assert shown["healthyServers"] == 3


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/loadbalancer/algorithm"), ("POST", "/api/stats/load-balancer/algorithm")]
)
def test_switching_the_algorithm(day: Day, method: str, path: str) -> None:
    for name in (*ALGORITHMS, "weighted-round-robin"):
        answer = day.client.request(method, path, json={"algorithm": name}).json()
        assert answer.keys() == {"success", "message", "algorithm"}
        assert (answer["success"], answer["algorithm"]) == (True, name)
        assert day.get("/api/loadbalancer/status")["algorithm"] == name
    wrong = day.client.request(method, path, json={"algorithm": "least-connection"})
    refused(wrong, 400, "algorithm", "least-connections", *ALGORITHMS)
    refused(day.client.request(method, path, json={}), 400, "algorithm")
    refused(day.client.request(method, path, json={"algorithm": 5}), 400, "algorithm")


def test_default_algorithm(yard: Yard, user: httpx.Client) -> None:
    assert user.get("/api/loadbalancer/status").json()["algorithm"] == "weighted-round-robin"


def test_figures_and_algorithm_outlive_a_restart(tmp_path: Path, backend: Callable[..., Backend]) -> None:
    first = Yard(tmp_path / "data")
    client = first.client("admin")
    server = backend()
    server_id = client.post("/api/servers", json={"name": "s", "endpoints": server.endpoints}).json()["serverId"]
    client.post("/api/task", json={"type": "t", "payload": {}, "async": False})
    client.put("/api/loadbalancer/algorithm", json={"algorithm": "random"})
    before = client.get("/api/stats").json(), client.get(f"/api/stats/servers/{server_id}").json()
    first.stop()
    second = Yard(tmp_path / "data")
    client = second.client("admin")
    after = client.get("/api/stats").json(), client.get(f"/api/stats/servers/{server_id}").json()
    assert after[0]["successfulTasks"] == before[0]["successfulTasks"] == 1
    assert after[0]["averageProcessingTime"] == before[0]["averageProcessingTime"]
    assert after[1]["tasksProcessed"] == before[1]["tasksProcessed"] == 1
    assert client.get("/api/loadbalancer/status").json()["algorithm"] == "random"
    second.stop()
