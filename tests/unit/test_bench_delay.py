"""The proxy that plays a distant server: everything arrives, in order, and not too early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from jobpool.bench.child import Child
from jobpool.bench.delay import HOST, Proxy, event_loop, through
from jobpool.errors import InvalidConfiguration

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Server = Callable[[Reader, Writer], Awaitable[None]]
ROUND_TRIP = 0.05


async def echo(reader: Reader, writer: Writer) -> None:
    """Say everything again until the end, then end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[int]:
    """Let `server` answer one connection, and wait for its end; the port."""
    ended = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await server(reader, writer)
        await writer.wait_closed()
        ended.set()

    target = await asyncio.start_server(serve, HOST, 0)
    try:
        yield port_of(target)
        await ended.wait()
    finally:
        target.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[Reader, Writer]]:
    """Connect, and leave at the end."""
    reader, writer = await asyncio.open_connection(HOST, port)
    yield reader, writer
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def distant(server: Server, round_trip: float) -> AsyncIterator[tuple[Reader, Writer]]:
    """Connect to `server` through a proxy."""
    async with listening(server) as port, Proxy((HOST, port), round_trip) as proxy:
        async with connected(proxy.port) as streams:
            yield streams
        await asyncio.sleep(0)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on a loop as the proxy's own."""

    async def limited() -> None:
        async with asyncio.timeout(30):
            await test()

    with asyncio.Runner(loop_factory=event_loop) as runner:
        runner.run(limited())


def test_many_bytes_come_through_unchanged_and_in_order() -> None:
    message = b"".join(number.to_bytes(4, "big") for number in range(500_000))

    async def test() -> None:
        async with distant(echo, 0.002) as (reader, writer):
            writer.write(message)
            assert await reader.readexactly(len(message)) == message

    run(test)


def test_an_answer_does_not_come_before_a_round_trip_is_over() -> None:
    async def test() -> None:
        async with distant(echo, ROUND_TRIP) as (reader, writer):
            for text in (b"one", b"two"):
                began = time.monotonic()
                writer.write(text)
                assert await reader.readexactly(3) == text
                assert time.monotonic() - began >= ROUND_TRIP

    run(test)


def test_messages_travel_together() -> None:
    """A hundred of them, each sent when the one before is under way, wait once and not a hundred times."""

    async def test() -> None:
        async with distant(echo, 2 * ROUND_TRIP) as (reader, writer):
            began = time.monotonic()
            for _ in range(100):
                writer.write(b"x")
                await asyncio.sleep(0)
            assert await reader.readexactly(100) == b"x" * 100
            # One after the other they would take 10 s.
            assert time.monotonic() - began < 5

    run(test)


def test_the_end_comes_behind_the_last_words() -> None:
    async def farewell(reader: Reader, writer: Writer) -> None:
        await reader.readexactly(1)
        writer.write(b"bye" * 1000)
        writer.close()

    async def test() -> None:
        async with distant(farewell, ROUND_TRIP) as (reader, writer):
            writer.write(b"?")
            assert await reader.read(-1) == b"bye" * 1000

    run(test)


def test_a_client_that_leaves_is_gone_for_the_server_too() -> None:
    async def test() -> None:
        left = asyncio.Event()

        async def until_the_end(reader: Reader, writer: Writer) -> None:
            await reader.read(-1)
            left.set()
            writer.close()

        async with distant(until_the_end, ROUND_TRIP) as (_, writer):
            writer.write(b"x")
            writer.close()
            await left.wait()

    run(test)


def test_a_server_that_is_away_ends_the_connection() -> None:
    async def test() -> None:
        target = await asyncio.start_server(echo, HOST, 0)
        address = (HOST, port_of(target))
        target.close()
        async with Proxy(address, 0.0) as proxy, connected(proxy.port) as (reader, _):
            with suppress(ConnectionError):
                assert await reader.read(1) == b""

    run(test)


def test_a_process_plays_several_distances() -> None:
    async def ask(port: int) -> float:
        async with connected(port) as (reader, writer):
            began = time.monotonic()
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            return time.monotonic() - began

    async def test() -> None:
        async with listening(echo) as port:
            settings = {"host": HOST, "port": port, "round_trips": [0.0, ROUND_TRIP]}
            child = await asyncio.to_thread(Child, "delay:proxy", settings)
            try:
                near, far = await asyncio.to_thread(child.hear, "ports")
                await ask(near)
                assert await ask(far) >= ROUND_TRIP
                assert await asyncio.to_thread(child.finish) == {}
            finally:
                child.kill()

    run(test)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://127.0.0.1:27017/?replicaSet=rs", "mongodb://127.0.0.1:9/?directConnection=true"),
        ("mongodb://a,b:2", "mongodb://127.0.0.1:9/?directConnection=true"),
        (
            "mongodb://user:p%40ss@a:1,b:2/db?authSource=admin&replicaSet=rs",
            "mongodb://user:p%40ss@127.0.0.1:9/db?authSource=admin&directConnection=true",
        ),
        (
            "mongodb://a/?tls=true",
            "mongodb://127.0.0.1:9/?tls=true&tlsAllowInvalidHostnames=true&directConnection=true",
        ),
    ],
)
def test_a_uri_leads_to_the_proxy_and_keeps_who_one_is(uri: str, expected: str) -> None:
    assert through(uri, 9) == expected


def test_an_address_that_must_be_looked_up_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="mongodb://"):
        through("mongodb+srv://cluster.example.org/", 9)
