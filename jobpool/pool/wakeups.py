"""Who is woken by whom: the pools of one manager, their shared waker, and local creates."""

from __future__ import annotations

import threading
from datetime import datetime

from ..observer import Observer
from ..store import Store
from .waker import Listener, Waker


class Wakeups:
    """Knows the running pools of a manager, and keeps a waker while there are any.

    Threads: any; `_lock` guards all fields, and bears a signal handler that
    stops a pool on top of the thread that starts one. A waker is started and
    stopped outside of it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pools: dict[Listener, Listener | None] = {}
        self._waker: Waker | None = None
        self._ending: tuple[Waker, ...] = ()

    def add(self, local: Listener, pushed: Listener | None, store: Store, observer: Observer) -> None:
        """Wake a pool from now on: through `local` on creates here, through `pushed` by change stream."""
        started = None
        with self._lock:
            waker = self._waker
            if pushed is not None and waker is None:
                waker = started = self._waker = Waker("shared", store, observer, ())
            self._pools[local] = pushed
            if waker is not None:
                waker.listeners = self._pushed()
        if started is not None:
            self._start(started)

    def _start(self, waker: Waker) -> None:
        try:
            waker.start()
        except BaseException:
            with self._lock:  # the next pool tries again; those that joined meanwhile poll
                if self._waker is waker:
                    self._waker = None
            raise

    def remove(self, local: Listener) -> None:
        """Wake that pool no more; the last one tells the waker to end."""
        with self._lock:
            self._pools.pop(local, None)
            waker, listeners = self._waker, self._pushed()
            if waker is None:
                return
            waker.listeners = listeners
            if listeners:
                return
            self._waker = None
            self._ending = (*(other for other in self._ending if other.alive), waker)
        waker.stop()

    def _pushed(self) -> tuple[Listener, ...]:
        return tuple(pushed for pushed in self._pools.copy().values() if pushed is not None)

    @property
    def ending(self) -> tuple[Waker, ...]:
        """The wakers that were told to end: a stop waits for them, whoever told them."""
        return self._ending

    def created(self, types: set[str]) -> None:
        """Say that this process created due jobs of `types`."""
        for listener in tuple(self._pools):
            if not listener.types.isdisjoint(types):
                listener.wake()

    def scheduled(self) -> None:
        """Say that this process stored or changed a schedule."""
        for listener in tuple(self._pools):
            listener.scheduled()

    def released(self) -> None:
        """Say that jobs of whatever types may be pending that waited for others."""
        for listener in tuple(self._pools):
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

    def pushes(self, local: Listener) -> bool:
        """Whether the pool of that listener counts on a waker."""
        return self._pools.get(local) is not None

    @property
    def waker(self) -> Waker | None:
        """The running waker, if any."""
        return self._waker
