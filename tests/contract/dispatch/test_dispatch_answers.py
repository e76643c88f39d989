"""Every row of API.md §5's table of answers, with a real backend on a socket: what it answers, and what comes of it."""

import asyncio
import email.utils
import gzip
import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskyard.domain.outcomes import Word
from taskyard.domain.server import Server
from tests.support.aio import until
from tests.support.backend import Backend, Behaviour, Request, answer, close, hang, no_http, reset, trickle
from tests.support.house import House, name_of, play


@dataclass
class Row:
    """A backend's first answer (the second is a success), and how the task stands in the end, with one retry."""

    name: str
    behaviour: Behaviour
    status: str
    outcomes: list[tuple[str, int]]
    result: object = None
    error: str = ""
    is_async: bool = False


FAILED_ONCE = [("failed", 1)]
SECOND = "the second attempt's"
PLAIN = "text/plain; charset=utf-8"
DEEP = b"[" * 100_000 + b"]" * 100_000


def completed(name: str, behaviour: Behaviour, result: object) -> Row:
    return Row(name, behaviour, "COMPLETED", [], result)


def retried(name: str, behaviour: Behaviour, error: str, outcome: str = "failed") -> Row:
    return Row(name, behaviour, "COMPLETED", [(outcome, 1)], SECOND, error)


def final(name: str, behaviour: Behaviour, error: str) -> Row:
    return Row(name, behaviour, "FAILED", FAILED_ONCE, None, error)


