"""Events on nodes that do not decide: told as on the one that does, each once and in order, whoever dies or freezes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.contract.events.streams import Listener
from tests.nodes.backend import Backend
from tests.nodes.yard import Yard
from tests.support.nodes import PATIENCE_S, environment, token, until

Listen = Callable[..., Listener]


@pytest.fixture
def listen(nodes: Yard) -> Iterator[Listen]:
    """Opens streams of nodes; they are closed again."""
    made: list[Listener] = []

    def make(number: int, query: str, *roles: str, sub: str = "ann", **how: Any) -> Listener:
        bearer = token(*(roles or ("admin",)), sub=sub)
        made.append(Listener(nodes.nodes[number].port, query, bearer=bearer, **how))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


def the_task(stream: Listener, task_id: str, status: str, told: list[dict[str, Any]]) -> None:
    """Read until a task is told to have a status; `told` gets all that is told of it."""
    while not told or told[-1]["status"] != status:
        for name, data in stream.events():
            if name == "task" and data["id"] == task_id:
                told.append({member: value for member, value in data.items() if member != "now"})
        assert not stream.ended


def test_a_node_that_does_not_decide_tells_all_through_the_death_of_the_one_that_does(
    nodes: Yard, served: Backend, listen: Listen
) -> None:
    decider, (one, two) = nodes.decider(), nodes.others()
    later, waits = nodes.submit(two, "later", **served.only), nodes.submit(one, "quick", capabilities=["nobody has it"])
    nodes.becomes(later, lambda shown: shown["status"] == "PROCESSING", one)
    stream = listen(one, f"topics=overview,lanes,fleet,attention,node&tasks={later},{waits}")
    snapshot = stream.until("snapshot")
    assert served.name in snapshot["fleet"]["id"]
    assert "nobody has it" in str(snapshot["lanes"]["lanes"])
    assert snapshot["node"] == {"decides": False, "node": f"node{one}", "decider": f"node{decider}", "nodes": 3}
    first = stream.until("overview")["point"]["t"]
    assert stream.until("overview")["point"]["t"] > first
    # A user is told of its own alone, and of no names.
    theirs = listen(one, f"topics=overview,node&tasks={waits}", "user", sub="eve").until("snapshot")
    assert (theirs["unknown"], theirs["node"], "counts" in theirs["overview"]) == ([waits], {"decides": False}, False)
    # Servers that change are told as changes, here too.
    nodes.client(two).put(f"/api/servers/{served.name}/maintenance", json={"maintenance": True})
    change = stream.until("fleet")
    assert (change["status"], "id" in change) == (["maintenance"], False)
    nodes.client(two).put(f"/api/servers/{served.name}/maintenance", json={"maintenance": False})

    command = [sys.executable, "-m", "taskyard", "tasks", "watch", waits]
    own = environment({"TASKYARD_URL": nodes.nodes[one].url, "TASKYARD_TOKEN": token("admin")})
    watching = subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    assert watching.stdout.readline().split()[0] == waits

    nodes.nodes[decider].kill()
    path = httpx.URL(served.orders(later)[0]["callback_url"]).path
    until(lambda: nodes.client(two).post(path, json={"status": "COMPLETED", "result": 5}).status_code in (200, 202))
    seen: list[dict[str, Any]] = []
    the_task(stream, later, "COMPLETED", seen)
    assert [row["status"] for row in seen] == ["COMPLETED"]
    until(lambda: nodes.client(two).post(f"/api/task/{waits}/cancel").status_code == 200)
    the_task(stream, waits, "CANCELLED", seen)
    assert all(row != after for row, after in pairwise(seen))
    out, _ = watching.communicate(timeout=PATIENCE_S)
    assert (out.split()[:2], watching.returncode) == ([waits, "CANCELLED"], 1)
    # Whoever comes back to the same node goes on; at another one everything begins anew.
    stream.close()
    again = listen(one, f"topics=lanes&tasks={waits}", last=stream.last_id)
    nodes.submit(two, "quick", capabilities=["nobody has that"])
    names: list[str] = []
    while "lanes" not in names:
        names += [name for name, _ in again.events()]
    assert not {"reset", "snapshot"} & set(names)
    names = [name for name, _ in listen(two, "topics=lanes", last=again.last_id).events()]
    assert names == ["reset", "snapshot"]


def test_while_nobody_knows_what_happens_streams_say_so_and_go_on_behind_the_next_decider(
    nodes: Yard, served: Backend, listen: Listen
) -> None:
    decider, (one, two) = nodes.decider(), nodes.others()
    old = nodes.nodes[decider]
    waits = nodes.submit(one, "quick", capabilities=["nobody has it"])
    before = listen(decider, f"topics=lanes,node&tasks={waits}")
    assert before.until("snapshot")["node"]["decides"] is True
    stream = listen(one, f"topics=overview&tasks={waits}")
    known = stream.until("overview")["now"]
    os.kill(old.pid, signal.SIGSTOP)
    try:
        stale = stream.until("stale")
        # An event is made some time after the word that it tells of was heard.
        assert known - 60_000 < stale["since"] < stale["now"]
        # One who comes now hears that too, and of what it wants once somebody knows.
        late = listen(two, "topics=attention")
        assert late.until("snapshot")["attention"]
        assert stream.until("stale")["since"] is None
        stream.until("overview")
    finally:
        os.kill(old.pid, signal.SIGCONT)
    # What was told by the one that slept is told by the one that decides now.
    assert before.until("node")["decides"] is False
    assert nodes.client(two).post(f"/api/task/{waits}/cancel").status_code == 200
    for told in (before, stream):
        the_task(told, waits, "CANCELLED", [])


def test_who_signs_in_at_one_node_is_signed_in_at_all_and_on_record(nodes: Yard, served: Backend) -> None:
    decider, (one, two) = nodes.decider(), nodes.others()

    def page(number: int) -> dict[str, str]:
        return {"Origin": nodes.nodes[number].url, "Content-Type": "application/json"}

    # As behind a load balancer: one cookie, whichever node a call comes to.
    with httpx.Client(timeout=PATIENCE_S) as browser:
        sign_in = {"token": token("admin", sub=served.name)}
        url = nodes.nodes[one].url
        assert browser.post(f"{url}/api/session", json=sign_in, headers=page(one)).status_code == 200
        for number in (one, two, decider):
            url = nodes.nodes[number].url
            assert browser.get(f"{url}/api/session").json()["sub"] == served.name
            for path in (
                "overview",
                "lanes",
                "servers",
                "failures",
                "facets?field=type",
                "audit",
                "settings",
                "nodes",
                "stats",
            ):
                assert browser.get(f"{url}/api/{path}").status_code == 200, path
            assert browser.get(f"{url}/api/servers/{served.name}/history").status_code == 200
            body = {"maintenance": number != decider}
            change = f"{url}/api/servers/{served.name}/maintenance"
            assert browser.put(change, json=body, headers=page(number)).status_code == 200
            assert browser.put(change, json=body, headers=page((number + 1) % 3)).status_code == 403
        assert browser.delete(f"{nodes.nodes[two].url}/api/session", headers=page(two)).status_code == 200
        assert browser.get(f"{nodes.nodes[two].url}/api/session").status_code == 401

    own = environment({"TASKYARD_URL": nodes.nodes[two].url, "TASKYARD_TOKEN": token("admin")})
    with subprocess.Popen(
        [sys.executable, "-m", "taskyard", "top"], env=own, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert "slots" in running.stdout.readline()
        running.kill()

    def recorded() -> set[str]:
        found = nodes.client(two).get("/api/audit", params={"who": served.name, "action": "session."}).json()
        return {row["action"] for row in found["entries"]}

    until(lambda: recorded() == {"session.begin", "session.end"}, what="not all that came and went is on record")
