"""The main job's speed: tasks submitted, dispatched and stored per second, beside a bare loop of the same exchanges.

One node on SQLite (FULL), nginx and a callback stub as backends, wrk as the load: 1 kB payloads, 64 connections,
10 servers x 50 slots, 20 % by callback. Then the same with tasks queued that nobody can take, and the time that a
synchronous task takes at 100/s beside calling the stub directly. Medians; quote ratios.

    python -m benchmarks.main_job [--seconds 30] [--runs 5] [--queued 200000]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from benchmarks.yard import (
    Yard,
    free_port,
    fsync_p50_ms,
    process,
    register,
    stub,
    task_body,
    until,
    workplace,
    wrk,
    yard,
)
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.port import Bounds

CONNECTIONS = 64
SERVERS = 10
BY_CALLBACK = 2
SLOTS = 50
RATE = 100
BATCH = 500


@contextlib.contextmanager
def bare(stub_port: int) -> Iterator[str]:
    """The bare loop as a process; yields its URL."""
    port = free_port()
    with process(sys.executable, "-m", "benchmarks.bare", str(port), str(stub_port)):
        until(lambda: _open(port))
        yield f"http://127.0.0.1:{port}/api/task"


def exchanged_per_second(url: str, seconds: int, folder: Path) -> float:
    """The bare loop's tasks per second, from the first POST to the last answer of the stub read."""

    def counts() -> tuple[int, int]:
        with urlopen(url) as answer:
            came, read = answer.read().split()
        return int(came), int(read)

    def all_read() -> bool:
        came, read = counts()
        return came == read

    _, before = counts()
    began = time.monotonic()
    wrk(url, task_body(), "none", seconds, CONNECTIONS, folder)
    until(all_read, 120)
    took = time.monotonic() - began
    return (counts()[1] - before) / took


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stored_per_second(node: Yard, seconds: int, folder: Path) -> tuple[float, float]:
    """Tasks per second from the first POST to the last result stored, and the node's CPU in µs a task."""
    before = int(str(node.call("GET", "/api/stats")["successfulTasks"]))
    queued = node.waiting()
    cpu, began = node.cpu_seconds(), time.monotonic()
    _, bad = wrk(node.url + "/api/task", task_body(), node.token, seconds, CONNECTIONS, folder)
    until(lambda: node.waiting() <= queued, 120)
    took = time.monotonic() - began
    done = int(str(node.call("GET", "/api/stats")["successfulTasks"])) - before
    if bad:
        print(f"  {bad} submissions were not answered 2xx")
    return done / took, (node.cpu_seconds() - cpu) / done * 1e6


def fill(node: Yard, count: int) -> None:
    """Queue tasks that no server can take."""
    item = {"type": "idle", "payload": {"text": "x" * 988}, "capabilities": ["nobody-has-this"]}
    for _ in range(count // BATCH):
        answers = node.call("POST", "/api/tasks", {"tasks": [item] * BATCH})["results"]
        if not all("id" in answer for answer in answers):  # type: ignore[attr-defined]
            raise RuntimeError(str(answers)[:500])


async def latencies(url: str, body: bytes, token: str, seconds: int) -> list[float]:
    """An open loop of `RATE` POSTs a second; ms from each one's due time to its answer."""
    client = Client(AddressPolicy())
    headers = [(b"Authorization", b"Bearer " + token.encode())]
    bounds = Bounds(total_ms=60_000, body_max=1 << 20)
    took: list[float] = []

    async def one(due: float) -> None:
        reply = await client.post(url, headers, body, bounds, pool_key="load", max_connections=64)
        took.append((time.perf_counter() - due) * 1000)
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.body!r}")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(seconds * RATE):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    await client.close()
    return sorted(took)


def percentile(values: list[float], share: float) -> float:
    """Of a sorted list."""
    return values[min(len(values) - 1, int(len(values) * share))]


def added_latency(node: Yard, stub_port: int, seconds: int, fsync_ms: float) -> None:
    """Print what a synchronous task takes beside the stub alone."""
    sync = task_body(**{"async": False}).encode()
    direct = asyncio.run(latencies(f"http://127.0.0.1:{stub_port}/0", sync, "none", seconds))
    through = asyncio.run(latencies(f"{node.url}/api/task", sync, node.token, seconds))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        added = percentile(through, share) - percentile(direct, share)
        print(
            f"  {name}: through the node {percentile(through, share):.2f} ms, the stub alone "
            f"{percentile(direct, share):.2f} ms, added {added:.2f} ms, less two fsyncs {added - 2 * fsync_ms:.2f} ms"
        )


def main() -> None:
    """Run it all and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--queued", type=int, default=200_000)
    options = parser.parse_args()
    with workplace() as folder, stub(folder) as port, yard(folder) as node, contextlib.ExitStack() as stack:
        callback_port = free_port()
        node_port = node.url.rsplit(":", 1)[1]
        stack.enter_context(process(sys.executable, "-m", "benchmarks.callback_stub", str(callback_port), node_port))
        until(lambda: _open(callback_port))
        register(node, port, SERVERS - BY_CALLBACK, SLOTS)
        register(node, callback_port, BY_CALLBACK, SLOTS, prefix="callback")
        fsync_ms = fsync_p50_ms(folder)
        print(f"Python {sys.version}; {os.cpu_count()} cores; load before {os.getloadavg()[0]:.1f}")
        print(f"fsync p50 {fsync_ms:.2f} ms; {options.runs} runs of {options.seconds} s each, medians")
        ratios, rates = [], []
        with bare(port) as bare_url:
            for _ in range(options.runs):
                alone = exchanged_per_second(bare_url, options.seconds, folder)
                rate, cpu = stored_per_second(node, options.seconds, folder)
                rates.append(rate)
                ratios.append(rate / alone)
                print(
                    f"  {rate:,.0f} tasks/s ({cpu:.0f} µs node CPU a task); bare loop {alone:,.0f}/s; "
                    f"ratio {rate / alone:.2f}"
                )
        print(f"stored: {statistics.median(rates):,.0f} tasks/s, {statistics.median(ratios):.2f} of the bare loop")
        print(f"memory: {node.memory_mib():.0f} MiB")
        print(f"a synchronous task at {RATE}/s:")
        added_latency(node, port, min(options.seconds, 20), fsync_ms)
        fill(node, options.queued)
        queued = [stored_per_second(node, options.seconds, folder)[0] for _ in range(options.runs)]
        share = statistics.median(queued) / statistics.median(rates)
        print(
            f"with {options.queued:,} queued: {statistics.median(queued):,.0f} tasks/s, {share:.2f} of an empty queue"
        )
        print(f"memory: {node.memory_mib():.0f} MiB")


if __name__ == "__main__":
    main()
