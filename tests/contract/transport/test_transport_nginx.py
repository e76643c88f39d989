"""The transport against a real nginx: what an ordinary server does is understood, and its connections are reused."""

import asyncio

import pytest

from taskyard.host.transport.port import Bounds, Broken, Reply, Silent, TooLarge
from tests.support.aio import run
from tests.support.asking import BOUNDS, asking, post_once
from tests.support.nginx import Nginx


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/ok", 200, b'{"status":"completed"}'),
        ("/created", 201, b"made"),
        ("/empty", 204, b""),
        ("/busy", 503, b"later"),
        ("/refused", 403, b"no"),
        ("/closes", 200, b"bye"),
    ],
)
def test_answers(loop: str, nginx: Nginx, path: str, status: int, body: bytes) -> None:
    reply = post_once(loop, nginx.url, path)
    assert (reply.status, reply.body, reply.content_encoding) == (status, body, "")


def test_headers_of_an_answer(loop: str, nginx: Nginx) -> None:
    assert post_once(loop, nginx.url, "/ok").content_type == "application/json"
    assert post_once(loop, nginx.url, "/busy").retry_after == "7"


def test_a_redirect_is_an_answer(loop: str, nginx: Nginx) -> None:
    reply = post_once(loop, nginx.url, "/redirect")
    assert reply.status == 302
    assert b"302 Found" in reply.body


def test_what_nginx_sees(loop: str, nginx: Nginx) -> None:
    async def main() -> tuple[Reply, Reply, Reply]:
        async with asking(nginx.url) as ask:
            posted = await ask.client.post(
                nginx.url + "/seen?a=b%20c", [(b"X-Extra", b"value")], b"{}", BOUNDS, pool_key="s", max_connections=1
            )
            return posted, await ask.get("/seen"), await ask.get("/agent")

    posted, got, agent = run(main(), loop)
    assert posted.body == b"POST|127.0.0.1|identity|application/json|2|value|/seen?a=b%20c"
    assert got.body == b"GET|127.0.0.1|identity||||/seen"
    assert agent.body.startswith(b"taskyard/")


def test_a_connection_is_reused_whatever_the_size_of_the_request(loop: str, nginx: Nginx) -> None:
    async def main() -> set[bytes]:
        async with asking(nginx.url) as ask:
            bodies = (b"", b"{}", b"x" * 20_000, (b"x" * 200_000, b"y" * 200_000), b"z")
            seen = {(await ask.post("/connection", body)).body for body in bodies}
            for path in ("/ok", "/created", "/empty", "/busy", "/redirect"):
                assert (await ask.post(path)).connect_ms == 0
            return seen | {(await ask.get("/connection")).body}

    assert len(run(main(), loop)) == 1


def test_a_connection_that_nginx_closes_is_replaced(loop: str, nginx: Nginx) -> None:
    async def main() -> None:
        async with asking(nginx.url) as ask:
            seen = set()
            for _ in range(5):
                await ask.post("/closes")
                seen.add((await ask.post("/connection")).body)
            assert len(seen) == 5

    run(main(), loop)


def test_parallel_exchanges_share_a_bounded_pool(loop: str, nginx: Nginx) -> None:
    async def main() -> None:
        async with asking(nginx.url) as ask:
            replies = await asyncio.gather(*(ask.post("/connection", connections=4) for _ in range(200)))
            assert len({reply.body for reply in replies}) == 4

    run(main(), loop)


@pytest.mark.parametrize("size", [0, 1, 65_536, 150_000])
def test_a_file_comes_whole(loop: str, nginx: Nginx, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (nginx.files / f"file-{size}").write_bytes(content)

    async def main() -> list[Reply]:
        async with asking(nginx.url) as ask:
            return [await ask.get(f"/{kind}/file-{size}") for kind in ("files", "chunked")]

    assert [reply.body for reply in run(main(), loop)] == [content] * 2


def test_a_file_over_the_limit_is_cut_off(loop: str, nginx: Nginx) -> None:
    (nginx.files / "too-large").write_bytes(b"x" * (BOUNDS.body_max + 1))

    async def main(path: str) -> None:
        async with asking(nginx.url) as ask:
            with pytest.raises(TooLarge):
                await ask.get(path)
            assert (await ask.get("/ok")).status == 200

    run(main("/files/too-large"), loop)
    run(main("/chunked/too-large"), loop)


def test_a_slow_answer_ends_with_the_whole_time(loop: str, nginx: Nginx) -> None:
    (nginx.files / "slow").write_bytes(b"x" * 140_000)

    async def main() -> None:
        async with asking(nginx.url) as ask:
            with pytest.raises(Silent) as caught:
                await ask.get("/slow/slow", Bounds(total_ms=300, body_max=150_000))
            assert caught.value.total

    run(main(), loop)


def test_nginx_hangs_up(loop: str, nginx: Nginx) -> None:
    with pytest.raises(Broken, match="before answering"):
        post_once(loop, nginx.url, "/hang-up")


def test_nginx_answers_413_before_it_read_the_request(loop: str, nginx: Nginx) -> None:
    reply = post_once(loop, nginx.url, "/small-only", b"x" * 4_000_000)
    assert reply.status == 413
