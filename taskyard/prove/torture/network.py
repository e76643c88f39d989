"""The torture's network: the proxy as a process, and the links through it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from taskyard.prove.processes import listens, program, steady_port, until


class Network:
    """A proxy that ends with the stack; its log is written to `log`."""

    def __init__(self, stack: ExitStack, folder: Path, log: Path, seed: int) -> None:
        self._proxy = program(stack, folder / "proxy.err", "taskyard.prove.torture.proxy", log, seed)
        self._ports: dict[tuple[str, int], int] = {}

    def _command(self, **words: object) -> None:
        assert self._proxy.stdin is not None
        self._proxy.stdin.write(json.dumps(words).encode() + b"\n")
        self._proxy.stdin.flush()

    def link(self, name: str, port: int) -> int:
        """The port by which another is reached from now on."""
        if (name, port) not in self._ports:
            listen = self._ports[name, port] = steady_port()
            self._command(link=name, listen=listen, to=port)
            until(lambda: listens(listen), what=f"no way through the proxy: {name}")
        return self._ports[name, port]

    def storm(self, blows: bool) -> None:
        """Begin or end a storm on all links."""
        self._command(storm=blows)
