"""The sentinel: stops a pool whose host forgot to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..observer import Observer
from .service import Service


class Sentinel(Service):
    """Watches for the end of the main thread.

    When the main thread returns, the interpreter waits for all other threads
    before it runs any `atexit` handler, so a forgotten pool would keep the
    process for ever. `Thread.is_alive` of the main thread is the public sign.
    """

    def __init__(self, name: str, observer: Observer, ended: Callable[[], None]) -> None:
        super().__init__(f"{name}-sentinel", observer)
        self._ended = ended
        self._woken = threading.Event()

    def wake(self) -> None:
        """Let a waiting step return."""
        self._woken.set()

    def run_once(self) -> None:
        """Look four times a second."""
        self._woken.wait(0.25)
        if not threading.main_thread().is_alive() and not self.stopping:
            self._stopping.set()
            self._ended()
