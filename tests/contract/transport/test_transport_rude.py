"""The transport against a server that breaks the rules: what is an answer, what is an error, what is used again."""

import asyncio
import time

import pytest

from taskyard.host.transport.port import Bounds, Broken, Reply, Silent, TooLarge
from tests.support.aio import run, until
from tests.support.asking import BOUNDS, asking, post_once
from tests.support.rude import BEHAVIOURS, Rude

QUICK = Bounds(total_ms=800, body_max=150_000, silence_ms=60_000)
CURT = Bounds(total_ms=60_000, body_max=150_000, silence_ms=150)

ANSWERS = {  # path: status, body, whether the connection is used again
    "/ok": (200, b"{}", True),
    "/ok-close": (200, b"{}", False),
    "/until-close": (200, b"all of it", False),
    "/http10": (200, b"old", False),
    "/http10-keep": (200, b"old", True),
    "/chunked": (200, b"abcde", True),
    "/byte-by-byte": (200, b"{}", True),
    "/204": (204, b"", True),
    "/304": (304, b"", True),
    "/redirect": (302, b"", True),
    "/busy": (503, b"", True),
    "/interim": (200, b"{}", True),
    "/compressed": (200, b"\x1f\x8b\x08\x00", True),
    "/sixty-headers": (200, b"{}", False),
    "/cl-too-short": (200, b"{}", False),
    "/second-answer": (200, b"{}", False),
    "/204-then-200": (204, b"", False),
    "/204-with-body": (204, b"", False),
    "/after-close": (200, b"{}", False),
    "/early-413": (413, b"big", False),
    "/closes-idle": (200, b"{}", False),
    "/keep-alive-2": (200, b"{}", True),
}

BROKEN = {  # path: the status known by then, a word of the message
    "/reset": (None, "before answering"),
    "/reset-in-head": (None, "before answering"),
    "/reset-in-body": (200, "within the answer"),
    "/reset-until-close": (200, "reset"),
    "/nothing": (None, "before answering"),
    "/only-interim": (None, "before answering"),
    "/half-closes": (None, "before answering"),
    "/cl-and-te": (None, "Content-Length"),
    "/te-and-cl": (None, "Content-Length"),
    "/two-cls": (None, "Content-Length"),
    "/cl-list": (None, "Content-Length"),
    "/cl-negative": (None, "Content-Length"),
    "/cl-plus": (None, "Content-Length"),
    "/cl-huge": (None, "Content-Length"),
    "/cl-too-long": (200, "within the answer"),
    "/te-gzip": (None, "Transfer-Encoding"),
    "/te-twice": (None, "Transfer-Encoding"),
    "/te-unknown": (None, "Transfer-Encoding"),
    "/chunk-size": (200, "chunk size"),
    "/chunk-size-huge": (200, "hunk size"),
    "/chunk-end": (200, "chunk"),
    "/chunk-cut": (200, "within the answer"),
    "/chunk-last-cut": (200, "within the answer"),
    "/garbage": (None, "not HTTP"),
    "/http09": (None, "not HTTP"),
    "/http09-line": (None, "HTTP/0.9"),
    "/http2-line": (None, "HTTP/2.0"),
    "/status-099": (None, "status 99"),
    "/status-999": (None, "status 999"),
    "/status-20": (None, "not HTTP"),
    "/bare-lf": (None, "not HTTP"),
    "/folded": (None, "not HTTP"),
    "/nul-in-header": (None, "not HTTP"),
    "/space-before-colon": (None, "not HTTP"),
    "/switching": (None, "status 101"),
    "/huge-head": (None, "head"),
    "/huge-reason": (None, "head"),
    "/many-headers": (None, "head"),
    "/endless-head": (None, "head"),
    "/endless-interim": (None, "head"),
    "/endless-newlines": (None, "head"),
    "/endless-trailer": (200, "trailers"),
    "/endless-chunk-extension": (200, "chunk framing"),
}

TOO_LARGE = ("/big-with-length", "/big-promise", "/big-until-close", "/big-chunked", "/endless-body")

SILENT = {  # path: bounds, total, status
    "/silent": (QUICK, True, None),
    "/silent-in-head": (CURT, False, None),
    "/silent-in-body": (CURT, False, 200),
    "/silent-after-interim": (Bounds(total_ms=400, body_max=10, silence_ms=100), True, None),
    "/trickle": (QUICK, True, 200),
}

