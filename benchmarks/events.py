"""What listeners cost a node: its CPU with so many of them, less that without any, under the same load.

`python -m benchmarks.events [--viewers 500] [--servers 300] [--tasks 1000] [--seconds 10] [--rounds 2] [--follower]`

With `--follower` two nodes on PostgreSQL, and in turn no listeners, listeners at the node that decides and at the other
one; each node's CPU is told.

Each viewer has a stream of overview, lanes, fleet and attention, as a dashboard's first page has; a batch of tasks a
second keeps the fleet changing. The listeners are a process of their own, whose CPU is not counted. Not a test: figures
depend on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.yard import Yard, register, stub, workplace, yard
from tests.support.postgres import cluster

QUERY = "/api/events?topics=overview,lanes,fleet,attention"


def listen(port: int, token: str, viewers: int) -> None:
    """The listening process: opens streams, says when all have their snapshot, reads until its standard input ends."""
    selector = selectors.DefaultSelector()
    head = f"GET {QUERY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    seen: dict[socket.socket, int] = {}
    for _ in range(viewers):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(head)
        connection.setblocking(False)
        seen[connection] = 0
        selector.register(connection, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    told = False
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                print(json.dumps({"bytes": sum(seen.values())}), flush=True)
                if not sys.stdin.readline():
                    return
                continue
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(1 << 20)
            if not data:
                raise SystemExit("the node closed a stream")
            seen[key.fileobj] += len(data)
        if not told and all(seen.values()):
            told = True
            print("listening", flush=True)


class Listeners:
    """The listening process."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running

    def bytes(self) -> int:
        """What all of them have read so far."""
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        self._running.stdin.write("\n")
        self._running.stdin.flush()
        return int(json.loads(self._running.stdout.readline())["bytes"])


@contextlib.contextmanager
def listeners(node: Yard, viewers: int) -> Iterator[Listeners]:
    """So many streams, open for the length of a block."""
    port = node.url.rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.events", "--listen", port, node.token, "--viewers", str(viewers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            if running.stdout.readline().strip() != "listening":
                raise RuntimeError("the listeners did not get through")
            yield Listeners(running)
        finally:
            assert running.stdin is not None
            running.stdin.close()
            running.wait(30)


def load(nodes: Sequence[Yard], tasks: int, seconds: int) -> list[float]:
    """A batch of tasks a second to the first node; each node's CPU as a share of a core."""
    node = nodes[0]
    batch = {"tasks": [{"type": "bench", "payload": {"n": n}, "capabilities": ["bench"]} for n in range(tasks)]}
    began, cpu = time.perf_counter(), [node.cpu_seconds() for node in nodes]
    for number in range(seconds):
        if tasks:
            node.call("POST", "/api/tasks", batch)
        time.sleep(max(0.0, began + number + 1 - time.perf_counter()))
    took = time.perf_counter() - began
    return [(node.cpu_seconds() - before) / took for node, before in zip(nodes, cpu, strict=True)]


def compare(options: argparse.Namespace) -> None:
    """Two nodes on one database: what listeners at one or the other cost each."""
    keys = dict.fromkeys(("JWT_SECRET", "TASKYARD_SECRET_KEY"), secrets.token_hex(32))
    with contextlib.ExitStack() as stack:
        folder, server = stack.enter_context(workplace()), stack.enter_context(cluster("shared_buffers=256MB"))
        shared = {**keys, "TASKYARD_DATABASE": server.url(server.database()), "ENDPOINT_ALLOW": "127.0.0.0/8"}
        port = stack.enter_context(stub(folder))
        nodes = []
        for name in ("decider", "follower"):
            place = folder / name
            place.mkdir()
            nodes.append(stack.enter_context(yard(place, **shared)))
        register(nodes[0], port, options.servers, 4)
        print(f"{options.servers} servers, {options.tasks} tasks/s, CPU of a core: decider, follower")
        load(nodes, options.tasks, options.seconds)  # what was just started is not measured
        found: dict[str, list[list[float]]] = {}
        for _ in range(options.rounds):
            found.setdefault("without listeners", []).append(load(nodes, options.tasks, options.seconds))
            for name, node in (("at the decider", nodes[0]), ("at the follower", nodes[1])):
                with listeners(node, options.viewers):
                    cpu = load(nodes, options.tasks, options.seconds)
                found.setdefault(f"{options.viewers} {name}", []).append(cpu)
        for name, rounds in found.items():
            print(name + ": " + ", ".join(f"{statistics.median(cpu):.1%}" for cpu in zip(*rounds, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=500)
    parser.add_argument("--servers", type=int, default=300)
    parser.add_argument("--tasks", type=int, default=1000, help="tasks a second")
    parser.add_argument("--seconds", type=int, default=10, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="without and with viewers in turn, so often")
    parser.add_argument("--follower", action="store_true", help="two nodes, one of which decides")
    parser.add_argument("--listen", nargs=2, metavar=("PORT", "TOKEN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen is not None:
        listen(int(options.listen[0]), options.listen[1], options.viewers)
        return
    if options.follower:
        compare(options)
        return
    with workplace() as folder, stub(folder) as port, yard(folder, ENDPOINT_ALLOW="127.0.0.0/8") as node:
        register(node, port, options.servers, 4)
        without, beside, rates = [], [], []
        for _ in range(options.rounds):
            without += load([node], options.tasks, options.seconds)
            with listeners(node, options.viewers) as heard:
                before, began = heard.bytes(), time.perf_counter()
                beside += load([node], options.tasks, options.seconds)
                rates.append((heard.bytes() - before) / (time.perf_counter() - began) / options.viewers)
        cost = [with_them - alone for with_them, alone in zip(beside, without, strict=True)]
        print(f"{options.servers} servers, {options.tasks} tasks/s: {statistics.median(without):.1%} of a core")
        print(
            f"with {options.viewers} viewers: {statistics.median(beside):.1%}; they cost {statistics.median(cost):.1%}"
        )
        print(f"each was sent {statistics.median(rates) / 1000:.1f} kB/s; node: {node.memory_mib():.0f} MiB")


if __name__ == "__main__":
    main()
