"""Who is woken by whom: the pools of one manager, their shared waker, and local creates."""

from __future__ import annotations

import threading
from datetime import datetime

from ..observer import Observer
from ..store import Store
from .waker import Listener, Waker


class Wakeups:
    """Knows the running pools of a manager, and keeps a waker while there are any.

    Threads: any; `_lock` guards `_local` and `_waker`. A waker is started and
    stopped outside of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._local: dict[Listener, Listener] = {}
        self._pushed: tuple[Listener, ...] = ()
        self._waker: Waker | None = None

    def add(self, local: Listener, pushed: Listener | None, store: Store, observer: Observer) -> None:
        """Wake a pool from now on: through `local` on creates here, through `pushed` by change stream."""
        started = None
        with self._lock:
            self._local[local] = pushed or local
            if pushed is not None:
                self._pushed = (*self._pushed, pushed)
                if self._waker is None:
                    started = self._waker = Waker("shared", store, observer, self._pushed)
                self._waker.listeners = self._pushed
        if started is not None:
            started.start()

    def remove(self, local: Listener) -> Waker | None:
        """Wake that pool no more; the last one ends the waker and gets it to wait for."""
        ended = None
        with self._lock:
            pushed = self._local.pop(local, None)
            self._pushed = tuple(listener for listener in self._pushed if listener is not pushed)
            if self._waker is not None:
                self._waker.listeners = self._pushed
                if not self._pushed:
                    ended, self._waker = self._waker, None
        if ended is not None:
            ended.stop()
        return ended

    def created(self, types: set[str]) -> None:
        """Say that this process created due jobs of `types`."""
        for listener in tuple(self._local):
            if not listener.types.isdisjoint(types):
                listener.wake()

    def idle(self) -> None:
        """Say that a fetcher waits for news."""
        waker = self._waker
        if waker is not None:
            waker.wake()

    def pushing_since(self) -> datetime | None:
        """Return since when the change stream is open; None if it is not."""
        waker = self._waker
        return None if waker is None else waker.pushing_since

    @property
    def waker(self) -> Waker | None:
        """The running waker, if any."""
        return self._waker
