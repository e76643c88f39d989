"""The list of metrics in the docs is that of a node."""

import re
from pathlib import Path

from tests.support.pages import ROOT, Terminal


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
