"""A backend's reply, read: from bytes and headers to the fact that says how the attempt ended.

The table of outcomes is `domain.outcomes`; this module only reads what the table asks for. Bodies are data throughout.
"""

from __future__ import annotations

import email.utils

import msgspec

from taskyard.domain.outcomes import Effect, Outcome, judge
from taskyard.engine.facts import Ended
from taskyard.host.transport.port import (
    AddressDenied,
    Reply,
    Silent,
    TooLarge,
    TransportError,
    Unanswered,
    Unreached,
)

METADATA_MOST = 16 * 1024
TEXT_MOST = 4096
UNSTORABLE = "the answer cannot be stored"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)


def read_reply(task_id: str, attempt: int, reply: Reply, *, server_is_async: bool, responded_at: int) -> Ended:
    """The fact for a complete answer; `responded_at` is when its head came (int ms)."""
    status = reply.status
    ok = 200 <= status < 300
    text, members, unreadable = _read_body(reply, ok)
    if ok and status != 202 and unreadable is not None:
        return Ended(
            task_id=task_id,
            attempt=attempt,
            outcome=Outcome.FAILED,
            error=unreadable,
            http_status=status,
            responded_at=responded_at,
        )
    pause = _pause(reply, members, responded_at)
    verdict = judge(
        status,
        _text(members.get("status")),
        asks_to_wait=pause is not None,
        server_is_async=server_is_async,
    )
    fact = Ended(
        task_id=task_id,
        attempt=attempt,
        outcome=verdict.outcome,
        final=verdict.final,
        effect=verdict.effect,
        pause_ms=pause if verdict.effect is Effect.PAUSE else None,
        http_status=status,
        responded_at=responded_at,
    )
    if verdict.outcome is Outcome.COMPLETED:
        fact.result = _result(text, members, reply)
        fact.metadata = _metadata(members)
    elif verdict.outcome is not Outcome.ACCEPTED:
        said = error_text(members.get("error")) or _text(members.get("message"))
        fact.error = said if ok and said else f"HTTP {status}" + (f": {said}" if said else "")
        fact.error_code = _short(members.get("code"))
        fact.error_details = _json(members.get("details"))
        fact.metadata = _metadata(members)
    return fact


def read_failure(task_id: str, attempt: int, error: TransportError) -> Ended:
    """The fact for an exchange that brought no answer."""
    if isinstance(error, Unreached) or (isinstance(error, Silent) and not error.sent):
        # A task's owner may see this, and may not see where the server is.
        why = "denied by the address policy: " if isinstance(error, AddressDenied) else ""
        told = error.shown if isinstance(error, Unreached) else str(error)
        return Ended(task_id=task_id, attempt=attempt, outcome=Outcome.UNREACHED, error=f"{why}{told}")
    return Ended(
        task_id=task_id,
        attempt=attempt,
        outcome=Outcome.FAILED,
        final=isinstance(error, TooLarge),
        error=str(error),
        cut_off=isinstance(error, Unanswered),
    )


def unstorable(fact: Ended) -> Ended | None:
    """An end that can be stored, in place of one that cannot; `None` when this is that one."""
    if fact.error == UNSTORABLE:
        return None
    return Ended(task_id=fact.task_id, attempt=fact.attempt, outcome=Outcome.FAILED, final=True, error=UNSTORABLE)


def _read_body(reply: Reply, ok: bool) -> tuple[str, dict[str, msgspec.Raw], str | None]:
    """The body as text, its top-level members where it is an object, and why it cannot be read (or `None`)."""
    if reply.content_encoding not in ("", "identity"):
        return "", {}, f"the answer is compressed ({reply.content_encoding[:32]}); it was asked for as identity"
    body = reply.body
    if not body.strip():
        return "", {}, None
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return "", {}, f"the answer is not valid UTF-8 (byte {error.start})"
    if ok and is_plain_text(reply.content_type):
        return text, {}, None
    try:
        return text, _members.decode(body), None
    except RecursionError:
        return "", {}, "the answer is nested too deep"
    except msgspec.ValidationError:
        return _no_object(text, body)
    except msgspec.DecodeError as error:
        return "", {}, f"the answer is not valid JSON: {error}"


def _no_object(text: str, body: bytes) -> tuple[str, dict[str, msgspec.Raw], str | None]:
    try:
        _any.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return "", {}, f"the answer is not valid JSON: {error}"
    return text, {}, None


def is_plain_text(content_type: str) -> bool:
    """Whether a Content-Type says text/plain."""
    return content_type[:10].lower() == "text/plain" and content_type.partition(";")[0].strip().lower() == "text/plain"


def _result(text: str, members: dict[str, msgspec.Raw], reply: Reply) -> str:
    if is_plain_text(reply.content_type):
        return msgspec.json.encode(text).decode()
    result = members.get("result")
    if result is not None:
        status = (_text(members.get("status")) or "").strip().lower()
        if status in ("success", "completed"):
            return bytes(result).decode()
    return text.strip() or "null"


def _pause(reply: Reply, members: dict[str, msgspec.Raw], now: int) -> int | None:
    """The ms from `now` (int ms) on for which the answer asks to wait: a header (seconds or a date) or its body."""
    if reply.status not in (429, 503):
        return None
    header = (reply.retry_after or "").strip()
    if header.isascii() and header.isdigit():
        return min(int(header[:9]), 86_400) * 1000
    if header:
        try:
            moment = email.utils.parsedate_to_datetime(header)
            return max(0, int(moment.timestamp() * 1000) - now)
        except (ValueError, OverflowError):
            pass
    for name in ("retry_after", "retryAfter"):
        raw = members.get(name)
        if raw is None:
            continue
        try:
            seconds = msgspec.json.decode(raw, type=float)
        except msgspec.MsgspecError:
            continue
        if seconds >= 0:
            return int(min(seconds, 86_400) * 1000)
    return None


def _text(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=str)[:TEXT_MOST].replace("\0", "\ufffd")
    except msgspec.MsgspecError:
        return None


def error_text(raw: msgspec.Raw | None) -> str | None:
    """An `error` member as a string of at most 4 KiB: a string itself, else its JSON; `None` for null or absence."""
    if raw is None or bytes(raw) == b"null":
        return None
    text = _text(raw)
    return text if text is not None else bytes(raw).decode()[:TEXT_MOST]


def _short(raw: msgspec.Raw | None) -> str | None:
    text = error_text(raw)
    return text[:128] if text is not None else None


def _json(raw: msgspec.Raw | None) -> str | None:
    if raw is None or bytes(raw) == b"null" or len(bytes(raw)) > METADATA_MOST:
        return None
    return bytes(raw).decode()


def _metadata(members: dict[str, msgspec.Raw]) -> str | None:
    raw = _json(members.get("metadata"))
    return raw if raw is not None and raw.startswith("{") else None
