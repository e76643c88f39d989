"""The list of metrics in the docs is that of a node, and the service unit starts one and stops it."""

import configparser
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from taskyard.settings import Settings
from tests.support.pages import ROOT, Terminal

START_S = 30


def test_the_unit_starts_a_node_and_stops_it(tmp_path: Path) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "deploy" / "taskyard.service")
    service = unit["Service"]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    moved = {
        "/opt/taskyard/bin/taskyard": str(Path(sys.executable).with_name("taskyard")),
        "/var/lib/taskyard": str(tmp_path / "state"),
        "8787": str(port),
    }
    words = shlex.split(service["ExecStart"])
    assert set(moved) <= set(words)
    command = [moved.get(word, word) for word in words]
    assert service["StateDirectory"] == "taskyard"
    environment = {"PATH": os.environ["PATH"], "JWT_SECRET": "s" * 32}
    node = subprocess.Popen(command, cwd="/", env=environment, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_S
        while not _answers(f"http://127.0.0.1:{port}/ready"):
            assert node.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        node.send_signal(signal.SIGTERM)
        assert node.wait(START_S) == 0
    finally:
        node.kill()
        node.wait()
    defaults = Settings()
    assert int(service["TimeoutStopSec"]) * 1000 > defaults.drain_timeout + defaults.last_answers_timeout


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_every_metric_is_listed_and_no_other(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        terminal.run("taskyard serve --dev")
        # A server and a pool, so that their metrics are there.
        terminal.run(
            "export TASKYARD_URL=http://127.0.0.1:8787 TASKYARD_TOKEN=$(taskyard token --role admin)\n"
            "taskyard servers add a --predict http://127.0.0.1:9000/predict --health http://127.0.0.1:9000/health\n"
            "taskyard tasks submit anything"
        )
        told = terminal.run("curl -s http://127.0.0.1:8787/metrics")
    finally:
        terminal.close()
    given = set(re.findall(r"^# TYPE (\S+)", told, re.MULTILINE))
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## Metrics")[2].partition("Worth an alarm")[0]
    assert set(re.findall(r"`(taskyard_[a-z_]+)", section)) == given
