"""The disk of a PostgreSQL server fills up under two nodes: a tmpfs of its own, which only root can mount."""

import itertools
import json
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskyard.prove.processes import steady_port
from taskyard.prove.torture.field import SETTINGS as FIELD_SETTINGS
from taskyard.prove.torture.field import Field
from taskyard.prove.torture.node import NodeProcess
from tests.support.disks import SmallDisk, small_disk
from tests.support.nodes import until
from tests.support.postgres import Cluster, private_folder
from tests.support.seeds import seed_of_this_run
from tests.support.tables import copy

RATE = 30
SLOTS = 15
# A new cluster, a database of ours with three days, and some MiB for the WAL and the tasks.
DISK = 192 << 20
SETTINGS = {
    "TASKYARD_SECRET_KEY": "a secret key of the tests that is long enough",
    "TASKYARD_RECOVERY_SPREAD": "0",
}
TIMES = 2


@contextmanager
def server_on_a_small_disk() -> Iterator[tuple[Cluster, SmallDisk]]:
    with private_folder() as folder, small_disk(folder / "disk", DISK) as disk:
        nobody = pwd.getpwnam("nobody")
        os.chown(disk.path, nobody.pw_uid, nobody.pw_gid)
        server = Cluster(disk.path, "max_wal_size=32MB", "min_wal_size=32MB")
        try:
            server.make()
            server.start_anywhere()
            yield server, disk
        finally:
            server.remove()


class Probe:
    """Submits tasks that nobody can do and that end soon, each under a key of its own until it is acknowledged."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._noted: list[dict[str, str]] = []
        self._numbers = itertools.count(1)

    def refused(self, node: NodeProcess) -> bool:
        """Whether a node says to a new one that nothing can be stored, and when to come again."""
        key = f"probe-{next(self._numbers)}"
        self._noted.append({"event": "sent", "key": key})
        return not self._submit(node, key)

    def settle(self, node: NodeProcess) -> None:
        """Submit again what was refused."""
        keys, self._open = self._open, []
        assert all(self._submit(node, key) for key in keys)

    def _submit(self, node: NodeProcess, key: str) -> bool:
        body = {
            "type": "t", "payload": {"key": key}, "capabilities": ["nobody has this"], "ttl": 1000,
            "idempotencyKey": key,
        }  # fmt: skip
        with node.client("user") as client:
            answer = client.post("/api/task", json=body)
        if answer.status_code == 200:
            self._noted.append({"event": "ack", "key": key, "id": answer.json()["id"]})
            return True
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        self._open.append(key)
        return False

    def note(self, log: Path) -> None:
        """Add what was heard to a client's log."""
        with log.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in self._noted)


def test_a_full_disk_of_the_database_stops_submissions_and_loses_nothing(tmp_path: Path) -> None:
    seed = seed_of_this_run()
    print("seed", seed)
    with server_on_a_small_disk() as (server, disk):
        url = server.url(server.database())
        settings = SETTINGS | {"TASKYARD_DATABASE": url}
        other = NodeProcess(tmp_path / "other", port=steady_port(), settings=FIELD_SETTINGS | settings)

        def through(name: str, port: int) -> int:
            # What clients submit goes by way of the node that does not decide.
            return other.port if name == "client" else port

        probe = Probe()
        try:
            with Field(tmp_path, rate=RATE, seed=seed, settings=settings, slots=SLOTS, through=through) as field:
                other.start()
                nodes = (field.node, other)
                for _ in range(TIMES):
                    before = field.acknowledged_bytes()
                    until(lambda: field.acknowledged_bytes() > before)  # noqa: B023
                    fill(disk, nodes, probe)
                    before = field.acknowledged_bytes()
                    disk.make_room()
                    until(lambda: goes_on(server, nodes), 120, "the nodes do not go on")
                    until(lambda: field.acknowledged_bytes() > before)  # noqa: B023
                    field.check()
                probe.settle(other)
                field.settle()
                for node in nodes:
                    node.kill()
                evidence = field.evidence()
                copy(url, evidence.database)
                probe.note(evidence.client)
                full = server.said("No space left on device")
                print(f"the server had no room {full} times, and crashed of it {server.said('PANIC')} times")
        finally:
            other.kill()
    verdict = evidence.judged()
    print(verdict.stdout)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert full >= TIMES


def goes_on(server: Cluster, nodes: tuple[NodeProcess, ...]) -> bool:
    if server.has_ended():  # it had no room for its own recovery: whoever watches over it starts it again
        server.start()
    return all(node.ready() for node in nodes)


def fill(disk: SmallDisk, nodes: tuple[NodeProcess, ...], probe: Probe) -> None:
    """Fill the disk until each node says so; what the server gives back meanwhile is filled too."""
    left = set(nodes)
    end = time.monotonic() + 120
    while left:
        disk.fill()
        left -= {node for node in left if probe.refused(node)}
        assert time.monotonic() < end, "the nodes do not say that their database is full"
