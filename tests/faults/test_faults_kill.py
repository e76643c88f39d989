"""kill -9 under load: nothing that was acknowledged is lost, nothing ends twice, whatever the moment."""

from pathlib import Path

from taskyard.prove.torture.field import Field
from tests.support.seeds import seed_of_this_run

KILLS = 22
# Every so many kills hits a node that is still starting.
STARTING = 5
RATE = 1000


def test_nothing_is_lost_over_many_kills(tmp_path: Path) -> None:
    seed = seed_of_this_run()
    print("seed", seed)
    heard = 0
    with Field(tmp_path, rate=RATE, seed=seed) as field:
        for number in range(KILLS):
            if number % STARTING == STARTING - 1:
                field.node.spawn()
                field.crash(field.rng.uniform(0.2, 1.0))
                continue
            if number:
                field.node.start()
            before = field.acknowledged_bytes()
            field.crash(field.rng.uniform(0.3, 2.0))
            heard += field.acknowledged_bytes() > before
        field.node.start()
        field.settle()
        # The last one, too, ends in the middle: what was acknowledged lies in the files as they are.
        field.node.kill()
        evidence = field.evidence()
    verdict = evidence.judged()
    print(verdict.stdout)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert heard >= KILLS * 3 // 5, "most kills must hit a node that is at work"
