"""A raw-socket server that breaks the rules of HTTP, one behaviour per path, in threads of its own.

A behaviour gets the connection after the request was read whole, does its worst and returns; the connection is then
closed, unless it returns True (another request may follow). `Rude.events` tells a test what the server saw.
"""

import contextlib
import errno
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\n{}"


@dataclass
class Peer:
    """One accepted connection. `number` counts them from 1; `asked` the requests read on this one."""

    sock: socket.socket
    number: int
    events: "Events"
    asked: int = 0
    buffer: bytes = b""
    body: bytes = b""
    head: bytes = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Closes with RST in place of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def await_close(self) -> None:
        """Sends nothing more and returns when the client has closed."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass
        self.events.add("closed by client")

    def read_head(self) -> bool:
        """False when the client closed instead of asking."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return False
        self.head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.asked += 1
        return True

    def read_body(self) -> bool:
        lines = self.head.lower().split(b"\r\n")
        size = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(self.buffer) < size:
            if not self._more():
                return False
        self.body, self.buffer = self.buffer[:size], self.buffer[size:]
        return True

    def _more(self) -> bool:
        try:
            data = self.sock.recv(262_144)
        except OSError:
            return False
        self.buffer += data
        return bool(data)


@dataclass
class Events:
    """What happened on the server, in order; a test waits for what it expects."""

    seen: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, event: str) -> None:
        with self._changed:
            self.seen.append(event)
            self._changed.notify_all()

    def count(self, event: str) -> int:
        return self.seen.count(event)

    def wait(self, event: str, times: int = 1, limit_s: float = 30) -> None:
        """Returns once `event` was seen `times` times. For use off the event loop (`asyncio.to_thread`)."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.count(event) >= times, limit_s):
                raise TimeoutError(f"{event!r} was not seen {times} times, only {self.seen}")


Behaviour = Callable[[Peer], bool | None]
BEHAVIOURS: dict[str, Behaviour] = {}
EARLY: set[str] = set()  # these get the connection when the head was read, with the body still to come


def behaviour(path: str, *, early: bool = False) -> Callable[[Behaviour], Behaviour]:
    def enter(function: Behaviour) -> Behaviour:
        BEHAVIOURS[path] = function
        if early:
            EARLY.add(path)
        return function

    return enter


def answers(path: str, data: bytes, *, stays: bool = False) -> None:
    """A behaviour that only sends `data`, then closes (or stays for another request)."""

    def send(peer: Peer) -> bool:
        peer.send(data)
        return stays

    BEHAVIOURS[path] = send


def _chunked(body: bytes) -> bytes:
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body


# Good manners, for comparison -----------------------------------------------------------------------------------------
answers("/ok", OK, stays=True)
answers("/ok-close", HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")
answers("/until-close", b"HTTP/1.1 200 OK\r\n\r\nall of it")
answers("/http10", b"HTTP/1.0 200 OK\r\n\r\nold")
answers("/http10-keep", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold", stays=True)
answers("/chunked", _chunked(b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n"), stays=True)
answers("/204", b"HTTP/1.1 204 No Content\r\n\r\n", stays=True)
answers("/304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", stays=True)
answers("/redirect", b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", stays=True)
answers("/busy", b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", stays=True)
answers("/interim", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, stays=True)
answers("/compressed", HEAD + b"Content-Encoding: GZIP\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", stays=True)
answers("/identity", HEAD + b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", stays=True)
answers("/keep-alive-2", HEAD + b"Keep-Alive: timeout=2, max=9\r\nContent-Length: 2\r\n\r\n{}", stays=True)

# Framing that contradicts itself --------------------------------------------------------------------------------------
answers("/cl-and-te", HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
answers("/te-and-cl", HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
answers("/two-cls", HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ")
answers("/cl-list", HEAD + b"Content-Length: 2, 2\r\n\r\n{}")
answers("/cl-negative", HEAD + b"Content-Length: -2\r\n\r\n{}")
answers("/cl-plus", HEAD + b"Content-Length: +2\r\n\r\n{}")
answers("/cl-huge", HEAD + b"Content-Length: 99999999999999999999999999\r\n\r\n{}")
answers("/cl-too-long", HEAD + b"Content-Length: 9\r\n\r\n{}")
answers("/te-gzip", HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
answers("/te-twice", HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
answers("/te-unknown", HEAD + b"Transfer-Encoding: identity\r\n\r\n{}")
answers("/chunk-size", _chunked(b"zz\r\n{}\r\n0\r\n\r\n"))
answers("/chunk-size-huge", _chunked(b"fffffffffffffffffff\r\n{}\r\n0\r\n\r\n"))
answers("/chunk-end", _chunked(b"2\r\n{}xx0\r\n\r\n"))
answers("/chunk-cut", _chunked(b"2\r\n{}\r\n"))
answers("/chunk-last-cut", _chunked(b"2\r\n{}\r\n0\r\n"))

# Bytes after the answer: the answer stands, the connection does not ---------------------------------------------------
answers("/cl-too-short", HEAD + b"Content-Length: 2\r\n\r\n{} and more", stays=True)
answers("/second-answer", OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", stays=True)
answers(
    "/204-then-200", b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", stays=True
)
answers("/204-with-body", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody", stays=True)
answers("/after-close", HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}more")

# Not HTTP -------------------------------------------------------------------------------------------------------------
answers("/garbage", b"\x00\x01\x02\x03 what is this \xff\xfe\r\n\r\n")
answers("/http09", b"<html>no head at all</html>")
answers("/http09-line", b"HTTP/0.9 200 OK\r\n\r\nbody")
answers("/http2-line", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
answers("/status-099", b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n")
answers("/status-999", b"HTTP/1.1 999 High\r\nContent-Length: 0\r\n\r\n")
answers("/status-20", b"HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n")
answers("/bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}")
answers("/folded", HEAD + b"X-A: one\r\n two\r\nContent-Length: 2\r\n\r\n{}")
answers("/nul-in-header", HEAD + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}")
answers("/space-before-colon", HEAD + b"Content-Length : 2\r\n\r\n{}")
answers("/switching", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbinary")
answers("/nothing", b"")
answers("/only-interim", b"HTTP/1.1 103 Early Hints\r\n\r\n")

# Too much -------------------------------------------------------------------------------------------------------------
answers("/huge-head", HEAD + b"X-A: " + b"a" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n{}")
answers("/huge-reason", b"HTTP/1.1 200 " + b"a" * 200_000 + b"\r\nContent-Length: 2\r\n\r\n{}")
answers("/many-headers", HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(5_000)) + b"Content-Length: 2\r\n\r\n{}")
answers("/sixty-headers", HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(60)) + b"Content-Length: 2\r\n\r\n{}")
answers("/big-with-length", HEAD + b"Content-Length: 400000\r\n\r\n" + b"x" * 400_000)
answers("/big-promise", HEAD + b"Content-Length: 400000\r\n\r\n", stays=True)
answers("/big-until-close", HEAD + b"\r\n" + b"x" * 400_000)
answers(
    "/big-chunked", _chunked(b"186a0\r\n" + b"x" * 100_000 + b"\r\n") + b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n"
)


def _endlessly(peer: Peer, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer.send(data)
    peer.events.add("closed by client")


@behaviour("/endless-body")
def _endless_body(peer: Peer) -> None:
    peer.send(HEAD + b"\r\n")
    _endlessly(peer, b"x" * 65_536)


@behaviour("/endless-head")
def _endless_head(peer: Peer) -> None:
    peer.send(HEAD + b"X-A: ")
    _endlessly(peer, b"x" * 65_536)


@behaviour("/endless-interim")
def _endless_interim(peer: Peer) -> None:
    _endlessly(peer, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@behaviour("/endless-newlines")
def _endless_newlines(peer: Peer) -> None:
    _endlessly(peer, b"\r\n" * 10_000)


@behaviour("/endless-trailer")
def _endless_trailer(peer: Peer) -> None:
    peer.send(_chunked(b"2\r\n{}\r\n0\r\nX-A: "))
    _endlessly(peer, b"x" * 65_536)


@behaviour("/endless-chunk-extension")
def _endless_chunk_extension(peer: Peer) -> None:
    peer.send(_chunked(b"2\r\n{}\r\n2;x="))
    _endlessly(peer, b"x" * 65_536)


# Silence, cuts and timing ---------------------------------------------------------------------------------------------
@behaviour("/reset")
def _reset(peer: Peer) -> None:
    peer.reset()


@behaviour("/reset-in-head")
def _reset_in_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-")
    peer.reset()


@behaviour("/reset-in-body")
def _reset_in_body(peer: Peer) -> None:
    peer.send(HEAD + b"Content-Length: 1000\r\n\r\nsome")
    peer.reset()


@behaviour("/reset-until-close")
def _reset_until_close(peer: Peer) -> None:
    peer.send(HEAD + b"\r\nsome")
    peer.reset()


@behaviour("/silent")
def _silent(peer: Peer) -> None:
    peer.events.add("silent")
    peer.await_close()


@behaviour("/silent-in-head")
def _silent_in_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-")
    peer.await_close()


@behaviour("/silent-in-body")
def _silent_in_body(peer: Peer) -> None:
    peer.send(HEAD + b"Content-Length: 1000\r\n\r\nsome")
    peer.events.add("silent")
    peer.await_close()


@behaviour("/silent-after-interim")
def _silent_after_interim(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 102 Proc")
    time.sleep(0.02)
    peer.send(b"essing\r\n\r\n")
    peer.await_close()


@behaviour("/halves")
def _halves(peer: Peer) -> bool:
    """A body of 200,000 bytes, the second half of it when "open" is seen."""
    peer.send(HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000)
    peer.events.add("half")
    peer.events.wait("open")
    peer.send(b"x" * 100_000)
    peer.events.add("whole")
    return True


@behaviour("/trickle")
def _trickle(peer: Peer) -> None:
    with contextlib.suppress(OSError):
        peer.send(HEAD + b"Content-Length: 1000\r\n\r\n")
        while True:
            peer.send(b"x")
            time.sleep(0.02)
    peer.events.add("closed by client")


@behaviour("/byte-by-byte")
def _byte_by_byte(peer: Peer) -> bool:
    for byte in b"HTTP/1.1 100 Continue\r\n\r\n" + _chunked(b"2\r\n{}\r\n0\r\nX-T: t\r\n\r\n"):
        peer.send(bytes((byte,)))
        time.sleep(0.0005)
    return True


@behaviour("/closes-idle")
def _closes_idle(peer: Peer) -> None:
    peer.send(OK)


@behaviour("/resets-idle")
def _resets_idle(peer: Peer) -> None:
    peer.send(OK)
    time.sleep(0.02)
    peer.reset()


@behaviour("/speaks-idle")
def _speaks_idle(peer: Peer) -> None:
    peer.send(OK)
    time.sleep(0.05)
    with contextlib.suppress(OSError):
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    peer.await_close()


@behaviour("/second-is-dropped")
def _second_is_dropped(peer: Peer) -> bool:
    """Answers a connection's first request and closes on its second: the keep-alive race, made certain."""
    peer.events.add(f"request {peer.asked}")
    if peer.asked > 1:
        return False
    peer.send(OK)
    return True


