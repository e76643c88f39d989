"""One call over HTTP: headers, retries, and errors from answers. Knows no call by name."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from taskyard.client.errors import BY_STATUS, ConnectionFailed, ServerFault, StrangeAnswer, Unavailable

# What a pause is when a 429 or 503 names none, and the first one after a broken connection; both double.
FIRST_PAUSE: Final = 500


class Transport:
    """Calls one server with one token.

    `timeout`: ms for connecting, and for the silence of an answer beyond what a call itself waits for. `patience`: ms
    that one call may spend on pauses between tries; 0 never tries again. Only calls that may safely be made twice are:
    after 429 and 503 (when the server says) and after a connection that broke. A refused connection is not retried.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: int = 30_000,
        patience: int = 60_000,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.port == 0
            or parts.query
            or parts.fragment
        ):
            raise ValueError("the server's URL is not an http:// or https:// address")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("the token has characters that no token has")
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._patience = patience
        self._sleep = sleep
        headers = {"Prefer": "handling=strict", "Accept": "application/json", "User-Agent": "taskyard-client"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # No proxy and no .netrc from the environment: the token goes to this address and to no other.
        self._http = httpx.Client(headers=headers, trust_env=False, follow_redirects=False, transport=transport)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        safe: bool = False,
        waits: int = 0,
    ) -> Any:
        """The decoded JSON of the answer.

        `query`: members of None are left out. `body`: sent as JSON; `msgspec.Raw` within it as it is. `safe`: making
        the call twice does no more than once. `waits`: ms that the server itself may take before it answers.
        Raises TaskyardError.
        """
        content = b"" if body is None else msgspec.json.encode(body)
        asked = {name: _word(value) for name, value in (query or {}).items() if value is not None}
        paused, pause = 0, FIRST_PAUSE
        while True:
            try:
                return self._once(method, path, asked, content, waits)
            except Unavailable as error:
                failure: Unavailable | ConnectionFailed = error
                # At least a moment: a server that says 0 is not asked in a tight loop.
                wanted = pause if error.retry_after is None else max(error.retry_after, FIRST_PAUSE)
            except Broken as error:
                failure = ConnectionFailed(self.url, error.reason)
                wanted = pause
            if not safe or paused + wanted > self._patience:
                raise failure
            self._sleep(wanted / 1000)
            paused += wanted
            pause *= 2

    def object(self, method: str, path: str, *, needs: str = "", **how: Any) -> dict[str, Any]:
        """As `call`, for an answer that is a JSON object with the member `needs`."""
        answer = self.call(method, path, **how)
        if not isinstance(answer, dict) or (needs and needs not in answer):
            raise StrangeAnswer(f"{self.url} did not answer as a Taskyard node does: no {needs or 'object'} in it")
        return answer

    def lines(self, path: str, query: Mapping[str, Any], last: str, silence: int) -> Iterator[str]:
        """The lines of a stream of events, from after the id `last` on ('': from now on); `silence`: ms between two.

        Raises TaskyardError, and `Broken` when it breaks off.
        """
        asked = {name: _word(value) for name, value in query.items() if value is not None}
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        limit = httpx.Timeout(self._timeout / 1000, read=silence / 1000)
        with (
            self._failures(limit),
            self._http.stream("GET", self.url + path, params=asked, headers=headers, timeout=limit) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise _refusal(answer, self.url)
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise StrangeAnswer(f"{self.url} did not answer as a Taskyard node does: no stream of events")
            yield from answer.iter_lines()

    @contextmanager
    def _failures(self, limit: httpx.Timeout) -> Iterator[None]:
        """What can go wrong on the way, as errors of the client's."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ConnectionFailed(self.url, _reason(error)) from error
        except httpx.TimeoutException as error:
            raise ConnectionFailed(self.url, f"silent for {limit.read or 0:g} s") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise Broken(_reason(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionFailed(self.url, _reason(error)) from error

    def _once(self, method: str, path: str, query: Mapping[str, str], content: bytes, waits: int) -> Any:
        limit = httpx.Timeout(self._timeout / 1000, read=(self._timeout + waits) / 1000)
        kind = {"Content-Type": "application/json"} if content else {}
        with self._failures(limit):
            answer = self._http.request(
                method, self.url + path, params=query, content=content, headers=kind, timeout=limit
            )
        if answer.is_success:
            try:
                return json.loads(answer.content)
            except (ValueError, RecursionError):
                raise StrangeAnswer(f"{self.url} did not answer as a Taskyard node does: no JSON") from None
        raise _refusal(answer, self.url)


class Broken(Exception):
    """The connection broke after the request may have been sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def raw(value: Any) -> msgspec.Raw:
    """`value` as JSON that goes out as it is: bytes are taken for JSON already. Raises ValueError."""
    try:
        if isinstance(value, bytes):
            json.loads(value.decode(), parse_constant=_no_constant)
            return msgspec.Raw(value)
        return msgspec.Raw(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode())
    except RecursionError:
        raise ValueError("nested too deep") from None


def camel(name: str) -> str:
    """`max_retries` as the wire has it: `maxRetries`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refusal(answer: httpx.Response, url: str) -> Exception:
    """The error for an answer that is no success."""
    try:
        told = json.loads(answer.content)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("error"), str):
        if answer.status_code in (429, 503):
            told = {"error": f"HTTP {answer.status_code}"}
        else:
            return StrangeAnswer(f"{url} did not answer as a Taskyard node does: HTTP {answer.status_code}")
    after = answer.headers.get("Retry-After", "")
    return BY_STATUS.get(answer.status_code, ServerFault)(
        answer.status_code,
        told["error"],
        str(told.get("details") or ""),
        str(told.get("requestId") or answer.headers.get("X-Request-ID", "")),
        int(after) * 1000 if after.isascii() and after.isdigit() and len(after) < 10 else None,
    )


def _reason(error: Exception) -> str:
    """What the operating system said, without the library's own words around it."""
    text = str(error) or type(error).__name__
    return text.partition("] ")[2] if text.startswith("[Errno") else text


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
