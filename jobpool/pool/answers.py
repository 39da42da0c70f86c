"""What a child process answered, or how it ended without an answer."""

from __future__ import annotations

import pickle
import signal
from typing import Any

from ..child import DONE, Failure


class ChildTraceback(Exception):
    """The cause of an exception that came from a child: its traceback there, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(f'\n"""\n{text}"""')


def opened(answer: bytes) -> Any:
    """Return the result that an answer holds, or raise what the executor raised.

    An exception that cannot be made again here is a `RuntimeError` with its type and text.
    """
    content = pickle.loads(answer[1:])  # noqa: S301  (our child has written it)
    if answer[:1] == DONE:
        return content
    raise _error_of(content) from ChildTraceback(content.traceback)


def _error_of(failure: Failure) -> BaseException:
    try:
        error = pickle.loads(failure.error) if failure.error else None  # noqa: S301
    except Exception:  # noqa: BLE001  (its class may not be here)
        error = None
    return error if isinstance(error, BaseException) else RuntimeError(f"{failure.type}: {failure.text}")


def how_ended(code: int | None) -> str:
    """Say how a process ended that nobody told to."""
    if code is None:
        return "closed its line to the pool and was killed"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}" + (" (as when memory runs out)" if code == -signal.SIGKILL else "")