@behaviour("/second-is-cut")
def _second_is_cut(peer: Peer) -> bool:
    """Answers a connection's first request and begins to answer its second."""
    peer.send(OK if peer.asked == 1 else b"HTTP/1.1 200 O")
    return peer.asked == 1


@behaviour("/large-head-at-once")
def _large_head_at_once(peer: Peer) -> None:
    """A head just over the usual limit, which a client that looks late reads together with its body."""
    peer.send(HEAD + b"X-A: " + b"a" * 66_000 + b"\r\nContent-Length: 2\r\n\r\n{}")
    peer.events.add("sent")
    peer.await_close()


@behaviour("/early-413", early=True)
def _early_413(peer: Peer) -> None:
    """Answers and closes with the request's body unread, which makes the kernel send a reset after the answer."""
    peer.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")


@behaviour("/early-and-stays", early=True)
def _early_and_stays(peer: Peer) -> None:
    """Answers early with keep-alive and reads no more: the rest of the request stays in the client's buffer."""
    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
    peer.events.add("answered early")
    peer.events.wait("may read")
    peer.await_close()


@behaviour("/half-closes", early=True)
def _half_closes(peer: Peer) -> None:
    """Ends its side without an answer and reads nothing: only the end itself tells the client."""
    peer.sock.shutdown(socket.SHUT_WR)
    peer.events.wait("may read")
    peer.await_close()


