"""Where an executor is: the stack of its thread or of its coroutine, as text.

A stack has file names, functions and source lines, as they are in the code;
never the values of variables.
"""

from __future__ import annotations

import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from ..names import bounded
from ..outcome import MAX_ERROR_BYTES
from .coroutines import Coroutines

#: The innermost frames are those that tell where it hangs. More of them do not fit in what is stored.
MAX_FRAMES = 60
#: Who calls executors, and who runs coroutines: from there outward a stack is the same for every job.
_CALLERS = ("jobpool.pool.attempt", "jobpool.executors")
_LOOP = ("jobpool.pool.coroutines", "asyncio.")


def stack_of(thread: threading.Thread, coroutines: Coroutines, runs: Callable[[], bool]) -> str | None:
    """Return where the executor on `thread` is, bounded in size; None if it has ended meanwhile. Never raises.

    Of a coroutine it is where the coroutine waits; its thread only waits for
    it. What goes on in other tasks and in asynchronous generators that it
    awaits is not in it: the interpreter does not tell.

    Args:
        runs: Whether that executor runs still. Asked behind the look: the
            thread may have gone on to another job.
    """
    try:
        seen = [(frame, frame.f_lineno) for frame in _frames(thread, coroutines)[:MAX_FRAMES]]
        if not runs():
            return None
        lines = traceback.StackSummary.extract(iter(reversed(seen))).format()
        return bounded("".join(lines), MAX_ERROR_BYTES, keep_end=True)
    except BaseException as error:  # noqa: BLE001  (source lines may come from a loader of the user's)
        return f"<no stack: looking raised {type(error).__name__}>"


def _frames(thread: threading.Thread, coroutines: Coroutines) -> list[FrameType]:
    """Return the frames of the executor, the innermost first."""
    coroutine = coroutines.awaited_by(thread)
    if coroutine is None:
        return _within(_frames_on(thread), _CALLERS)
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_SUSPENDED:
        return _awaiting(coroutine)
    # It runs without awaiting anything, or could not begin because another one does: both hold the loop up.
    return _within(_frames_on(coroutines.thread), _LOOP)


def _frames_on(thread: threading.Thread | None) -> list[FrameType]:
    frame = sys._current_frames().get(thread.ident or 0) if thread else None
    return [frame for frame, _ in traceback.walk_stack(frame)] if frame else []


def _awaiting(coroutine: Coroutine[Any, Any, Any]) -> list[FrameType]:
    frames: list[FrameType] = []
    inner: Any = coroutine
    while (frame := _attribute(inner, "cr_frame", "gi_frame")) is not None:
        frames.append(frame)
        inner = _attribute(inner, "cr_await", "gi_yieldfrom")
    return frames[::-1]


def _attribute(item: Any, *names: str) -> Any:
    """Return the attribute by the name that it has of a coroutine, or of a generator."""
    return next((getattr(item, name) for name in names if hasattr(item, name)), None)


def _within(frames: list[FrameType], callers: tuple[str, ...]) -> list[FrameType]:
    """Return the frames within the outermost row of `callers`: a job may run another one on its own thread.

    All of them if that leaves none: a builtin has no frame.
    """
    outside = len(frames)
    while outside and not _is_of(frames[outside - 1], callers):
        outside -= 1
    while outside and _is_of(frames[outside - 1], callers):
        outside -= 1
    return frames[:outside] or frames


def _is_of(frame: FrameType, modules: tuple[str, ...]) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(modules)
