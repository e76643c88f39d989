"""Three nodes behind a balancer and a pooler, under load; nodes and the database die, freeze and stop in turn.

What was acknowledged must be there and have ended once, by the same judge as with one node. `MINUTES` makes it longer.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from taskyard.prove.processes import steady_port
from taskyard.prove.torture.field import SETTINGS as FIELD_SETTINGS
from taskyard.prove.torture.field import Field
from taskyard.prove.torture.node import NodeProcess
from tests.nodes.balancer import Balancer
from tests.nodes.yard import SETTINGS
from tests.support.nodes import until
from tests.support.pooler import pooler
from tests.support.postgres import Cluster, cluster
from tests.support.seeds import seed_of_this_run
from tests.support.tables import copy

RATE = 25
# So few that all of them are taken at times; a slow machine must be able to catch up all the same.
SLOTS = 15
LINGER_MS = 200
MINUTES = float(os.environ.get("MINUTES", "0"))
# Longer than after which a node is taken for dead and another decides.
FROZEN_S = 8.0
# Faults that `make test` has time for, by a new schedule each time.
FEW = 3


class Crowd:
    """All nodes of a field, and what becomes of them."""

    def __init__(self, field: Field, others: list[NodeProcess], server: Cluster) -> None:
        self.field = field
        self.nodes = [field.node, *others]
        self.server = server

    def one(self) -> NodeProcess:
        return self.field.rng.choice(self.nodes)

    def decider(self) -> NodeProcess:
        """The node that decides, by what the database says."""
        ((holder,),) = self.server.execute("SELECT node FROM lease", "yard1")
        number = str(holder).split(":")[1] if holder else ""
        return next((node for node in self.nodes if node.running and str(node.pid) == number), self.nodes[0])

    def kill(self) -> None:
        node = self.one()
        node.kill()
        node.spawn()

    def kill_decider(self) -> None:
        node = self.decider()
        node.kill()
        until(lambda: self.decider() is not node, what="nobody else decides")
        node.spawn()

    def stop(self) -> None:
        node = self.decider()
        assert node.stop() == 0
        node.spawn()

    def freeze_decider(self) -> None:
        node = self.decider()
        os.kill(node.pid, signal.SIGSTOP)
        time.sleep(FROZEN_S)  # of the fault, not of the test
        os.kill(node.pid, signal.SIGCONT)

    def crash_server(self) -> None:
        self.server.crash()
        self.server.start()

    def cut_connections(self) -> None:
        self.server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'yard%'")

    def freeze_server(self) -> None:
        self.server.freeze()
        time.sleep(1)  # of the fault
        self.server.thaw()

    def hold_the_lock(self) -> None:
        # The server may choose this one, and not a turn, to end a deadlock: then it was no fault.
        with suppress(psycopg.errors.DeadlockDetected), psycopg.connect(self.server.url("yard1")) as connection:
            connection.execute("LOCK TABLE inbox, queue")
            time.sleep(0.5)  # of the fault

    def faults(self) -> list[Callable[[], None]]:
        """All; a longer run has each of them once, and then any."""
        return [
            self.kill_decider,
            self.freeze_decider,
            self.crash_server,
            self.stop,
            self.kill,
            self.cut_connections,
            self.freeze_server,
            self.hold_the_lock,
        ]

    def ready(self) -> bool:
        return all(node.ready() for node in self.nodes)


def test_nothing_is_lost_and_nothing_ends_twice_whatever_dies_of_three_nodes(tmp_path: Path) -> None:
    seed = seed_of_this_run()
    print("seed", seed)
    front = steady_port()
    with cluster() as server, pooler(server) as port:
        url = server.url(server.database()).replace(f":{server.port}/", f":{port}/")
        settings = SETTINGS | {"TASKYARD_DATABASE": url}

        def through(name: str, target: int) -> int:
            return front if name in ("client", "callbacks") else target

        with Field(tmp_path, rate=RATE, seed=seed, settings=settings, slots=SLOTS, through=through) as field:
            public = {"PUBLIC_URL": f"http://127.0.0.1:{front}"}
            others = [
                NodeProcess(tmp_path / f"other{n}", settings=FIELD_SETTINGS | settings | public) for n in range(2)
            ]
            crowd = Crowd(field, others, server)
            balancer = Balancer(front, [node.port for node in crowd.nodes])
            try:
                balancer.start()
                for node in others:
                    node.spawn()
                until(crowd.ready)
                end = time.monotonic() + 60 * MINUTES
                faults = crowd.faults()
                field.rng.shuffle(faults)
                for fault in faults if MINUTES else faults[:FEW]:
                    _strike(crowd, fault)
                while time.monotonic() < end:
                    _strike(crowd, field.rng.choice(faults))
                field.settle()
            finally:
                for node in crowd.nodes:
                    node.kill()
                balancer.close()
            evidence = field.evidence()
            for log in (evidence.ordeal, evidence.proxy):
                log.touch()
            copy(server.url("yard1"), evidence.database)
            ((left,),) = server.execute("SELECT count(*) FROM inbox", "yard1")
    verdict = evidence.judged()
    print(verdict.stdout, balancer.served)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    times = evidence.timed(LINGER_MS, SLOTS)
    print(times.stdout)
    assert times.returncode == 0, times.stdout + times.stderr
    assert left == 0, "all that nodes took in was decided"
    assert min(balancer.served.values()) > 0, "each node must have been called"


def _strike(crowd: Crowd, fault: Callable[[], None]) -> None:
    field = crowd.field
    before = field.acknowledged_bytes()
    time.sleep(field.rng.uniform(0.3, 1.5))  # when it strikes
    print(time.strftime("%H:%M:%S"), fault.__name__)
    fault()
    until(crowd.ready, 60, f"the nodes do not go on after {fault.__name__}")
    field.check()
    until(lambda: field.acknowledged_bytes() > before, what="the client is not heard")
    for node in crowd.nodes:
        text = node.log.read_text()
        assert '"exception"' not in text, text[-4000:]