@behaviour("/echo")
def _echo(peer: Peer) -> bool:
    """The request as it was received."""
    data = peer.head + b"\r\n\r\n" + peer.body
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    return True


@behaviour("/number")
def _number(peer: Peer) -> bool:
    """Which connection this is, and the how manieth request on it."""
    data = b"%d.%d" % (peer.number, peer.asked)
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    return True


@behaviour("/gate")
def _gate(peer: Peer) -> bool:
    """Answers when the test opens the gate."""
    peer.events.add("at gate")
    peer.events.wait("open")
    return bool(_number(peer))


class Rude:
    """Listens from construction to `stop`. With `tls` a connection begins with a handshake, with `banner` with that."""

    def __init__(self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, banner: bytes = b"") -> None:
        self.events = Events()
        self.accepted = 0
        self._tls = tls
        self._banner = banner
        self._listener = socket.create_server((host, 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._peers: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="rude", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.events.add("open")
        self.events.add("may read")
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for sock in list(self._peers):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    return
                time.sleep(0.01)  # a test took the descriptors away: the connection waits in the backlog
                continue
            self.accepted += 1
            threading.Thread(target=self._serve, args=(sock, self.accepted), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                self.events.add("handshake failed")
                sock.close()
                return
        self._peers.add(sock)
        with contextlib.suppress(OSError):
            peer = Peer(sock, number, self.events)
            peer.send(self._banner)
            while peer.read_head():
                path = peer.head.split(b" ", 2)[1].decode("ascii")
                if path not in EARLY and not peer.read_body():
                    break
                if not BEHAVIOURS[path](peer):
                    break
        self._peers.discard(sock)
        sock.close()
        self.events.add("connection ended")
