"""Hooks of the user's middleware, made harmless: what they raise is logged, counted and dropped."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from .hooks import is_ctrl_c
from .logs import Budget, bounded_logger_of, marked
from .names import bounded
from .observer import Observer
from .outcome import MAX_ERROR_BYTES

logger = bounded_logger_of(__name__)

#: A hook that fails for every job is told of once in so many seconds.
SECONDS = 60.0
COMPONENT = "middleware"
#: Innermost frames of a hook's error in the log; those above are ours.
FRAMES = 5


class Hook:
    """One hook of one middleware. Threads: any; immutable but for `_budget`, which guards itself."""

    __slots__ = ("_budget", "_name", "_observer", "call")

    def __init__(self, name: str, call: Callable[..., Any], observer: Observer) -> None:
        self.call = call
        self._name = name
        self._observer = observer
        self._budget = Budget(1, SECONDS)

    def tell(self, *args: Any) -> None:
        """Call it, whatever it raises."""
        try:
            self.call(*args)
        except BaseException as error:  # noqa: BLE001
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """Count and log its error; raise that if it is the user's Ctrl-C."""
        if is_ctrl_c(error):
            raise error
        self._observer.internal_error(COMPONENT)
        left_out = self._budget.take()
        if left_out is not None:
            text = marked("middleware: %s failed; jobs go on as if it were not there", left_out)
            logger.error(f"{text}:\n%s", self._name, _text_of(error))


def _text_of(error: BaseException) -> str:
    """Return a hook's error for the log, without what it came upon: that may be an executor's, with data in it."""
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-FRAMES, chain=False)
        return bounded("".join(lines).rstrip(), MAX_ERROR_BYTES, keep_end=True)
    except BaseException:  # noqa: BLE001  (a hostile __str__)
        return type(error).__name__


class Around(AbstractContextManager[None]):
    """What hooks gave around one call: entered in order, left in reverse, blind to what they raise or return.

    Threads: one.
    """

    __slots__ = ("_entered", "_given", "_hooks")

    def __init__(self, hooks: tuple[Hook, ...], given: object) -> None:
        self._hooks = hooks
        self._given = given
        self._entered: list[tuple[Hook, Any]] = []

    def __enter__(self) -> None:
        try:
            for hook in self._hooks:
                self._enter(hook)
        except BaseException as error:  # Ctrl-C between two of them
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def _enter(self, hook: Hook) -> None:
        try:
            context = hook.call(self._given)
            type(context).__enter__(context)
        except BaseException as error:  # noqa: BLE001
            hook.failed(error)
        else:
            self._entered.append((hook, context))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave all of them; a Ctrl-C meanwhile is raised behind the last."""
        interrupt: BaseException | None = None
        while self._entered:
            hook, context = self._entered.pop()
            try:
                type(context).__exit__(context, kind, error, trace)
            except BaseException as raised:  # noqa: BLE001
                if raised is error:
                    continue  # passed on by `raise`, as many do
                try:
                    hook.failed(raised)
                except KeyboardInterrupt as pressed:
                    interrupt = pressed
            finally:
                if error is not None:  # a `raise` of it inside left its frames there
                    BaseException.with_traceback(error, trace)
        if interrupt is not None:
            raise interrupt
