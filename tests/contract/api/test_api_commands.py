"""The command line against a real node: what it does there, and what it tells people."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.api.conftest import Crew
from tests.contract.api.yard import Yard, fresh, token

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(yard: Yard, tmp_path: Path) -> Run:
    """Runs `taskyard <words>`: exit code, stdout, stderr."""
    command = Path(sys.executable).with_name("taskyard")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TASKYARD_", "JWT_"))}
    environ = own | {"HOME": str(tmp_path), "TASKYARD_URL": yard.url, "TASKYARD_TOKEN": token("admin")}

    def run(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [command, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_purge_erases_the_result_and_keeps_the_record(run: Run, direct: Crew) -> None:
    code, out, _ = run("tasks", "submit", "shout", "--capability", direct.skill, "-p", '{"n": 7}', "--wait", "--json")
    task = json.loads(out)
    assert (code, task["status"]) == (0, "COMPLETED")
    code, out, _ = run("tasks", "purge", task["id"])
    assert (code, out.startswith(f"{task['id']}: ")) == (0, True)
    kept = json.loads(run("tasks", "show", task["id"], "--json")[1])
    assert (kept["status"], kept["result"]) == ("COMPLETED", None)


def test_all_tasks_are_cancelled_only_when_that_is_said(run: Run, direct: Crew) -> None:
    task = json.loads(run("tasks", "submit", "t", "--capability", "nobody has it", "--json")[1])["id"]
    for words in (("tasks", "cancel"), ("tasks", "cancel", task, "--all")):
        code, _, err = run(*words)
        assert (code, "--all in their place" in err) == (2, True)
    assert json.loads(run("tasks", "show", task, "--json")[1])["status"] == "PENDING"
    code, out, _ = run("tasks", "cancel", "--all")
    assert (code, out.endswith(" cancelled\n")) == (0, True)
    assert json.loads(run("tasks", "show", task, "--json")[1])["status"] == "CANCELLED"


def test_a_list_into_a_pipe_is_one_object_a_line(run: Run, direct: Crew) -> None:
    for number in range(3):
        run("tasks", "submit", "shout", "--capability", direct.skill, "-p", f'{{"n": {number}}}')
    lines = run("tasks", "list", "--capability", direct.skill, "--json")[1].splitlines()
    assert [json.loads(line)["capabilities"] for line in lines] == [[direct.skill]] * 3
    (line,) = run("servers", "list", "--capability", direct.skill, "--json")[1].splitlines()
    assert json.loads(line)["id"] == direct.server_id


def test_a_check_that_passes_says_what_is_still_missing(run: Run, direct: Crew) -> None:
    path = f"/api/servers/{direct.server_id}/check"
    healthy, direct.backend.health = direct.backend.health, (500, {})
    while direct.service.post(path).json()["status"] != "offline":
        pass  # three failed checks in a row
    direct.backend.health = healthy
    code, out, _ = run("servers", "check", direct.server_id)
    assert (code, "offline" in out, "after three passed checks in a row" in out) == (0, True, True)
    code, out, _ = run("servers", "check", direct.server_id, "--json")
    assert (code, json.loads(out)["passed"]) == (0, True)


def test_drain_says_what_it_does_and_how_it_ends(run: Run, direct: Crew) -> None:
    name = direct.server_id
    end = f"taskyard servers drain --end {name}"
    code, out, _ = run("servers", "drain", name)
    assert (code, out.startswith(f"{name}: drains"), end in out) == (0, True, True)
    run("servers", "maintenance", name, "on")
    code, _, err = run("servers", "maintenance", name, "off")
    assert (code, "still drains" in err, end in err) == (0, True, True)
    code, out, _ = run("servers", "drain", "--end", name)
    assert (code, out) == (0, f"{name}: drains no more; new tasks may come again\n")
    run("servers", "maintenance", name, "on")
    assert run("servers", "maintenance", name, "off")[2] == ""


def test_the_table_of_servers_shows_heartbeat_and_check(run: Run, direct: Crew) -> None:
    head, _, row, *_ = run("servers", "list", "--capability", direct.skill)[1].strip().splitlines()
    assert head.split()[-3:] == ["heartbeat", "checked", "note"]
    assert len([cell for cell in row.split() if cell.endswith("s") and cell[0].isdigit()]) == 2


def test_why_and_lanes_say_what_keeps_a_task_and_what_to_do(run: Run, direct: Crew) -> None:
    skill = fresh("skill")
    _, out, _ = run("tasks", "submit", "t", "--capability", direct.skill, "--capability", skill)
    task_id = out.strip()
    code, out, _ = run("tasks", "why", task_id)
    assert (code, out.splitlines()[0]) == (0, f"No server has “{skill}”; 1 has “{direct.skill}”.")
    for words in ("no_capability", "registered → 0 able", f"PATCH /api/servers/{direct.server_id}", "unable"):
        assert words in out
    found = json.loads(run("tasks", "why", task_id, "--json")[1])
    assert (found["id"], found["code"]) == (task_id, "no_capability")
    code, out, _ = run("lanes")
    (row,) = (line for line in out.splitlines() if f"[{skill}]" in line)
    assert (code, f"No server has “{skill}”" in row) == (0, True)
    lanes = json.loads(run("lanes", "--json")[1])["lanes"]
    assert [lane["code"] for lane in lanes if skill in lane["capabilities"]] == ["no_capability"]
    run("tasks", "cancel", task_id)
    code, _, err = run("tasks", "why", task_id)
    assert (code, "CANCELLED" in err) == (1, True)


def test_nodes_shows_the_one_that_is_alone(run: Run, yard: Yard) -> None:
    (node,) = json.loads(run("nodes", "--json")[1])["nodes"]
    assert (node["role"], node["self"], node["url"], node["draining"]) == ("decider", True, yard.url, False)
    code, out, _ = run("nodes")
    head, _, row, *_ = out.strip().splitlines()
    assert (code, head.split()) == (0, ["node", "role", "epoch", "sends", "version", "lag", "url"])
    assert row.split()[-1] == yard.url