ROWS = [
    # 2xx with a final word, and otherwise
    completed("success with a result", answer(200, {"status": "success", "result": {"a": 1}}), {"a": 1}),
    completed("COMPLETED in capitals", answer(201, {"status": "COMPLETED", "result": [1]}), [1]),
    completed("success, result null", answer(200, {"status": "success", "result": None}), None),
    completed("success without that member", answer(200, {"status": "success", "x": 1}), {"status": "success", "x": 1}),
    completed("another word", answer(200, {"status": "fine", "x": 1}), {"status": "fine", "x": 1}),
    completed("no word", answer(200, {"text": "hi", "result": 5}), {"text": "hi", "result": 5}),
    completed("an array", answer(200, [1, 2]), [1, 2]),
    completed("a number", answer(200, b"17"), 17),
    completed("a string", answer(200, b'"status"'), "status"),
    completed("status is no string", answer(200, {"status": 5}), {"status": 5}),
    completed("an empty body", answer(200), None),
    completed("204", answer(204), None),
    completed("only spaces", answer(200, b" \r\n "), None),
    completed(
        "text/plain is a string", answer(200, '{"status":"failed"} ü', content_type=PLAIN), '{"status":"failed"} ü'
    ),
    completed("JSON under another type", answer(200, {"status": "success", "result": 3}, content_type="text/html"), 3),
    completed("no type at all", answer(200, {"result": 1, "status": "success"}, content_type=""), 1),
    completed("identity is no encoding", answer(200, b"1", content_encoding="identity"), 1),
    # 2xx with a word of failure
    retried("error", answer(200, {"status": "error", "error": "no GPU"}), "no GPU"),
    retried("failed", answer(200, {"status": "Failed", "message": "no GPU"}), "no GPU"),
    retried("timeout", answer(200, {"status": "timeout"}), "", "timeout"),
    Row("cancelled", answer(200, {"status": "cancelled"}), "COMPLETED", [("declined", 1)], SECOND),
    # statuses that are retried
    *[
        retried(str(code), answer(code, {"error": "busy"}), f"HTTP {code}: busy")
        for code in (408, 425, 500, 501, 502, 503, 504)
    ],
    retried("5xx with HTML", answer(502, "<html>bad gateway</html>", content_type="text/html"), "HTTP 502"),
    *[retried(str(code), answer(code, b"{}"), f"HTTP {code}") for code in (304, 402, 404, 409, 415, 451)],
    # what cannot be read
    retried("reset after it was sent", reset, "connection"),
    retried("closed after it was sent", close, "connection"),
    retried("no HTTP", no_http, ""),
    retried("invalid JSON", answer(200, b'{"status": "success", "result": '), "not valid JSON"),
    retried("NaN", answer(200, b'{"status":"success","result":NaN}'), "not valid JSON"),
    retried("two documents", answer(200, b"{}{}"), "not valid JSON"),
    retried("invalid UTF-8", answer(200, b'{"result":"\xff"}'), "UTF-8"),
    retried("invalid UTF-8 in text/plain", answer(200, b"\xff", content_type=PLAIN), "UTF-8"),
    retried("compressed", answer(200, gzip.compress(b'{"status":"success"}'), content_encoding="gzip"), "compressed"),
    retried("silence within the body", trickle, ""),
    # the task itself is wrong
    *[final(str(code), answer(code, {"error": "no prompt"}), f"HTTP {code}: no prompt") for code in (400, 413, 422)],
    final("over the limit", answer(200, b'"' + b"x" * 10_000 + b'"'), ""),
    # registered async: a final word counts, everything else of 2xx waits for a callback
    Row("async, final word", answer(200, {"status": "success", "result": 1}), "COMPLETED", [], 1, is_async=True),
    Row("async, failed", answer(200, {"status": "failed"}), "COMPLETED", FAILED_ONCE, SECOND, is_async=True),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_answer(row: Row, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", row.behaviour, answer(200, {"status": "success", "result": SECOND}))
        await house.register(backend, is_async=row.is_async)
        record = await house.run("t", max_retries=1)
        task = record.task
        assert name_of(record) == row.status
        assert await house.outcomes(task.id) == row.outcomes
        assert len(backend.got()) == task.attempts == 1 + (row.status == "COMPLETED" and bool(row.outcomes))
        if row.status == "COMPLETED":
            result = await house.result(task.id)
            assert result is not None
            assert json.loads(result) == row.result
            assert task.error is None
        else:
            assert await house.result(task.id) is None
            assert row.error in (task.error or "")
            assert task.error
        for entry in await house.history(task.id):
            assert row.error in (entry.error or "")

    play(tmp_path, scene)


ACCEPTED = [
    *[
        (f"{word} with 200", answer(200, {"status": word}), False)
        for word in ("processing", "ACCEPTED", "Queued", "pending")
    ],
    ("202 empty", answer(202), False),
    ("202 with text", answer(202, "ok", content_type=PLAIN), False),
    ("202 with what is no JSON", answer(202, "ok"), False),
    ("202 whatever it says", answer(202, {"status": "completed", "result": 1}), False),
    ("async, 200 empty", answer(200), True),
    ("async, 200 otherwise", answer(200, {"id": 5}), True),
]


@pytest.mark.parametrize(("name", "behaviour", "is_async"), ACCEPTED, ids=[row[0] for row in ACCEPTED])
def test_accepted_waits_for_its_callback(name: str, behaviour: Behaviour, is_async: bool, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", behaviour)
        await house.register(backend, is_async=is_async)
        task = await house.submit("t")
        await house.accepted(task)
        await house.call_back(backend.got()[0].callback_url, Word.COMPLETED, result='{"late":true}')
        assert name_of(await house.ended(task)) == "COMPLETED"
        assert await house.result(task) == '{"late":true}'
        assert len(backend.got()) == 1

    play(tmp_path, scene)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        for code in (301, 302, 303, 307, 308):
            backend.script(f"t{code}", answer(code, location=backend.url("elsewhere")))
        await house.register(backend)
        for code in (301, 302, 303, 307, 308):
            record = await house.run(f"t{code}", max_retries=0)
            assert name_of(record) == "FAILED"
            assert record.task.http_status == code
        assert backend.got("/elsewhere") == []

    play(tmp_path, scene)


def test_other_4xx_are_retried_elsewhere(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        other = Backend()
        await other.start()
        try:
            backend.script("t", answer(404))
            other.script("t", answer(200, {"status": "success", "result": "elsewhere"}))
            await house.register(backend, "s1", weight=10)
            await house.register(other, "s2", weight=1)
            record = await house.run("t", max_retries=1)
            assert (name_of(record), record.task.server_id) == ("COMPLETED", "s2")
            assert (len(backend.got()), len(other.got())) == (1, 1)
        finally:
            await other.stop()

    play(tmp_path, scene)


def dated(seconds_ahead: int) -> Behaviour:
    """A 429 whose Retry-After is a date, so many seconds from the answer on."""

    async def behave(request: Request) -> None:
        await answer(429, retry_after=email.utils.formatdate(time.time() + seconds_ahead, usegmt=True))(request)

    return behave


PAUSES = [
    ("429 without a time", answer(429), 900, 1_000),
    ("429 with seconds", answer(429, retry_after="2"), 1_900, 2_000),
    ("429 with a date", dated(60), 50_000, 61_000),
    ("429 with no wait at all", answer(429, retry_after="0"), 900, 1_000),
    ("429 with a date in the past", dated(-60), 900, 1_000),
    ("503 with no wait at all", answer(503, {"retry_after": 0}), 900, 1_000),
    ("429 with a time that is none", answer(429, retry_after="soon"), 900, 1_000),
    ("429 with retry_after", answer(429, {"retry_after": 1.5}), 1_400, 1_500),
    ("429 with a day", answer(429, retry_after="86400"), 299_000, 300_000),
    ("503 with Retry-After", answer(503, retry_after="2"), 1_900, 2_000),
    ("503 with retry_after", answer(503, {"retry_after": 2}), 1_900, 2_000),
    ("503 with retryAfter", answer(503, {"retryAfter": 0.5, "error": "x"}), 400, 500),
]


@pytest.mark.parametrize(("name", "behaviour", "least", "most"), PAUSES, ids=[row[0] for row in PAUSES])
def test_a_server_that_asks_to_wait_is_left_alone_and_no_attempt_is_used_up(
    name: str, behaviour: Behaviour, least: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []
    pause = Server.pause

    def told(server: Server, now: int, asked_ms: int | None) -> None:
        pause(server, now, asked_ms)
        pauses.append((server.paused_until or 0) - now)

    monkeypatch.setattr(Server, "pause", told)

    async def scene(house: House, backend: Backend) -> None:
        standby = Backend()
        await standby.start()
        try:
            backend.script("t", behaviour)
            await house.register(backend, "s1", weight=1)
            await house.register(standby, "s2", weight=0)
            record = await house.run("t", max_retries=0)
            # The others go on, and it is left alone.
            assert (name_of(record), record.task.server_id, record.task.failures) == ("COMPLETED", "s2", 0)
            (row,) = await house.history(record.task.id)
            assert (row.outcome, row.count) == ("declined", 1)
            assert len(backend.got()) == 1
            (length,) = pauses
            assert least <= length <= most
        finally:
            await standby.stop()

    play(tmp_path, scene)


def test_a_pause_ends_by_itself_and_successive_declines_fold(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        soon = answer(429, {"retryAfter": 0.05})
        backend.script("t", soon, soon, soon, answer(200, b"1"))
        await house.register(backend)
        record = await house.run("t", max_retries=0)
        assert (name_of(record), record.task.attempts) == ("COMPLETED", 4)
        assert await house.outcomes(record.task.id) == [("declined", 3)]

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "body", [{"retry_after": "5"}, {"retryAfter": -1}, {"error": {"retry_after": 5}}, {"retry_after": None}]
)
def test_a_503_with_what_is_no_time_is_a_failure(body: object, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(503, body))
        await house.register(backend)
        record = await house.run("t", max_retries=0)
        assert name_of(record) == "FAILED"
        assert await house.outcomes(record.task.id) == FAILED_ONCE

    play(tmp_path, scene)


def test_unreached_uses_up_no_attempt_and_holds_the_server_until_a_check_passes(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        await backend.stop()
        checks = len(backend.got("/health"))
        task = await house.submit("t", max_retries=0)
        record = await house.becomes(task, lambda record: record.queue is not None and record.queue.attempts == 1)
        assert await house.outcomes(task) == [("unreached", 1)]
        await until(lambda: house.server().health.last_check is not None and not house.server().checking)
        assert house.status_of() == "degraded"
        assert house.server().held
        record = await house.becomes(task, lambda record: record.queue is not None)
        assert record.queue is not None
        assert record.queue.attempts == 1
        await backend.start()
        assert await house.check() == "degraded"
        record = await house.ended(task)
        assert (name_of(record), record.task.attempts, record.task.failures) == ("COMPLETED", 2, 0)
        assert len(backend.got("/health")) > checks

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "predict",
    ["http://no-such-host.invalid/predict", "https://127.0.0.1:{port}/predict", "http://169.254.169.254/predict"],
    ids=["no such name", "no TLS there", "an address that the policy denies"],
)
def test_no_connection_of_any_kind_is_unreached(predict: str, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend, predict=predict.format(port=backend.port))
        assert house.status_of() == "online"
        task = await house.submit("t", max_retries=0)
        record = await house.becomes(task, lambda record: record.queue is not None and record.queue.attempts > 0)
        assert record.queue is not None
        assert record.queue.failures == 0
        assert {outcome for outcome, _ in await house.outcomes(task)} == {"unreached"}
        assert backend.got() == []

    play(tmp_path, scene, connect_timeout=1000)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_sets_the_server_aside(status: int, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(status, {"status": "success", "error": "bad key"}), answer(200, b"1"))
        await house.register(backend, api_key=house.node.seal("wrong"))
        task = await house.submit("t", max_retries=0)
        await house.becomes(task, lambda record: record.queue is not None and record.queue.attempts == 1)
        view = house.node.server("s1")
        assert view is not None
        assert view.misconfigured
        assert await house.outcomes(task) == [("misconfigured", 1)]
        other = await house.submit("t")
        assert await house.check() == "online"  # its health is fine, and yet it gets nothing
        assert len(backend.got()) == 1
        await house.register(backend, api_key=house.node.seal("right"))
        record = await house.ended(task)
        assert (name_of(record), record.task.failures) == ("COMPLETED", 0)
        await house.ended(other)
        assert backend.got()[0].head["authorization"] == "Bearer wrong"
        assert backend.got()[1].head["authorization"] == "Bearer right"

    play(tmp_path, scene)


def test_no_answer_within_the_timeout_closes_the_connection(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", hang)
        await house.register(backend)
        record = await house.run("t", max_retries=0, timeout_ms=600)
        assert name_of(record) == "TIMEOUT"
        assert await house.outcomes(record.task.id) == [("timeout", 1)]
        async with asyncio.timeout(30):
            await backend.got()[0].gone.wait()

    play(tmp_path, scene)


def test_code_details_and_metadata_of_a_failure_are_kept(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        body = {
            "status": "error",
            "error": {"why": ["a"]},
            "code": "E42",
            "details": {"layer": 7},
            "metadata": {"m": 1},
        }
        backend.script("t", answer(200, body))
        await house.register(backend)
        task = (await house.run("t", max_retries=0)).task
        assert (json.loads(task.error or ""), task.error_code) == ({"why": ["a"]}, "E42")
        assert (json.loads(task.error_details or ""), json.loads(task.result_metadata or "")) == (
            {"layer": 7},
            {"m": 1},
        )

    play(tmp_path, scene)


def test_a_long_error_is_cut_and_large_metadata_dropped_but_never_the_result(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("bad", answer(400, {"error": "é" * 9000}))
        metadata = {"m": "x" * 17_000}
        backend.script("good", answer(200, {"status": "success", "result": 1, "metadata": metadata}))
        await house.register(backend)
        bad = (await house.run("bad")).task
        assert bad.error is not None
        assert 1000 < len(bad.error.encode()) <= 4096
        good = (await house.run("good")).task
        assert (await house.result(good.id), good.result_metadata) == ("1", None)

    play(tmp_path, scene, result_max_bytes=100_000)


def test_a_body_nested_too_deep(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script(
            "t", answer(200, DEEP), answer(200, b'{"status":"success","result":' + DEEP + b"}"), answer(200, b"1")
        )
        await house.register(backend)
        record = await house.run("t", max_retries=3)
        assert name_of(record) == "COMPLETED"
        assert await house.result(record.task.id) == "1"
        assert await house.outcomes(record.task.id) == [("failed", 1), ("failed", 1)]

    play(tmp_path, scene, result_max_bytes=1_000_000)
