"""Looks again and again, on a thread of its own: a MongoDB that does not answer keeps nobody from the keys."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..terminal.words import one_line
from .frame import Frame, PoolLoad, alike, load_of, rates_of

if TYPE_CHECKING:
    from ...backlog import Backlog
    from ...manager import JobManager
    from ...overview import Activity

#: Jobs that run, and that failed, which are asked for.
SHOWN = 20
#: Counting the backlog rests for so many times what it took, so that it keeps a server busy for 5 % at the most.
REST = 20.0
#: Seconds after which an answer is missed.
PATIENCE = 2.0
#: At the first look, what failed in this time is counted.
FIRST = timedelta(seconds=60)


class Looker:
    """Knows what is known.

    Args:
        manager: Whom it asks.
        every: Seconds between the beginnings of two looks.

    Fields: `frame` and `_asked_at` are replaced whole by whoever looks, the thread once it is started, and read by
    anybody; `news` is set with a new frame. All others belong to whoever looks.
    """

    def __init__(self, manager: JobManager, every: float) -> None:
        self.frame: Frame | None = None
        self.news = threading.Event()
        self._manager, self._every = manager, every
        self._before: Activity | None = None
        self._counts: tuple[Backlog, ...] = ()
        self._count_at = 0.0
        self._uncounted: str | None = None
        self._asked_at: float | None = None
        self._stopped = threading.Event()
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._thread = threading.Thread(target=self._run, name="jobpool-top", daemon=True)

    def start(self) -> None:
        """Look again and again, the first time a moment later, as somebody has just looked."""
        self._thread.start()

    def stop(self) -> None:
        """End that; a look that waits for MongoDB is left behind."""
        self._stopped.set()
        self._goes_on.set()
        if self._thread.ident is not None:
            self._thread.join(0.2)

    @property
    def frozen(self) -> bool:
        """Whether nobody is asked at present."""
        return not self._goes_on.is_set()

    def shown(self) -> Frame | None:
        """Return what is known, with the word that nobody has answered for a while if it is so. Threads: any."""
        frame, asked_at = self.frame, self._asked_at
        waited = 0.0 if asked_at is None else time.monotonic() - asked_at
        if frame is None or frame.trouble is not None or waited < PATIENCE:
            return frame
        since = datetime.now(UTC) - timedelta(seconds=waited)
        return replace(frame, trouble="MongoDB has not answered yet", trouble_since=since)

    def freeze(self) -> None:
        """Ask nobody until it is called again."""
        if self.frozen:
            self._goes_on.set()
        else:
            self._goes_on.clear()

    def look(self) -> Frame:
        """Look once, count if it is time to, and return what is known.

        Raises:
            StoreError: Nothing is known of this moment.
        """
        before = self._before
        since = before.at if before is not None else self._now() - FIRST
        activity = self._manager.activity(limit=SHOWN, since=since)
        self._before = activity
        self._asked_at = None  # it has answered; counting may take longer, and is no silence
        if self._is_old(activity):
            self._count_at = 0.0
        self._count()
        frame = self.frame = self._frame(activity, before, since)
        self.news.set()
        return frame

    def _run(self) -> None:
        wait = self._every
        while not self._stopped.wait(wait):
            self._goes_on.wait()
            if self._stopped.is_set():
                return
            began = self._asked_at = time.monotonic()
            self._try()
            self._asked_at = None
            wait = max(0.0, began + self._every - time.monotonic())

    def _try(self) -> None:
        from ...errors import JobpoolError

        try:
            self.look()
        except JobpoolError as error:
            self._tell(one_line(error))
        except Exception as error:  # noqa: BLE001 - the client was closed meanwhile, or something unforeseen: the view stays
            self._tell(f"{type(error).__name__}: {error}")

    def _tell(self, trouble: str) -> None:
        if self.frame is not None:
            since = self.frame.trouble_since or datetime.now(UTC)
            self.frame = replace(self.frame, trouble=trouble, trouble_since=since)
        self.news.set()

    def _is_old(self, activity: Activity) -> bool:
        """Say whether what was counted is not true any more, or could not be: after trouble, or another pause."""
        known = self.frame
        return known is not None and (known.trouble is not None or known.paused != activity.paused)

    def _count(self) -> None:
        """Count the backlog, if it is time to. That it takes too long is no trouble for all the rest."""
        from ...errors import StoreError

        if time.monotonic() < self._count_at:
            return
        began = time.monotonic()
        try:
            self._counts = (*self._counts[-1:], self._manager.backlog())
            self._uncounted = None
        except StoreError as error:
            self._uncounted = one_line(error)
        took = time.monotonic() - began
        self._count_at = time.monotonic() + REST * took

    def _frame(self, activity: Activity, before: Activity | None, since: datetime) -> Frame:
        from ...overview import types_of

        counted = self._counts[-1] if self._counts else None
        loads = [load_of(pool, activity) for pool in activity.pools]
        return Frame(
            collection=self._manager.store.name,
            at=activity.at,
            server=activity.server,
            replica_set=activity.replica_set,
            members=activity.members,
            unreachable=activity.unreachable,
            documents=activity.documents,
            pools_alive=len(activity.pools),
            threads=sum(pool.threads for pool in activity.pools),
            # Short jobs are started a moment ahead of their threads, and more than there are.
            busy=sum(min(load.running, load.threads) for load in loads),
            rates=rates_of(activity, before, since, self._counts),
            counted_at=counted.at if counted else None,
            types=types_of(counted, activity.pools, activity.paused) if counted else None,
            pools=tuple(sorted(loads, key=_order)),
            running=activity.running,
            failures=alike(activity.failures),
            paused=activity.paused,
            uncounted=self._uncounted,
        )

    def _now(self) -> datetime:
        from ...store.driver import run

        return run(self._manager.store.now())


def _order(load: PoolLoad) -> tuple[bool, str, str, int]:
    return not load.silent, load.name, load.host, load.pid
