"""A TCP proxy that makes a server distant: every byte arrives half a round trip later, each way.

Nothing else changes: any amount may be under way, so neither bandwidth nor the
number of messages at a time is limited. Only opening a connection is faster
than from afar, as the proxy itself answers it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from ..errors import InvalidConfiguration
from .child import STOP, Parent

HOST = "127.0.0.1"
_SCHEME = "mongodb://"
#: What makes a driver look for other members than the one it is told.
_SEEKING = {"replicaset", "directconnection", "loadbalanced"}


class _End(asyncio.Protocol):
    """One end of a connection: what it hears the other end says, later. All in the thread of the loop."""

    def __init__(self, proxy: Proxy) -> None:
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        # Two timers for one instant may fire in either order; the order here is kept.
        self._under_way: deque[bytes | None] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio's."""
        self.transport = cast(asyncio.Transport, transport)
        self._proxy.transports.add(self.transport)

    def data_received(self, data: bytes) -> None:
        """As asyncio's."""
        self._send(data)

    def connection_lost(self, _: Exception | None) -> None:
        """The end travels behind everything said before."""
        if self.transport is not None:
            self._proxy.transports.discard(self.transport)
        self._send(None)

    def _send(self, what: bytes | None) -> None:
        self._under_way.append(what)
        self._loop.call_later(self._proxy.delay, self._arrive)

    def _arrive(self) -> None:
        what = self._under_way.popleft()
        target = self.other.transport if self.other else None
        if target is None or target.is_closing():
            return
        if what is None:
            target.close()
        else:
            target.write(what)


class _Near(_End):
    """The client's end, which opens the other one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Listen to the client only when there is somebody to tell."""
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        assert self.transport is not None
        try:
            far, self.other = await self._loop.create_connection(lambda: _End(self._proxy), *self._proxy.target)
        except OSError:  # the server is away: so is the proxy
            self.transport.abort()
            return
        self.other.other = self
        if self.transport.is_closing():
            far.close()
        else:
            self.transport.resume_reading()


class Proxy:
    """Forwards connections to `target`, which seems `round_trip` seconds further away. Threads: the loop's only.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, target: tuple[str, int], round_trip: float) -> None:
        self.target = target
        self.delay = round_trip / 2
        self.port = 0
        self.transports: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Near(self), HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for transport in self.transports.copy():
            transport.abort()


def event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose timers are exact enough: that of epoll would round half a millisecond up to one."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def proxy(settings: dict[str, Any], parent: Parent) -> None:
    """Role: proxies before one server. Settings: `host`, `port`, and `round_trips`, the seconds that each adds."""
    target = (settings["host"], settings["port"])

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            proxies = [Proxy(target, seconds) for seconds in settings["round_trips"]]
            parent.say("ports", [(await stack.enter_async_context(one)).port for one in proxies])
            await asyncio.get_running_loop().run_in_executor(None, parent.wait_for, STOP)

    with asyncio.Runner(loop_factory=event_loop) as runner:
        runner.run(serve())
    parent.say("report", {})


def through(uri: str, port: int) -> str:
    """Return `uri` with a proxy of this machine in place of the server.

    A replica set would name the real address of its members, so the driver
    is told not to ask.

    Raises:
        InvalidConfiguration: The address has to be looked up first.
    """
    if not uri.startswith(_SCHEME):
        raise InvalidConfiguration(f"a distant server is played with a URI that begins with {_SCHEME}")
    rest, _, query = uri.removeprefix(_SCHEME).partition("?")
    hosts, _, database = rest.partition("/")
    user = hosts.rpartition("@")[0]
    options = [(name, value) for name, value in parse_qsl(query) if name.lower() not in _SEEKING]
    if any(name.lower() in ("tls", "ssl") and value == "true" for name, value in options):
        options.append(("tlsAllowInvalidHostnames", "true"))  # the certificate is not the proxy's
    options.append(("directConnection", "true"))
    return f"{_SCHEME}{user}{'@' if user else ''}{HOST}:{port}/{database}?{urlencode(options)}"
