"""What runs in the child process of an isolated executor.

It imports little of jobpool, no driver above all: a child is there sooner and
takes half the memory, unless the executor's own module imports more.

A request is ``(fn, data, facts)``, pickled; an answer is `DONE` and the result,
or `FAILED` and a `Failure`. Both processes run the code of the same user;
nothing that was read from the store is unpickled, only what one of the two
has pickled.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from .current import Alarm, Desk, in_hand
from .errors import InvalidJob, JobpoolError
from .job_logs import JobLogFilter, TextFormatter
from .outcome import describe
from .progress import Reporter

HEADER = struct.Struct("!Q")
DONE, FAILED = b"+", b"-"
#: Bytes of an answer: what is longer than any result may be need not burden the pool's process.
LONGEST = 64 * 1024 * 1024
#: Seconds after which the child looks whether its parent is there, if nothing told it: a process that
#: the parent forked may hold open what should have closed.
LOOK_AGAIN = 1.0


class SpanIds(NamedTuple):
    """The ids of the span of the attempt, which is the parent's."""

    trace_id: str
    span_id: str


class ChildJob:
    """The job in hand, made of what the parent told of it; see `jobpool.current.HeldJob`.

    The claim stays with the parent, which kills this process when it is lost,
    cancelled or timed out: nothing is told here. Without a desk, what has to
    reach the pool (progress, checkpoints, waits) is refused by `CurrentJob`.
    """

    def __init__(self, data: Any, facts: dict[str, Any]) -> None:
        self.document = {**facts, "_id": facts["id"], "data": data}
        self.pool: str = facts["pool"]
        self.attempt: int = facts["attempt"]
        trace, span = facts.get("trace_id"), facts.get("span_id")
        self.span = SpanIds(trace, span) if trace and span else None
        self.lost = False
        self.deadline = math.inf
        self.told: JobpoolError | None = None
        self.desk: Desk | None = None
        self.reporter: Reporter | None = None
        self.alarm: Alarm | None = None


class Failure(NamedTuple):
    """How an executor failed. `error` is the pickled exception; None if it cannot be made again from that."""

    error: bytes | None
    type: str
    text: str
    traceback: str


def serve(line: socket.socket) -> None:
    """Answer one request after the other until the parent closes the line."""
    _settle()
    write(line, b"")  # ready
    with line, line.makefile("rb") as requests:
        while (request := _read(requests)) is not None:
            write(line, _answer(request))


def write(line: socket.socket, message: bytes) -> None:
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


# --- the executor -----------------------------------------------------------------------


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


def failure_of(error: BaseException) -> Failure:
    """Return what the parent is told of `error`. Never raises."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__:
        trace = trace.tb_next  # from the executor's own frame on
    said = describe(error.with_traceback(trace), 1)
    return Failure(_portable(error), said.type, said.message, said.traceback)


def _portable(error: BaseException) -> bytes | None:
    """Return `error` pickled, in a form that was tried; None if there is none."""
    for form in (error, _Bare(error)):
        try:
            pickled = pickle.dumps(form)
            if isinstance(pickle.loads(pickled), type(error)):  # noqa: S301  (pickled one line above)
                return pickled
        except Exception:  # noqa: BLE001, S112  (what users' classes raise here may be anything)
            continue
    return None


class _Bare:
    """Pickles an exception so that it is made again without its ``__init__``.

    Many exceptions give their base another argument than they take, and so
    can be pickled but not unpickled.
    """

    def __init__(self, error: BaseException) -> None:
        self._parts = (type(error), error.args, error.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, self._parts


def _made_again(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# --- the process ------------------------------------------------------------------------


def _settle() -> None:
    """Become a child that ends with its parent, by its parent's will, and by nothing else."""
    os.setpgrp()  # so that it can be killed with all that it starts
    threading.Thread(target=_follow, name="jobpool-parent", daemon=True).start()
    os.register_at_fork(after_in_child=_obey_signals)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    multiprocessing.current_process().daemon = False  # or an executor could not use multiprocessing
    _log_to_stderr()


def _ignore(number: int, frame: object) -> None:
    """Do nothing about Ctrl-C, or a SIGTERM to all processes of a service: the parent drains.

    A handler, and not SIG_IGN, which programs that the executor starts would inherit.
    """


def _obey_signals() -> None:
    """Let the processes that an executor forks end as usual."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _follow() -> None:
    """End this process, and what it has started, as soon as its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is None:  # no child of multiprocessing
        return
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(LOOK_AGAIN)
    os.killpg(0, signal.SIGKILL)


def _log_to_stderr() -> None:
    """Send warnings to stderr, with the job's id, unless the executor's module configures logging itself.

    What the program of the parent configures behind its main guard is not done here.
    """
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(TextFormatter())
    handler.addFilter(JobLogFilter())
    logging.lastResort = handler
    ours = logging.getLogger("jobpool")
    for silent in [one for one in ours.handlers if isinstance(one, logging.NullHandler)]:
        ours.removeHandler(silent)