OTHERS = {  # these have tests of their own
    "/second-is-cut", "/large-head-at-once", "/identity", "/halves",
    "/resets-idle", "/speaks-idle", "/second-is-dropped", "/early-and-stays", "/echo", "/number", "/gate",
}  # fmt: skip


def test_every_behaviour_is_expected_somewhere() -> None:
    assert set(BEHAVIOURS) == {*ANSWERS, *BROKEN, *TOO_LARGE, *SILENT, *OTHERS}


@pytest.mark.parametrize("path", ANSWERS)
def test_an_answer_stands_and_only_a_clean_connection_is_used_again(loop: str, rude: Rude, path: str) -> None:
    status, body, reused = ANSWERS[path]

    async def main() -> None:
        async with asking(rude.url) as ask:
            first = await ask.post(path)
            assert (first.status, first.body) == (status, body)
            if not reused:
                await asyncio.to_thread(rude.events.wait, "connection ended")
            second = await ask.post(path)
            assert (second.status, second.body) == (status, body)
            assert (second.connect_ms == 0) or not reused

    run(main(), loop)
    assert rude.accepted == (1 if reused else 2)


@pytest.mark.parametrize("path", BROKEN)
def test_broken(loop: str, rude: Rude, path: str) -> None:
    status, word = BROKEN[path]
    with pytest.raises(Broken, match=word) as caught:
        post_once(loop, rude.url, path)
    assert caught.value.status == status
    assert rude.accepted == 1, "a POST is never sent twice"
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("path", TOO_LARGE)
def test_a_body_over_the_limit_is_cut_off_while_reading(loop: str, rude: Rude, path: str) -> None:
    with pytest.raises(TooLarge, match="150000") as caught:
        post_once(loop, rude.url, path)
    assert caught.value.status == 200
    if path == "/endless-body":
        rude.events.wait("closed by client")


def test_a_body_of_exactly_the_limit_is_taken(loop: str, rude: Rude) -> None:
    size = 400_000
    for path in ("/big-with-length", "/big-until-close"):
        reply = post_once(loop, rude.url, path, bounds=Bounds(total_ms=30_000, body_max=size))
        assert reply.body == b"x" * size
        with pytest.raises(TooLarge):
            post_once(loop, rude.url, path, bounds=Bounds(total_ms=30_000, body_max=size - 1))


@pytest.mark.parametrize("path", SILENT)
def test_silence_is_cut_off(loop: str, rude: Rude, path: str) -> None:
    bounds, total, status = SILENT[path]
    started = time.monotonic()
    with pytest.raises(Silent) as caught:
        post_once(loop, rude.url, path, bounds=bounds)
    took_ms = (time.monotonic() - started) * 1000
    assert (caught.value.total, caught.value.status, caught.value.sent) == (total, status, True)
    limit = bounds.total_ms if total else bounds.silence_ms
    assert took_ms >= limit - 20  # that it was this limit and not the other, `total` says
    rude.events.wait("closed by client")


def test_a_head_over_the_limit_is_broken_even_when_its_body_came_with_it(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.post("/ok")
            task = asyncio.create_task(ask.post("/large-head-at-once"))
            await asyncio.sleep(0)  # the request goes out
            if loop == "uvloop":
                await asyncio.sleep(0)  # which writes at the end of its turn
            rude.events.wait("sent")  # on the loop itself, so that all of it is read at once
            with pytest.raises(Broken, match="head"):
                await task

    run(main(), loop)


def test_what_a_reply_holds(loop: str, rude: Rude) -> None:
    def fields(reply: Reply) -> tuple[str, str, str | None]:
        return reply.content_type, reply.content_encoding, reply.retry_after

    assert fields(post_once(loop, rude.url, "/ok")) == ("application/json", "", None)
    assert fields(post_once(loop, rude.url, "/identity")) == ("application/json", "", None)
    assert fields(post_once(loop, rude.url, "/compressed")) == ("application/json", "gzip", None)
    assert fields(post_once(loop, rude.url, "/busy")) == ("", "", "7")


@pytest.mark.parametrize(
    "body", [b"", b'{"a":1}', (b'{"a":', b"[", b"1]}"), b"x" * 100_000, (b"y" * 70_000, b"z" * 70_000)]
)
def test_what_is_sent(loop: str, rude: Rude, body: bytes | tuple[bytes, ...]) -> None:
    whole = body if isinstance(body, bytes) else b"".join(body)

    async def main() -> bytes:
        async with asking(rude.url) as ask:
            return (await ask.post("/echo", body)).body

    head, _, sent = run(main(), loop).partition(b"\r\n\r\n")
    assert sent == whole
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /echo HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines) == 6
    assert headers.pop("User-Agent").startswith("taskyard/")
    assert headers == {
        "Host": f"127.0.0.1:{rude.port}",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": str(len(whole)),
        "Idempotency-Key": "task_1",
    }


