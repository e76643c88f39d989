"""Getting to a server: names, several addresses, refused and silent ports, TLS. All that fails here is `Unreached`."""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.port import AddressDenied, Bounds, Broken, Reply, Silent, Unreached
from tests.support.aio import run
from tests.support.asking import BOUNDS, asking, post_once
from tests.support.certificates import self_signed, server_context
from tests.support.nginx import free_port
from tests.support.rude import Rude

QUICK = Bounds(total_ms=30_000, body_max=1_000, connect_ms=1_000)


class Names:
    """A resolver by table that counts. Each look-up of a name takes the next of its entries; the last one stays."""

    def __init__(self, **table: Sequence[Sequence[str]]) -> None:
        self._left = {name: list(entries) for name, entries in table.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        entries = self._left.get(host)
        if entries is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return entries.pop(0) if len(entries) > 1 else entries[0]


def post_by(loop: str, names: Names, url: str, bounds: Bounds = QUICK) -> Reply:
    async def main() -> Reply:
        async with asking(url, AddressPolicy(resolver=names)) as ask:
            return await ask.post("/number", bounds=bounds)

    return run(main(), loop)


def test_localhost_is_tried_at_all_its_addresses(loop: str, rude: Rude) -> None:
    reply = post_by(loop, Names(localhost=[["::1", "127.0.0.1"]]), f"http://localhost:{rude.port}")
    assert reply.status == 200


def test_localhost_by_the_system_resolver(loop: str, rude: Rude) -> None:
    assert post_once(loop, f"http://localhost:{rude.port}", "/number").status == 200


def test_unreached_only_when_all_addresses_fail(loop: str, rude: Rude) -> None:
    names = Names(twice=[["127.0.0.2", "127.0.0.3"]])
    with pytest.raises(Unreached) as caught:
        post_by(loop, names, f"http://twice:{rude.port}")
    assert "127.0.0.2: Connection refused" in str(caught.value)
    assert "127.0.0.3: Connection refused" in str(caught.value)


def test_refused(loop: str) -> None:
    with pytest.raises(Unreached, match="Connection refused"):
        post_once(loop, f"http://127.0.0.1:{free_port()}", "/secret-path")


def test_an_unknown_name(loop: str) -> None:
    with pytest.raises(Unreached, match=r"nowhere could not be resolved: Name or service not known"):
        post_by(loop, Names(), "http://nowhere:80")


def test_a_resolver_that_hangs_ends_with_the_connect_limit(loop: str) -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        async with asking("http://slow-name", AddressPolicy(resolver=hang)) as ask:
            with pytest.raises(Unreached, match="in time"):
                await ask.post("/", bounds=Bounds(total_ms=30_000, body_max=10, connect_ms=60))

    run(main(), loop)


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a listener whose queue is full: a SYN to it is not answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        yield port
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize(
    "bounds", [Bounds(total_ms=30_000, body_max=10, connect_ms=120), Bounds(total_ms=120, body_max=10)]
)
def test_a_connection_that_takes_too_long(loop: str, deaf: int, bounds: Bounds) -> None:
    with pytest.raises(Unreached, match="in time"):
        post_once(loop, f"http://127.0.0.1:{deaf}", "/", bounds=bounds)


def test_a_deaf_address_leaves_time_for_the_next(loop: str, deaf: int) -> None:
    """The same port at another address answers; half of the connect limit must be left for it."""

    async def main() -> None:
        with closing(socket.create_server(("127.0.0.2", deaf))) as second:
            second.setblocking(False)
            policy = AddressPolicy(resolver=Names(both=[["127.0.0.1", "127.0.0.2"]]))
            async with asking(f"http://both:{deaf}", policy) as ask:
                post = asyncio.create_task(ask.post("/", bounds=QUICK))
                running = asyncio.get_running_loop()
                sock, _ = await running.sock_accept(second)
                with closing(sock):
                    sock.setblocking(False)
                    await running.sock_recv(sock, 65_536)
                    await running.sock_sendall(sock, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    reply = await post
                assert reply.status == 200
                assert reply.connect_ms >= 300

    run(main(), loop)


@pytest.mark.parametrize("banner", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_a_server_that_speaks_first_is_not_tried_again_and_again(loop: str, banner: bytes) -> None:
    server = Rude(banner=banner)

    async def main() -> None:
        async with asking(server.url) as ask:
            for _ in range(20):  # whether the banner or the request is first is the kernel's choice
                with suppress(Unreached, Broken):
                    assert (await ask.post("/number", connections=1)).status == 200
            for pools in ask.client._pools.values():
                assert all(len(pool._members) == len(pool._idle) and not pool._opening for pool in pools.values())

    try:
        run(main(), loop)
        assert server.accepted <= 20
    finally:
        server.stop()


def test_a_server_that_never_accepts_is_silent_since_the_request_was_sent(loop: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=8)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Silent) as caught:
            post_once(loop, f"http://127.0.0.1:{port}", "/", bounds=Bounds(total_ms=600, body_max=10))
        assert (caught.value.total, caught.value.sent) == (True, True)


def test_cancelling_while_connecting(loop: str, deaf: int) -> None:
    async def main() -> None:
        async with asking(f"http://127.0.0.1:{deaf}") as ask:
            for _ in range(3):  # with room for one connection: each cancel must free the place
                task = asyncio.create_task(ask.post("/", connections=1))
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            (pool,) = ask.client._pools["server"].values()
            assert pool.empty

    run(main(), loop)


def test_a_failed_connection_lets_the_next_waiter_try(loop: str) -> None:
    async def main() -> None:
        async with asking(f"http://127.0.0.1:{free_port()}") as ask:
            results = await asyncio.gather(*(ask.post("/", connections=1) for _ in range(5)), return_exceptions=True)
            assert [type(result) for result in results] == [Unreached] * 5

    run(main(), loop)


@pytest.mark.parametrize("url", ["ftp://x/", "http://user:secret@x/", "nonsense", "http://0x7f.1/", "http://x/#f"])
def test_what_is_no_url_is_unreached(url: str) -> None:
    with pytest.raises(Unreached) as caught:
        post_once("asyncio", url, "")
    assert "secret" not in str(caught.value)


# The address policy at work -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[::]", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_a_denied_literal(loop: str, rude: Rude, host: str) -> None:
    with pytest.raises(AddressDenied):
        post_once(loop, f"http://{host}:{rude.port}", "/number")
    assert rude.accepted == 0


def test_a_name_that_changes_its_mind_gains_nothing(loop: str, rude: Rude) -> None:
    names = Names(rebinds=[["127.0.0.1"], ["169.254.169.254"]])

    async def main() -> None:
        policy = AddressPolicy(resolver=names)
        async with asking(f"http://rebinds:{rude.port}", policy) as ask:
            assert (await ask.post("/ok-close")).status == 200  # checked and connected by one and the same look-up
            assert names.asked == ["rebinds"]
            policy._known.clear()  # as after the few seconds that a look-up is kept
            with pytest.raises(AddressDenied, match="link-local"):
                await ask.post("/ok-close")
            assert names.asked == ["rebinds"] * 2

    run(main(), loop)
    assert rude.accepted == 1


def test_only_the_addresses_that_pass_are_connected(loop: str, rude: Rude) -> None:
    denied = Rude(host="127.0.0.2")
    try:

        async def main() -> None:
            names = Names(mixed=[["127.0.0.2", "127.0.0.1"]])
            policy = AddressPolicy(allow=["127.0.0.1"], resolver=names)
            async with asking(f"http://mixed:{denied.port}", policy) as ask:
                with pytest.raises(Unreached, match="refused"):  # nothing listens at the one that passes
                    await ask.post("/number")
            assert denied.accepted == 0

        run(main(), loop)
    finally:
        denied.stop()


def test_the_node_itself_is_denied(loop: str, rude: Rude) -> None:
    async def main(listener: str, host: str) -> None:
        async with asking(f"http://{host}:{rude.port}", AddressPolicy([(listener, rude.port)])) as ask:
            with pytest.raises(AddressDenied, match="this node itself"):
                await ask.post("/number")

    for listener, host in (
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "[::ffff:127.0.0.1]"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2"),
        ("::", "127.0.0.1"),
    ):
        run(main(listener, host), loop)
    assert rude.accepted == 0


def test_no_proxy_from_the_environment(loop: str, rude: Rude, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post_once(loop, rude.url, "/number").status == 200


# TLS ------------------------------------------------------------------------------------------------------------------


def tls_post(loop: str, url: str, trusted: Path | None, path: str = "/number") -> Reply:
    async def main() -> Reply:
        client = Client(AddressPolicy(), tls=ssl.create_default_context(cafile=trusted) if trusted else None)
        try:
            first = await client.post(url + path, (), b"{}", BOUNDS, pool_key="s", max_connections=1)
            second = await client.post(url + path, (), b"x" * 200_000, BOUNDS, pool_key="s", max_connections=1)
            assert second.status == first.status
            return second
        finally:
            await client.close()

    return run(main(), loop)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Rude, Path]]:
    pem = self_signed(tmp_path, "localhost", "127.0.0.1")
    server = Rude(tls=server_context(pem))
    yield server, pem
    server.stop()


def test_a_trusted_certificate(loop: str, secure: tuple[Rude, Path]) -> None:
    server, pem = secure
    assert tls_post(loop, server.url, pem).body == b"1.2"
    assert tls_post(loop, server.url.replace("127.0.0.1", "localhost"), pem).body == b"2.2"
    assert tls_post(loop, server.url, pem, "/until-close").body == b"all of it"


def test_an_untrusted_certificate(loop: str, secure: tuple[Rude, Path]) -> None:
    server, _ = secure
    with pytest.raises(Unreached, match=r"not trusted.*self-signed"):
        tls_post(loop, server.url, None)
    server.events.wait("handshake failed")


def test_a_certificate_for_another_name(loop: str, tmp_path: Path) -> None:
    pem = self_signed(tmp_path, "elsewhere.example")
    server = Rude(tls=server_context(pem))
    try:
        with pytest.raises(Unreached, match="not trusted"):
            tls_post(loop, server.url, pem)
    finally:
        server.stop()


def test_an_expired_certificate(loop: str, tmp_path: Path) -> None:
    pem = self_signed(tmp_path, "127.0.0.1", days=-1)
    server = Rude(tls=server_context(pem))
    try:
        with pytest.raises(Unreached, match="expired"):
            tls_post(loop, server.url, pem)
    finally:
        server.stop()


def test_https_to_a_server_without_tls(loop: str, rude: Rude, secure: tuple[Rude, Path]) -> None:
    # The rude server waits for the end of a head that never comes, so the handshake ends with the connect limit.
    async def main() -> None:
        async with asking(f"https://127.0.0.1:{rude.port}") as ask:
            with pytest.raises(Unreached):
                await ask.post("/number", bounds=QUICK)

    run(main(), loop)


def test_http_to_a_server_with_tls(loop: str, secure: tuple[Rude, Path]) -> None:
    server, _ = secure
    with pytest.raises(Broken):
        post_once(loop, server.url.replace("https", "http"), "/number")


@pytest.mark.parametrize("path", ["/reset-in-body", "/cl-too-long", "/nothing"])
def test_a_connection_that_ends_early_within_tls(loop: str, secure: tuple[Rude, Path], path: str) -> None:
    server, pem = secure
    with pytest.raises(Broken):
        tls_post(loop, server.url, pem, path)


def test_cancelling_within_tls_closes_at_once(loop: str, secure: tuple[Rude, Path]) -> None:
    server, pem = secure

    async def main() -> None:
        client = Client(AddressPolicy(), tls=ssl.create_default_context(cafile=pem))
        task = asyncio.create_task(
            client.post(server.url + "/silent", (), b"", BOUNDS, pool_key="s", max_connections=1)
        )
        await asyncio.to_thread(server.events.wait, "silent")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.events.wait, "closed by client")
        await client.close()

    run(main(), loop)
