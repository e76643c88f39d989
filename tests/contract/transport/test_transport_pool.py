"""How connections are shared: which is reused, who waits, what ends them."""

import asyncio
import socket
from pathlib import Path

import pytest

from taskyard.host.transport import client as client_module
from taskyard.host.transport import pool as pool_module
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.connection import Connection
from taskyard.host.transport.pool import Pool
from taskyard.host.transport.port import Bounds, Silent, Transport, Unreached, Withheld
from tests.support.aio import run, until
from tests.support.asking import BOUNDS, asking
from tests.support.rude import Rude

# More than the system takes of one who is not read from, where the reader has little room.
LARGE = 2 * int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2]) + (4 << 20)
ROOM = 256 << 10


def test_waiting_callers_are_served_in_order_on_one_connection(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            order: list[int] = []

            async def one(number: int) -> None:
                reply = await ask.post("/number", connections=1)
                assert reply.body == b"1.%d" % (number + 1)
                order.append(number)

            await asyncio.gather(*(one(number) for number in range(20)))
            assert order == list(range(20))

    run(main(), loop)
    assert rude.accepted == 1


def test_never_more_than_max_connections(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            tasks = [asyncio.create_task(ask.post("/gate", connections=3)) for _ in range(8)]
            await asyncio.to_thread(rude.events.wait, "at gate", 3)
            assert rude.accepted == 3
            rude.events.add("open")
            await asyncio.gather(*tasks)

    run(main(), loop)
    assert rude.accepted == 3
    assert rude.events.count("at gate") == 8


def test_a_raised_limit_serves_those_who_wait(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            tasks = [asyncio.create_task(ask.post("/gate", connections=1)) for _ in range(3)]
            await asyncio.to_thread(rude.events.wait, "at gate", 1)
            tasks.append(asyncio.create_task(ask.post("/gate", connections=4)))
            await asyncio.to_thread(rude.events.wait, "at gate", 4)
            rude.events.add("open")
            await asyncio.gather(*tasks)

    run(main(), loop)
    assert rude.accepted == 4


def test_a_lowered_limit_closes_the_surplus(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            tasks = [asyncio.create_task(ask.post("/gate", connections=4)) for _ in range(4)]
            await asyncio.to_thread(rude.events.wait, "at gate", 4)
            tasks.append(asyncio.create_task(ask.post("/gate", connections=1)))
            await asyncio.sleep(0)
            rude.events.add("open")
            await asyncio.gather(*tasks)
            await asyncio.to_thread(rude.events.wait, "connection ended", 3)

    run(main(), loop)
    assert rude.accepted == 4


def test_the_connection_used_last_is_used_first(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            tasks = [asyncio.create_task(ask.post("/gate")) for _ in range(3)]
            await asyncio.to_thread(rude.events.wait, "at gate", 3)
            rude.events.add("open")
            await asyncio.gather(*tasks)
            first = await ask.post("/number")
            second = await ask.post("/number")
            assert first.body.split(b".")[0] == second.body.split(b".")[0]

    run(main(), loop)


def test_servers_and_origins_share_nothing(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.post("/ok")
            await ask.client.post(rude.url + "/ok", (), b"", BOUNDS, pool_key="other", max_connections=1)
            elsewhere = rude.url.replace("127.0.0.1", "localhost")
            await ask.client.post(elsewhere + "/ok", (), b"", BOUNDS, pool_key="server", max_connections=1)

    run(main(), loop)
    assert rude.accepted == 3


def test_a_waiter_whose_time_passes_has_sent_nothing(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            first = asyncio.create_task(ask.post("/gate", connections=1))
            await asyncio.to_thread(rude.events.wait, "at gate")
            with pytest.raises(Silent) as caught:
                await ask.post("/ok", bounds=Bounds(total_ms=80, body_max=10), connections=1)
            assert (caught.value.total, caught.value.sent) == (True, False)
            rude.events.add("open")
            assert (await first).status == 200
            assert (await ask.post("/number", connections=1)).body == b"1.2"

    run(main(), loop)


def test_a_cancelled_waiter_leaves_its_place_to_the_next(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            first = asyncio.create_task(ask.post("/gate", connections=1))
            await asyncio.to_thread(rude.events.wait, "at gate")
            gives_up = asyncio.create_task(ask.post("/number", connections=1))
            stays = asyncio.create_task(ask.post("/number", connections=1))
            await asyncio.sleep(0)
            gives_up.cancel()
            rude.events.add("open")
            await first
            assert (await stays).body == b"1.2"
            assert gives_up.cancelled()

    run(main(), loop)


@pytest.mark.parametrize("served_by", ["released", "closed"])
def test_a_waiter_cancelled_in_the_moment_it_is_served_passes_it_on(
    loop: str, rude: Rude, monkeypatch: pytest.MonkeyPatch, served_by: str
) -> None:
    """What was handed over is the connection (`released`), or the leave to open one (`closed`)."""

    async def main() -> None:
        async with asking(rude.url) as ask:
            first = asyncio.create_task(ask.post("/gate" if served_by == "released" else "/silent", connections=1))
            await asyncio.to_thread(rude.events.wait, "at gate" if served_by == "released" else "silent")
            gives_up = asyncio.create_task(ask.post("/number", connections=1))
            stays = asyncio.create_task(ask.post("/number", connections=1))
            await asyncio.sleep(0)
            serve = getattr(Pool, served_by)

            def serve_and_cancel(pool: Pool, connection: Connection) -> None:
                serve(pool, connection)
                gives_up.cancel()

            monkeypatch.setattr(Pool, served_by, serve_and_cancel)
            if served_by == "released":
                rude.events.add("open")
            else:
                first.cancel()
            await asyncio.wait([first, gives_up])
            assert gives_up.cancelled()
            assert (await stays).status == 200

    run(main(), loop)
    assert rude.accepted == (1 if served_by == "released" else 2)


def test_a_cancelled_exchange_frees_its_place(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            for _ in range(5):
                task = asyncio.create_task(ask.post("/silent", connections=1))
                waits = asyncio.create_task(ask.post("/number", connections=1))
                seen = rude.events.count("silent")
                await until(lambda seen=seen: rude.events.count("silent") > seen)  # type: ignore[misc]
                task.cancel()
                assert (await waits).status == 200

    run(main(), loop)


def test_forget_closes_what_is_idle_and_lets_the_busy_finish(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            busy = asyncio.create_task(ask.post("/gate", connections=2))
            await asyncio.to_thread(rude.events.wait, "at gate")
            await ask.post("/ok", connections=2)
            ask.client.forget("server")
            await asyncio.to_thread(rude.events.wait, "connection ended")
            assert not busy.done()
            rude.events.add("open")
            assert (await busy).status == 200
            await asyncio.to_thread(rude.events.wait, "connection ended", 2)
            assert (await ask.post("/number")).body == b"3.1"

    run(main(), loop)


def test_a_forgotten_exchange_keeps_its_deadline_and_waiters_are_unreached(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            busy = asyncio.create_task(ask.post("/silent", bounds=Bounds(total_ms=1_000, body_max=10), connections=1))
            waits = asyncio.create_task(ask.post("/ok", connections=1))
            await asyncio.to_thread(rude.events.wait, "silent")
            ask.client.forget("server")
            with pytest.raises(Unreached, match="removed"):
                await waits
            with pytest.raises(Silent):
                await busy

    run(main(), loop)


def test_a_closed_client_is_unreached(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.post("/ok")
            await ask.client.close()
            with pytest.raises(Unreached, match="closed"):
                await ask.post("/ok")
            await ask.client.close()

    run(main(), loop)
    rude.events.wait("connection ended")


def test_an_unused_connection_is_closed_in_time(loop: str, rude: Rude, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SWEEP_S", 0.02)

    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.post("/ok", bounds=Bounds(total_ms=60_000, body_max=10, idle_ms=50))
            await asyncio.to_thread(rude.events.wait, "connection ended")
            await until(lambda: not ask.client._pools)  # an empty pool is dropped, and the sweep rests
            assert ask.client._sweep is None
            assert (await ask.post("/number")).body == b"2.1"

    run(main(), loop)


def test_the_servers_own_keep_alive_time_is_undercut(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            await ask.post("/keep-alive-2")
            await asyncio.to_thread(rude.events.wait, "connection ended")

    run(main(), loop)


def test_a_close_that_the_loop_has_not_seen_yet_is_asked_for(
    loop: str, rude: Rude, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "PEEK_AFTER_S", 0.0)

    async def main() -> None:
        async with asking(rude.url) as ask:
            assert (await ask.post("/number")).body == b"1.1"
            assert (await ask.post("/number")).body == b"1.2"
            await ask.post("/closes-idle")
            rude.events.wait("connection ended")  # on the loop itself, which therefore learns nothing
            assert (await ask.post("/number")).body == b"2.1"

    run(main(), loop)


def test_many_exchanges_with_random_cancels_leave_the_pool_whole(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            for round_ in range(10):
                tasks = [asyncio.create_task(ask.post("/number", connections=3)) for _ in range(30)]
                for step, task in enumerate(tasks):
                    if (step * 7 + round_) % 3 == 0:
                        task.cancel()
                    elif step % 5 == 0:
                        await asyncio.sleep(0)
                await asyncio.wait(tasks)
                assert all(task.cancelled() or task.result().status == 200 for task in tasks)
            (pool,) = ask.client._pools["server"].values()
            assert len(pool._members) == len(pool._idle) <= 3
            assert not pool._opening
            assert not pool._waiters

    run(main(), loop)


def test_what_had_to_wait_is_withheld_when_it_must_not_be_sent_any_more(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            asked: list[int] = []

            def may_send() -> bool:
                asked.append(1)
                return len(asked) != 2

            ask.client.may_send = may_send
            first = asyncio.create_task(ask.post("/gate", connections=1))
            await asyncio.to_thread(rude.events.wait, "at gate")
            second = asyncio.create_task(ask.post("/number", connections=1))
            third = asyncio.create_task(ask.post("/number", connections=1))
            await asyncio.sleep(0)  # both wait for the connection
            rude.events.add("open")
            assert (await first).status == 200
            with pytest.raises(Withheld):
                await second
            # Nothing was written on it, and the one behind it has a new one.
            assert (await third).body == b"2.1"
            assert len(asked) == 3

    run(main(), loop)


@pytest.mark.parametrize("may_send", [True, False])
def test_a_request_too_large_to_go_at_once_is_whole_only_if_it_may_be(loop: str, may_send: bool) -> None:
    body = (b"7" * LARGE, b"the end")

    async def main() -> None:
        asked: list[int] = []

        def asking_again() -> bool:
            asked.append(1)
            return len(asked) == 1 or may_send

        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            async with asking(f"http://127.0.0.1:{listener.getsockname()[1]}") as ask:
                ask.client.may_send = asking_again
                sending = asyncio.create_task(ask.post("/", body))
                peer, _ = await asyncio.to_thread(listener.accept)
                await until(lambda: len(asked) == 1)
                with peer:
                    got = await asyncio.to_thread(_read_all, peer, len(b"".join(body)) if may_send else LARGE)
                    if may_send:
                        assert (await sending).status == 204
                        assert got.endswith(b"7the end")
                    else:
                        with pytest.raises(Withheld):
                            await sending
                        assert got.endswith(b"77")
                        assert await asyncio.to_thread(peer.recv, 9) == b""
        assert len(asked) == 2

    run(main(), loop)


def _read_all(peer: socket.socket, size: int) -> bytes:
    """The body of so many bytes, answered when it is whole."""
    head, got = b"", bytearray()
    while b"\r\n\r\n" not in head:
        head += peer.recv(1)
    while len(got) < size:
        got += peer.recv(1 << 20)
    if got.endswith(b"end"):
        peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    return bytes(got)


def test_the_client_is_a_transport() -> None:
    async def main() -> None:
        transport: Transport = Client(AddressPolicy())
        await transport.close()

    run(main())