@pytest.mark.parametrize("header", [(b"A", b"x\r\nB: y"), (b"A", b"x\ny"), (b"A\r", b"x"), (b"A", b"x\0")])
def test_a_header_cannot_end_its_line(rude: Rude, header: tuple[bytes, bytes]) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            with pytest.raises(ValueError, match="header"):
                await ask.client.post(rude.url + "/ok", [header], b"", BOUNDS, pool_key="s", max_connections=1)

    run(main())
    assert rude.accepted == 0


# A large request that the server does not read ------------------------------------------------------------------------


def test_an_early_answer_is_taken_though_the_server_resets(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            for _ in range(30):
                reply = await ask.post("/early-413", b"x" * 8_000_000)
                assert (reply.status, reply.body) == (413, b"big")

    run(main(), loop)
    assert rude.accepted == 30


def test_an_early_answer_with_the_request_unsent_closes_the_connection(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            assert (await ask.post("/early-and-stays", b"x" * 30_000_000)).status == 413
            rude.events.add("may read")
            await asyncio.to_thread(rude.events.wait, "closed by client")
            assert (await ask.post("/ok")).status == 200

    run(main(), loop)
    assert rude.accepted == 2


def test_an_end_without_an_answer_is_seen_while_the_request_is_still_unsent(loop: str, rude: Rude) -> None:
    with pytest.raises(Broken, match="before answering"):
        post_once(loop, rude.url, "/half-closes", b"x" * 30_000_000)


# Connections between two exchanges ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/closes-idle", "/resets-idle", "/speaks-idle"])
def test_an_idle_connection_that_ends_or_speaks_is_dropped_at_once(loop: str, rude: Rude, path: str) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.post(path)
            await asyncio.to_thread(rude.events.wait, "connection ended")
            await asyncio.sleep(0)  # one turn of the loop, in which it reads what has come
            reply = await ask.post("/number")
            assert reply.body == b"2.1"

    run(main(), loop)


def test_a_post_on_a_connection_that_closes_under_it_is_not_repeated(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.post("/second-is-dropped")
            with pytest.raises(Broken, match="reused"):
                await ask.post("/second-is-dropped")

    run(main(), loop)
    assert rude.accepted == 1
    assert rude.events.count("request 2") == 1


def test_a_get_on_a_connection_that_closes_under_it_is_repeated_once(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.get("/second-is-dropped")
            assert (await ask.get("/second-is-dropped")).status == 200

    run(main(), loop)
    assert rude.accepted == 2
    assert rude.events.count("request 1") == 2


def test_a_get_that_was_being_answered_is_not_repeated(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.get("/second-is-cut")
            with pytest.raises(Broken):
                await ask.get("/second-is-cut")

    run(main(), loop)
    assert rude.accepted == 1


def test_a_get_that_breaks_on_a_new_connection_is_not_repeated(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            with pytest.raises(Broken):
                await ask.get("/nothing")

    run(main(), loop)
    assert rude.accepted == 1


# Cancelling -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/silent", "/silent-in-body"])
def test_cancelling_closes_the_connection_at_once(loop: str, rude: Rude, path: str) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            task = asyncio.create_task(ask.post(path, bounds=Bounds(total_ms=60_000, body_max=10_000)))
            await until(lambda: "silent" in rude.events.seen)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(rude.events.wait, "closed by client")

    run(main(), loop)


def test_closing_the_client_ends_an_exchange(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            task = asyncio.create_task(ask.post("/silent"))
            await until(lambda: "silent" in rude.events.seen)
            await ask.client.close()
            with pytest.raises(Broken, match="closed here"):
                await task
            await asyncio.to_thread(rude.events.wait, "closed by client")

    run(main(), loop)
