"""A listener by WebSocket (RFC 6455, by wsproto), which subscribes to tasks one by one. Knows messages, not tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Request,
    TextMessage,
)
from wsproto.events import Event as Said
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from taskyard.api.call import Call
from taskyard.api.cors import Cors
from taskyard.api.live.channel import Event
from taskyard.api.live.press import Bundle
from taskyard.api.live.viewer import Viewer
from taskyard.api.origin import FOREIGN, ours
from taskyard.api.problems import BAD_REQUEST, UPGRADE_REQUIRED, Header, Problem
from taskyard.api.stream import Piece
from taskyard.wire.events import TASKS_MOST, Spoken

if TYPE_CHECKING:
    from taskyard.api.live.hub import Hub

MESSAGE_MOST = 4096
# Subscriptions that are looked up; who asks for more before they are answered is cut off.
ASKED_MOST = 2 * TASKS_MOST
# Frames that are answered in one read, while nothing else is done; and messages that nobody understands, in all.
HEARD_AT_ONCE = 2 * TASKS_MOST
REFUSED_MOST = 3
GOING_AWAY, POLICY, TOO_BIG, TRY_AGAIN, EXPIRED = 1001, 1008, 1009, 1013, 4401
_CODES = {"draining": GOING_AWAY, "renew": GOING_AWAY, "unavailable": TRY_AGAIN, "expired": EXPIRED}
_FRAMES = (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol", b"host")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes, which the library leaves unread
_encode = msgspec.json.Encoder().encode
_spoken = msgspec.json.Decoder(Spoken)


class TaskSocket(Viewer):
    """One WebSocket. `head` are the header lines that accept it."""

    def __init__(self, hub: Hub, call: Call, frames: WSConnection, head: tuple[Header, ...]) -> None:
        super().__init__(hub, call, (), ())
        self.head = head
        self._frames = frames
        self._said = ""
        self._asked = 0  # not answered yet
        self._chosen: set[str] = set()  # what it will watch when all that it asked for is answered
        self._refused = 0

    @classmethod
    def of(cls, call: Call) -> TaskSocket:
        """For a request that asks for one. Raises `Problem` (400, 403, 426, 429) and `Overloaded`."""
        headers = call.request_headers
        if not (call.request.upgrade and _KEY.fullmatch(headers.get(b"sec-websocket-key", b""))):
            upgrade: tuple[Header, ...] = ((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
            raise Problem(UPGRADE_REQUIRED, "open this address as a WebSocket (RFC 6455)", headers=upgrade)
        # What a browser sends along by itself, a cookie too, must not serve another page.
        origin, settings = headers.get(b"origin"), call.node.settings
        if origin is not None and not (
            ours(origin.decode("latin-1").lower(), headers, settings.public_base())
            or Cors(settings.cors_origins, local=settings.dev).allows(origin)
        ):
            raise Problem(FOREIGN, "a page of another origin may not listen; CORS_ORIGINS names those that may")
        call.live.check(call.who.sub, 0)
        frames = WSConnection(ConnectionType.SERVER)
        shown = [(name, headers[name]) for name in _FRAMES if name in headers]
        try:
            frames.initiate_upgrade_connection(
                [*shown, (b"connection", b"upgrade"), (b"upgrade", b"websocket")], call.request.path
            )
            asked = next(frames.events())
            assert isinstance(asked, Request)
            answer = frames.send(AcceptConnection())
        except (RemoteProtocolError, LocalProtocolError, UnicodeError) as error:
            version = headers.get(b"sec-websocket-version", b"13")
            kind = BAD_REQUEST if version == b"13" else UPGRADE_REQUIRED
            raise Problem(kind, f"no WebSocket: {error}", headers=((b"sec-websocket-version", b"13"),)) from None
        lines = answer.partition(b"\r\n")[2].strip().split(b"\r\n")
        head = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        return cls(call.live, call, frames, tuple(head))

    # --- what the client says -----------------------------------------------------------------------------------------

    def heard(self, data: bytes) -> None:
        if self.left:
            return
        try:
            self._frames.receive_data(data)
            for number, said in enumerate(self._frames.events()):
                if self.left:
                    break
                if number >= HEARD_AT_ONCE or self.outlet.full:
                    self._cut("slower, and take what you are told")
                    break
                self._hear(said)
        except RemoteProtocolError as error:
            if not self.left:
                self._hub.leave(self)
                self._close(error.event_hint.code if isinstance(error.event_hint, CloseConnection) else 1002)

    def _hear(self, said: Said) -> None:
        if isinstance(said, Ping):
            self._say(said.response())
        elif isinstance(said, CloseConnection):
            self._hub.leave(self)
            self._say(said.response())
            self.outlet.end()
        elif isinstance(said, BytesMessage):
            self._hub.leave(self)
            self._close(1003, "text is spoken here")
        elif isinstance(said, TextMessage):
            self._said += said.data
            if len(self._said) > MESSAGE_MOST:
                self._hub.leave(self)
                self._close(TOO_BIG, f"a message has at most {MESSAGE_MOST} characters")
            elif said.message_finished:
                text, self._said = self._said, ""
                self._take(text)

    def _take(self, text: str) -> None:
        try:
            spoken = _spoken.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            self._misheard(f"this is no message that is known here: {error}")
            return
        task_id = spoken.task_id
        if spoken.type == "ping":
            self._tell({"type": "pong", "now": self._hub.node.now()})
        elif not task_id:
            self._misheard("taskId is missing")
        elif self._asked >= ASKED_MOST:
            self._cut("wait for answers before you ask for more")
        elif spoken.type == "unsubscribe":
            self._asked += 1
            self._chosen.discard(task_id)
            self._hub.forget(self, (task_id,))
        elif len(self._chosen) >= TASKS_MOST and task_id not in self._chosen:
            self._refuse("Too many tasks", f"at most {TASKS_MOST} are watched by one WebSocket", task_id)
        elif self._hub.full_of_tasks(1):
            self._refuse("Service unavailable", "this node watches as many tasks as it can", task_id)
        else:
            self._asked += 1
            self._chosen.add(task_id)
            self._hub.ask(self, (task_id,))

    def _misheard(self, details: str) -> None:
        self._refuse("Bad request", details, None)
        self._refused += 1
        if self._refused >= REFUSED_MOST:
            self._cut("too many messages that are not known here")

    def _cut(self, reason: str) -> None:
        self._hub.leave(self)
        self._close(POLICY, reason)

    # --- what the hub tells -------------------------------------------------------------------------------------------

    def begin(self, asked: Sequence[str], unknown: Sequence[str]) -> None:
        if self.seen < 0:
            self.seen = self.sent_at = self._hub.tick
        for task_id in asked:
            self._asked -= 1
            if task_id in unknown:
                self._chosen.discard(task_id)
                self._refuse("Task not found", "it was removed, or it is not yours", task_id)
            else:
                self._tell({"type": "subscribed", "taskId": task_id})
                self._task(self.watches[task_id].event)

    def forgot(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            self._asked -= 1
            self._tell({"type": "unsubscribed", "taskId": task_id})

    def send(self, bundle: Bundle) -> None:
        for event in bundle.events:
            self._task(event)

    def silence(self, now: Event) -> None:
        self._say(Ping())

    def doubt(self, stale: Event) -> None:
        self._text(b'{"type":"stale",%b' % stale.data[1:])

    def end(self, reason: str) -> None:
        self._close(_CODES[reason], reason)

    def _task(self, event: Event) -> None:
        self._text(b'{"type":"task","task":%b}' % event.data)

    # --- writing ------------------------------------------------------------------------------------------------------

    def _refuse(self, error: str, details: str, task_id: str | None) -> None:
        self._tell({"type": "error", "error": error, "details": details, "taskId": task_id})

    def _tell(self, message: dict[str, object]) -> None:
        self._text(_encode(message))

    def _text(self, data: bytes) -> None:
        self._say(Message(data=data.decode()))

    def _say(self, event: Said) -> None:
        self.outlet.write(Piece(self._frames.send(event)))

    def _close(self, code: int, reason: str = "") -> None:
        self._say(CloseConnection(code=code, reason=reason))
        self.outlet.end()
