"""The document against the node: schemathesis asks all that the document allows, and much that it does not."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import ROOT, NodeProcess, environment, token

HERE = Path(__file__).parent
EXAMPLES = "8"
SEED = os.environ.get("OPENAPI_SEED", "1")
LIMIT_S = 240
# The systematic walk over every parameter's edges says the same for every role that may ask.
PHASES = {
    "admin": "examples,coverage,fuzzing,stateful",
    "user": "examples,fuzzing,stateful",
    "service": "examples,fuzzing,stateful",
}
# Of the calls that fit the document, so many must be carried out.
SHARE = 0.3
# Nothing waits long, for no generated task ever ends; and no generated address is ever connected to.
SETTINGS = {
    "SYNC_WAIT_MAX": "50ms",
    "CHECK_TIMEOUT": "200ms",
    "LINGER": "0",
    "ENDPOINT_ALLOW": "127.0.0.0/8,::1",
    # Streams end soon: schemathesis reads answers to their end.
    "TASKYARD_EVENT_INTERVAL": "10ms",
    "TASKYARD_EVENT_LIFETIME": "30ms",
    "TASKYARD_LOG_LEVEL": "warning",
}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    running = NodeProcess(tmp_path / "data", settings=SETTINGS)
    try:
        running.start()
        yield running
        assert running.ready()
        assert "Traceback" not in running.log.read_text()
        assert running.stop() == 0
    finally:
        running.kill()


def _schemathesis(node: NodeProcess, role: str, tally: Path) -> "subprocess.CompletedProcess[str]":
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "--no-color",
        "--config-file",
        HERE / "schemathesis.toml",
    ]
    command += ["run", f"{node.url}/openapi.json", "--header", f"Authorization: Bearer {token(role, sub=role)}"]
    command += ["--phases", PHASES[role], "--max-examples", EXAMPLES, "--seed", SEED, "--request-timeout", "10"]
    command += ["--suppress-health-check", "all", "--warnings", "off", "--no-shrink"]
    settings = {
        "SCHEMATHESIS_HOOKS": "tests.contract.openapi.hooks",
        "PYTHONPATH": str(ROOT),
        "OPENAPI_ROLE": role,
        "OPENAPI_URL": node.url,
        "OPENAPI_TALLY": str(tally),
    }
    return subprocess.run(
        [str(word) for word in command],
        cwd=tally.parent,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("role", PHASES)
def test_the_node_keeps_to_its_document(node: NodeProcess, tmp_path: Path, role: str) -> None:
    tally = tmp_path / "tally"
    tally.touch()
    result = _schemathesis(node, role, tally)
    print(result.stdout[-20_000:], result.stderr[-2_000:])
    assert result.returncode == 0
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    for line in map(json.loads, tally.read_text().splitlines()):
        # Refusals of a missing or foreign token are another check's.
        if line["positive"] and line["status"] != 401:
            counts[line["call"]][200 <= line["status"] < 300] += 1
    shares = {call: count[True] / count.total() for call, count in counts.items()}
    for call, share in sorted(shares.items(), key=lambda entry: entry[1]):
        print(f"{share:4.0%} of {counts[call].total():4} {call}")
    assert len(shares) > (15 if role == "service" else 20)
    assert {call: share for call, share in shares.items() if share < SHARE} == {}
