"""The endpoint as an ASGI application, to be mounted in a service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from .routes import Asked, Reply, Routes, reply

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Message, Receive, Send], Awaitable[None]]


def asgi_app(routes: Routes) -> ASGIApplication:
    """Return an application for asyncio that answers `routes` below its mount point.

    Who may ask is the host's to say. Each answer is made on a thread of its
    own, as by the built-in server: a scrape that takes its time keeps neither
    the event loop nor a probe, and no threads of the host are needed, which
    may all wait for MongoDB when a probe comes.
    """

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _send(await _in_thread(lambda: _answer(routes, scope)), send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    return app


def _answer(routes: Routes, scope: Message) -> Reply:
    accept = b", ".join(value for name, value in scope["headers"] if name.lower() == b"accept")
    query: bytes = scope.get("query_string", b"")
    asked = Asked(accept.decode("latin-1"), query.decode("latin-1"))
    return reply(routes, scope["method"], _path(scope), asked)


def _path(scope: Message) -> str:
    """Return the path below the mount point, which some hosts leave in it and some take out of it."""
    path: str = scope["path"]
    mount: str = scope.get("root_path", "").rstrip("/")
    return path[len(mount) :] if mount and path.startswith(f"{mount}/") else path


async def _in_thread(make: Callable[[], Reply]) -> Reply:
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Reply] = loop.create_future()

    def deliver(answer: Reply) -> None:
        if not made.done():  # nobody waits any more
            made.set_result(answer)

    def run() -> None:
        answer = make()
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(deliver, answer)

    threading.Thread(target=run, name="jobpool-http-request", daemon=True).start()
    return await made


async def _send(answer: Reply, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: Receive, send: Send) -> None:
    """Say yes to the host's start and end: the pool has a life of its own."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
