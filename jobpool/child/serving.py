"""Answering requests: what a child does all its life."""

from __future__ import annotations

import contextlib
import inspect
import pickle
import socket
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

from ..current import in_hand
from ..errors import InvalidJob
from .failing import failure_of
from .job import ChildJob
from .settling import settle

HEADER = struct.Struct("!Q")
DONE, FAILED = b"+", b"-"
#: Bytes of an answer: what is longer than any result may be need not burden the pool's process.
LONGEST = 64 * 1024 * 1024


def serve(line: socket.socket) -> None:
    """Answer one request after the other until the parent closes the line."""
    settle()
    _write(line, b"")  # ready
    with line, line.makefile("rb") as requests:
        while (request := _read(requests)) is not None:
            _write(line, _answer(request))


def _write(line: socket.socket, message: bytes) -> None:
    """Send one message."""
    line.sendall(HEADER.pack(len(message)))
    line.sendall(message)


def _read(line: IO[bytes]) -> bytes | None:
    """Return the next message; None if the line has ended."""
    header = line.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (size,) = HEADER.unpack(header)
    message = line.read(size)
    return message if len(message) == size else None


def _answer(request: bytes) -> bytes:
    """Run what is asked for; whatever it raises, there is an answer."""
    context = in_hand.set(None)
    try:
        fn, data, facts = pickle.loads(request)  # noqa: S301  (our parent has written it)
        in_hand.set(ChildJob(data, facts))
        answer = DONE + pickle.dumps(_run(fn, data), pickle.HIGHEST_PROTOCOL)
        if len(answer) > LONGEST:
            raise InvalidJob(f"result: {len(answer)} bytes pickled, over the limit of {LONGEST}")
        return answer
    except BaseException as error:  # noqa: BLE001  (a SystemExit is the executor's failure, not our end)
        return FAILED + pickle.dumps(failure_of(error))
    finally:
        in_hand.reset(context)
        for stream in (sys.stdout, sys.stderr):  # this process may be killed before they do it themselves
            with contextlib.suppress(Exception):
                stream.flush()


def _run(fn: Callable[..., Any], data: Any) -> Any:
    result = fn(data)
    if not inspect.iscoroutine(result):
        return result
    import asyncio  # only who needs it

    return asyncio.run(result)
