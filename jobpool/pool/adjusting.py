"""Changing a pool that runs: how many threads it has, and which types it runs."""

from __future__ import annotations

import threading
from dataclasses import replace

from ..config import PoolConfig
from ..errors import InvalidConfiguration
from ..hooks import logger_of
from ..names import LISTED, listed, shown
from .elsewhere import SLOWEST, elsewhere
from .host import Host
from .parts import Parts

logger = logger_of(__name__)


class Adjusting:
    """Changes the parts of one pool; `WorkerPool` says what its methods do, and when they may be called.

    Threads: any; see `elsewhere`. `_lock` keeps changes in one order.
    """

    def __init__(self, host: Host, parts: Parts) -> None:
        self._host = host
        self._parts = parts
        self._pool = shown(parts.config.name, LISTED)
        self._thread = f"jobpool-{parts.config.name}-adjusting"
        self._patience = parts.store.timeout + SLOWEST  # what is given back takes one call
        self._lock = threading.Lock()

    @property
    def config(self) -> PoolConfig:
        """The settings, with the threads there are now."""
        config, threads = self._parts.config, self._parts.workers.threads
        return config if config.threads == threads else replace(config, threads=threads)

    def resize(self, threads: int) -> None:
        """Have so many threads."""
        wanted = replace(self._parts.config, threads=threads)  # checks it
        before = elsewhere(self._thread, lambda: self._resize(wanted), self._patience)
        if threads != before:
            logger.info("pool %s: %d threads instead of %d", self._pool, threads, before)

    def _resize(self, wanted: PoolConfig) -> int:
        """Resize, and return how many threads there were. Nothing here is to log; see `elsewhere`."""
        parts, threads = self._parts, wanted.threads
        with self._lock:
            before = parts.workers.threads
            try:
                parts.workers.resize(threads, wanted.most_stuck)
            finally:
                parts.pace.resize(parts.workers.threads)
        parts.starter.wake()
        parts.fetcher.make_room()
        parts.census.card_changed()
        return before

    def add(self, types: tuple[str, ...]) -> tuple[str, ...]:
        """Run these types as well."""
        types = self._chosen("add_types", types)
        self._host.executors.check_isolated(types)
        self._host.observer.types_added(types)
        return self._turned(types, ())

    def remove(self, types: tuple[str, ...]) -> tuple[str, ...]:
        """Run these types no more."""
        types = self._chosen("remove_types", types)
        return self._turned((), types)

    def _chosen(self, name: str, types: tuple[str, ...]) -> tuple[str, ...]:
        if not types:
            raise InvalidConfiguration(f"{name} needs at least one type")
        return self._host.executors.select(types)

    def _turned(self, more: tuple[str, ...], gone: tuple[str, ...]) -> tuple[str, ...]:
        before, now = elsewhere(self._thread, lambda: self._turn(more, gone), self._patience)
        if now != before:
            logger.info("pool %s: runs %s now", self._pool, listed(now) or "no type")
        return now

    def _turn(self, more: tuple[str, ...], gone: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Change the types, and return which there were and are."""
        serving = self._parts.serving
        with self._lock:
            before = serving.now.types
            if more:
                serving.add(more)
            if gone:
                serving.remove(gone)
            now = serving.now.types
        if now != before:
            self._parts.turned()
        return before, now
