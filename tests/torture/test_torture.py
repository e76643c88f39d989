"""A minute of torture: nothing is lost, nothing is recorded twice, and no backend gets too much at once."""

import json
from contextlib import ExitStack
from pathlib import Path

from taskyard.prove.torture.ordeal import SLOTS, Ordeal, timeline
from tests.support.seeds import seed_of_this_run
from tests.torture.disk import mounted_or_none

SECONDS = 60
KILLS = 15


def test_a_minute_of_torture(tmp_path: Path) -> None:
    seed = seed_of_this_run()
    print("seed", seed)
    with ExitStack() as stack:
        disk = mounted_or_none(stack, tmp_path / "disk", print)
        ordeal = stack.enter_context(Ordeal(tmp_path, seed, disk=disk))
        ordeal.run(SECONDS, KILLS)
        evidence = ordeal.evidence()
    facts, times = evidence.judged(), timeline(evidence)
    print(facts.stdout, times.stdout, sep="")
    assert facts.returncode == 0, facts.stderr
    assert times.returncode == 0, times.stderr
    assert f"kills: {ordeal.kills}\n" in times.stdout
    # The judge of times is judged as well: one attempt more than slots, and it would have said so.
    tampered = evidence.copy(tmp_path / "copy")
    with tampered.backends[0].open("a") as log:
        for number in range(SLOTS + 1):
            got = {"at": 0, "event": "got", "task": "none", "attempt": number, "server": "direct", "busy": 1}
            log.write(json.dumps(got) + "\n")
    times = timeline(tampered)
    assert (times.returncode, "excess: 9 attempts at direct" in times.stdout) == (1, True), times.stdout + times.stderr
