"""What all services of a manager meet together when its store is in trouble, said once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import StoreError, StoreUnavailable
from .hooks import logger_of
from .logs import BUDGET, SECONDS, Budget, marked
from .names import shown

logger = logger_of(__name__)

#: Of the lines of the process in a minute, so many for one store: two short outages.
LINES = 4
#: While trouble lasts it is said again this often.
REMIND_AFTER = 60.0
#: A broken change stream costs nothing but time, and is mostly replaced at once.
PUSH_PATIENCE = 5.0

AWAY, PUSH = "away", "push"


@dataclass(slots=True)
class _Episode:
    """One kind of trouble: it is there while there are services that met it last.

    Attributes:
        said_at: When the log last heard that it is there; None if the log believes that it is not.
        returns: How often it came again since, unheard of.
    """

    error: StoreError
    since: float
    services: set[object] = field(default_factory=set)
    said_at: float | None = None
    ended_at: float = 0.0
    returns: int = 0


@dataclass(frozen=True, slots=True)
class _Line:
    level: int
    text: str
    values: tuple[object, ...]


class Trouble:
    """Turns the errors and recoveries of many services into few lines.

    A line says what is, not what happened: one that the budget holds back
    comes when there is room, if it is still true. So a server that comes and
    goes every second costs no more lines than one that is gone.

    Threads: any. `_lock` guards `_episodes`, and bears a signal handler on
    top of the thread that holds it; `pending` is a bool that others read. No
    line is written under the lock.
    """

    def __init__(
        self, store: str, *, budget: Budget = BUDGET, clock: Callable[[], float] = time.monotonic
    ) -> None:
        #: Whether a line waits for room in the budget, or for its time: call `tell` now and then.
        self.pending = False
        self._store = shown(store)
        self._shared = budget
        self._own = Budget(LINES, SECONDS, clock)
        self._clock = clock
        self._lock = threading.RLock()
        self._episodes: dict[str, _Episode] = {}

    def met(self, service: object, error: StoreError) -> None:
        """Take note that a call of `service` failed."""
        kind, now = _kind_of(error), self._clock()
        with self._lock:
            self._clear_locked(service, now, but=kind)
            episode = self._episodes.setdefault(kind, _Episode(error, now))
            if not episode.services:
                if episode.said_at is None:
                    episode.since = now
                elif episode.ended_at:
                    episode.returns += 1
            episode.services.add(service)
            episode.error = error
        self.tell()

    def over(self, service: object) -> None:
        """Take note that a call of `service` succeeded."""
        with self._lock:
            self._clear_locked(service, self._clock())
        self.tell()

    def left(self, service: object) -> None:
        """Take note that `service` has ended; if nobody else is in trouble, nobody knows any more."""
        with self._lock:
            known = [kind for kind, episode in self._episodes.items() if episode.services == {service}]
            for kind in known:
                self._episodes.pop(kind, None)
            self._clear_locked(service, self._clock())

    def tell(self) -> None:
        """Write what is to be said, as far as there is room."""
        with self._lock:
            self.pending = False
            lines = [self._line_locked(kind, episode) for kind, episode in list(self._episodes.items())]
        for line in lines:
            if line is not None:
                logger.log(line.level, line.text, *line.values)

    def _clear_locked(self, service: object, now: float, but: str = "") -> None:
        for kind, episode in list(self._episodes.items()):  # a handler on top of us may change them
            if kind != but and service in episode.services:
                episode.services.discard(service)
                if not episode.services:
                    episode.ended_at = now

    def _line_locked(self, kind: str, episode: _Episode) -> _Line | None:
        """Return the line about `episode` that is due, if there is room for it."""
        now, there, said = self._clock(), bool(episode.services), episode.said_at is not None
        if not there:
            if not said:  # it was over before there was room to say that it began
                del self._episodes[kind]
                return None
            line = _end(kind, episode, self._store)
        elif not said:
            if kind == PUSH and self._push_may_wait_locked(episode, now):
                return None
            line = _begin(kind, episode.error, self._store)
        elif episode.said_at is not None and now - episode.said_at >= REMIND_AFTER:
            line = _remind(kind, episode, self._store, now)
        else:
            return None
        left_out = self._room_locked()
        if left_out is None:
            self.pending = True
            return None
        episode.said_at, episode.returns = now, 0
        if not there:
            del self._episodes[kind]
        return _Line(line.level, str(marked(line.text, left_out)), line.values)

    def _push_may_wait_locked(self, episode: _Episode, now: float) -> bool:
        away = self._episodes.get(AWAY)
        if away is not None and away.services:
            episode.since = now  # that says it all, and its end may be the end of this as well
            return True
        return isinstance(episode.error, StoreUnavailable) and now - episode.since < PUSH_PATIENCE

    def _room_locked(self) -> int | None:
        """Return how many lines were left out before, if there is room for one more; None if not."""
        if not self._own.has_room():
            return None
        left_out = self._shared.take(again=True)
        if left_out is not None:
            self._own.take()
        return left_out


def _kind_of(error: StoreError) -> str:
    if error.operation == "watch":
        return PUSH
    away = isinstance(error, StoreUnavailable) and error.kind != "authentication"
    return AWAY if away else error.kind


def _begin(kind: str, error: StoreError, store: str) -> _Line:
    """Return the line that says what happened, what the pools do about it, and what the user can do."""
    what = error.operation or "a call"
    if kind == AWAY:
        verb, check = _ABSENCE.get(error.kind, ("does not confirm writes", "look at the state of its members"))
        text = f"MongoDB for %s {verb} (%s: %s); pools claim nothing and keep outcomes until it does; {check}"
        return _Line(logging.WARNING, text, (store, what, error.kind))
    reason = error.reason or type(error).__name__
    if kind == PUSH:
        text = "push from MongoDB for %s is off (%s); jobs are found by polling meanwhile"
        return _Line(logging.WARNING, text, (store, reason))
    text = "MongoDB for %s refuses %s: %s; pools repeat it until it is accepted"
    return _Line(logging.WARNING, text, (store, what, reason))


def _remind(kind: str, episode: _Episode, store: str, now: float) -> _Line:
    error = episode.error
    if episode.returns:
        text = "%s from MongoDB for %s comes and goes: %d times, for %.0f s now"
        what = "push" if kind == PUSH else "an answer"
        return _Line(logging.WARNING, text, (what, store, episode.returns, now - episode.since))
    text = "MongoDB for %s fails for %.0f s now (%s: %s); pools still repeat it"
    return _Line(logging.WARNING, text, (store, now - episode.since, error.operation or "a call", error.kind))


def _end(kind: str, episode: _Episode, store: str) -> _Line:
    seconds = episode.ended_at - episode.since
    if kind == AWAY:
        return _Line(logging.INFO, "MongoDB for %s answers again after %.1f s", (store, seconds))
    if kind == PUSH:
        return _Line(logging.INFO, "push from MongoDB for %s works again after %.1f s", (store, seconds))
    what = episode.error.operation or "the calls"
    return _Line(logging.INFO, "MongoDB for %s accepts %s again after %.1f s", (store, what, seconds))


#: By kind of error: what MongoDB does not do, and what the user can look at.
_ABSENCE = {
    "network": ("does not answer", "check that the server runs and is reachable"),
    "timeout": ("does not answer", "check that the server runs and is reachable"),
    "not_primary": ("has no primary", "the set elects one if most of its members run"),
}
