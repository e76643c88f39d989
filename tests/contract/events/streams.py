"""A listener of its own for the tests: reads a `text/event-stream` as the HTML standard says, line by line."""

import json
import socket
from typing import Any

from tests.contract.api.yard import PATIENCE_S, Yard, token


class Listener:
    """One stream of a node, or of what listens at a port. `last_id` is what the client would come back with."""

    def __init__(
        self,
        at: Yard | int,
        query: str,
        *roles: str,
        path: str = "/api/events",
        sub: str = "ann",
        last: str | None = None,
        more: str = "",
        bearer: str | None = None,
        method: str = "GET",
        read: bool = True,
    ) -> None:
        port = at if isinstance(at, int) else at.running.port
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.settimeout(2 * PATIENCE_S)
        head = f"{method} {path}{'?' if query else ''}{query} HTTP/1.1\r\nHost: x\r\n{more}"
        head += f"Authorization: Bearer {bearer or token(*(roles or ('admin',)), sub=sub)}\r\n"
        head += "" if last is None else f"Last-Event-ID: {last}\r\n"
        self.socket.sendall(f"{head}\r\n".encode())
        self.last_id = last or ""
        self._data = b""
        self.ended = False
        self.status = 0
        self.head: dict[str, str] = {}
        if read:
            self.read_head()

    def read_head(self) -> None:
        """The head of the answer."""
        lines = self._until(b"\r\n\r\n").decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.head = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            more = self.socket.recv(1 << 20)
            assert more, "the node closed the connection"
            self._data += more
        found, _, self._data = self._data.partition(mark)
        return found

    def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        size = int(self._until(b"\r\n"), 16)
        while len(self._data) < size + 2:
            more = self.socket.recv(1 << 20)
            assert more, "the node closed the connection"
            self._data += more
        found, self._data = self._data[:size], self._data[size + 2 :]
        return found

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of the next chunk: a chunk has whole ones. Empty at the end of the stream."""
        text = self.chunk().decode()
        self.ended = not text
        found = []
        assert not text or text.endswith("\n\n")
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line)
            if "id" in fields:
                self.last_id = fields["id"]
            if "data" in fields:
                data = json.loads(fields["data"])
                assert isinstance(data["now"], int)
                found.append((fields["event"], data))
        return found

    def until(self, name: str, **members: Any) -> dict[str, Any]:
        """The next event of this name that has these members."""
        while True:
            for found, data in self.events():
                if found == name and all(data.get(member) == value for member, value in members.items()):
                    return data
            assert not self.ended, f"the stream ended before {name}"

    def close(self) -> None:
        self.socket.close()
