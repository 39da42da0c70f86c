"""What the host hangs into us, log handlers and metrics, made harmless."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, MutableMapping
from typing import Any

from .observer import Observer


class HookLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose calls never raise, whatever its handlers and filters do.

    A line is mostly written in the middle of something: an error from there
    would leave an outcome half recorded, or take a thread along.
    """

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """As `Logger.log`, of the line that called."""
        try:
            super().log(level, msg, *args, **{"stacklevel": 2, **kwargs})
        except BaseException as error:
            if is_ctrl_c(error):
                raise

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave a call as it is: an adapter would put its own ``extra``, which is none, over the caller's."""
        return msg, kwargs


def logger_of(module: str) -> HookLogger:
    """Return the logger of a module of ours."""
    return HookLogger(logging.getLogger(module))


_logger = logger_of(__name__)


class Guarded(Observer):
    """Passes events on to another observer; what that raises is logged once per event and dropped.

    Fields: `_failed` is a set that only grows.
    """

    def __init__(self, observer: Observer) -> None:
        self._failed: set[str] = set()
        for name, _ in inspect.getmembers(Observer, inspect.isfunction):
            if not name.startswith("_"):
                setattr(self, name, self._guard(name, getattr(observer, name)))

    def _guard(self, name: str, event: Callable[..., None]) -> Callable[..., None]:
        def guarded(*args: Any) -> None:
            try:
                event(*args)
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                self._drop(name, error)

        return guarded

    def _drop(self, event: str, error: BaseException) -> None:
        if event not in self._failed:
            self._failed.add(event)
            _logger.error("the metrics refuse %s: some are not counted from now on", event, exc_info=error)


def is_ctrl_c(error: BaseException) -> bool:
    """Say whether an error is the user's word to end, which came while a hook ran, and not the hook's own."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
