"""The fetcher: the one thread of a pool that claims."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf

from ..config import PoolConfig
from ..errors import StoreError, StoreRefused
from ..logs import bounded_logger_of
from ..middleware import Chain
from ..names import LISTED, shown
from ..observer import Observer
from ..store import Store
from ..store.claiming import Claimed, Request, Turns, Unknown
from .flag import Flag
from .giving_back import GivingBack
from .held import Held, HeldJobs, holding
from .queue import ClaimedQueue
from .reaper import reap
from .resolver import resolve_all
from .room import Room, Rooms
from .service import Service, jitter
from .serving import Serving
from .sifting import Sifting
from .stopping import END_TIME
from .tally import Starts
from .telling import tell_started
from .workers import Workers

logger = bounded_logger_of(__name__)

#: The second claim on news mostly finds nothing, and in one trip; a batch would try for the job of which the
#: next news tell another pool. Many jobs at once wait for it 2 ms longer.
NEWS_CLAIMS = 2
#: The first wait after an empty claim; doubles up to the pool's poll interval.
FIRST_POLL = 0.05
#: What counts as the end of a wait; others only make it look at what it is to do.
SOURCES = ("local", "push", "poll")
#: Seconds between two steps without anything to claim.
RESTS = 1.0
#: A job that push has not announced for this long counts as missed by it.
PUSH_TIME = timedelta(seconds=0.25)


class Fetcher(Service):
    """Claims jobs while there is room for them, and waits for news while there are none.

    What it claims may be changed by others at any time. They wake it; a claim
    that is on its way then is gone through again when it has been answered.

    Fields: `_poll`, `_woken_by`, `_singles`, `_served`, `_all_told` and `_unknown` belong to the
    thread; `waiting`, `answered` and `looked_at` are bools and a float that others read, `_source`
    a str that they set before the event.
    """

    def __init__(
        self,
        config: PoolConfig,
        serving: Serving,
        store: Store,
        held: HeldJobs,
        give_back: GivingBack,
        queue: ClaimedQueue,
        workers: Workers,
        rooms: Rooms,
        sift: Sifting,
        observer: Observer,
        *,
        starts: Starts,
        fenced: Callable[[], bool],
        fetched: Callable[[], None],
        idle: Callable[[], None],
        pushed_since: Callable[[], datetime | None],
        middleware: Chain | None = None,
        holder: str = "",
    ) -> None:
        super().__init__(f"{config.name}-fetcher", observer, store.trouble)
        self.waiting = False
        #: Whether any claim got an answer yet.
        self.answered = False
        #: When a claim last got an answer, or there was no room for one.
        self.looked_at = time.monotonic()
        self.drained = Flag()
        self._all_told = False
        self._config = config
        self._serving = serving
        self._served = serving.now
        self._store = store
        self._held = held
        self._give_back = give_back
        self._queue = queue
        self._workers = workers
        self._rooms = rooms
        self._sift = sift
        self._starts = starts
        self._fenced = fenced
        self._fetched = fetched
        self._idle = idle
        self._pushed_since = pushed_since
        self._middleware = middleware
        self._holder = holder
        self._gated = store.gated()
        self._strategy = Turns(store.strategy(config.strategy), self._gated)
        self._for_news = Turns(store.strategy("single"), self._gated)
        self._unknown: list[Unknown] = []
        self._room = Flag()
        self._news = Flag()
        self._source = "poll"
        self._woken_by: str | None = None
        self._singles = 0
        self._poll = FIRST_POLL

    def start(self) -> None:
        """As `Service.start`."""
        self.looked_at = time.monotonic()
        super().start()

    def wake(self, source: str = "stop") -> None:
        """Say that there may be new jobs. Threads: any."""
        if not self._news.is_set():
            self._source = source
            self._news.set()
        self._room.set()

    def make_room(self) -> None:
        """Say that the queue may have room again. Threads: any."""
        if not self._room.is_set():
            self._room.set()

    def run_once(self) -> None:
        """Claim once if there is room, else wait for room; wait for news after a claim that took the last."""
        self._room.clear()
        self._news.clear()  # before the claim, so that news during it are not missed
        if self.stopping:  # the word to stop may have come before the two lines above
            return
        self._store.ready()
        self._disown()
        if self._serving.now is not self._served:
            self._turn_to_others()
        if not self._served.claimed:
            self._rest()
            return
        room = self._rooms.next()
        if room.jobs and self._for_one:
            room = self._rooms.one()
        fenced = self._fenced()
        if not room.jobs or fenced:
            if not fenced:
                self.looked_at = time.monotonic()  # busy is not deaf
            self._wait_for_room()
            return
        claimed = self._claim(room)
        self._report_wakeup(claimed)
        if claimed.documents:
            self._poll = FIRST_POLL
            self._all_told = False
        if self._gated.expired:
            self._reap()
        elif claimed.drained:
            self._wait_for_news()

    def freed(self, gone: list[Held]) -> None:
        """Hear which jobs are held no more: others may have waited for their places. Threads: any."""
        gates = self._served.gates
        if gates is None:
            return
        waited = False
        for held in gone:
            gate, key = gates.get(held.type), held.document.get("key")
            if gate is not None and key is not None:
                waited |= self._gated.freed(gate.owner, key)
        if waited:
            self.wake("place")

    def _reap(self) -> None:
        """Take back what holds the places of a limit although its lease is over; it counts until then."""
        self._gated.reopen()
        reap(self._store, self.observer)

    def _turn_to_others(self) -> None:
        """Take note that others are to be claimed now, and let go of what came meanwhile and is not."""
        self._served = self._serving.now
        self._sift()
        self._poll = FIRST_POLL
        self._woken_by = None  # nobody had to tell it of jobs that it did not want

    def _rest(self) -> None:
        """Wait while there is nothing to be claimed: everything is paused, or was removed."""
        self.answered, self.looked_at = True, time.monotonic()
        if not len(self._held):
            self.drained.set()
        self._woken_by = None
        self.observer.rested(self._config.name)
        self._news.wait(max(0.0, min(RESTS, self._until_disowned())))

    def at_end(self) -> None:
        """Try once more to give back what nobody knows of; a stop may be over before the last claim is."""
        left = [*self._unknown, *self._strategy.unknown, *self._for_news.unknown]
        if left:
            try:
                self._store.transitions.disown(left, timeout=END_TIME)
            except StoreError as error:
                logger.warning(
                    "pool %s: a claim was not answered (%s), and what it may have started is not given back; it "
                    "comes back by its lease, and may count as attempted",
                    *(shown(self._config.name, LISTED), error.kind),
                )

    @property
    def _for_one(self) -> bool:
        """Whether to look for one job, in one trip instead of three: there are news, and somebody waits."""
        return self._singles > 0

    def _disown(self) -> None:
        """Give back what an earlier claim may have started without our learning of it.

        At once, and again when the server does not apply that claim any more:
        it may have been on its way behind the first time.
        """
        for strategy in (self._strategy, self._for_news):
            if strategy.unknown:
                self._store.transitions.disown(strategy.unknown)
                self._unknown += strategy.unknown
                strategy.unknown.clear()
        now = time.monotonic()
        over = [unknown for unknown in self._unknown if unknown.until <= now]
        if over:
            self._store.transitions.disown(over)
            self._unknown = [unknown for unknown in self._unknown if unknown.until > now]

    def _wait_for_room(self) -> None:
        began = time.monotonic()
        self._room.wait(0.5)
        self.observer.fetcher_blocked(self._config.name, time.monotonic() - began)
        self._return_stale()

    def _return_stale(self) -> None:
        """Release queued jobs that wait too long: they were taken when jobs ran faster.

        Others may run them meanwhile; a quarter of the lease is long enough
        to be sure and short enough to leave most of it.
        """
        now = time.monotonic()
        patience = self._config.lease / 4
        stale = self._queue.take(lambda held: now - held.queued_at > patience)
        if self._workers.ready and now - self._workers.taken_at > patience:
            stale += self._workers.recall()
        self._give_back(stale)

    def _claim(self, room: Room) -> Claimed:
        """Claim and accept what there is room for. If there are more than the news, the next call follows."""
        config, served = self._config, self._served
        strategy = self._for_news if self._for_one else self._strategy
        self._singles = max(0, self._singles - 1)
        starts = served.rules if room.starts else None
        request = Request(served.plain, room.jobs, config.name, config.lease, starts, served.gates, self._holder)
        began = time.monotonic()
        try:
            claimed = strategy.claim(request)
        except StoreError as error:
            self.observer.claimed(config.name, "error", 0, 0, self._strategy.factor)
            if isinstance(error, StoreRefused):
                self._store.forget()  # the collection may have been dropped, and its indexes with it
            raise
        self.answered, self.looked_at = True, time.monotonic()
        if claimed.documents and strategy is self._strategy:
            self._rooms.observe(self.looked_at - began)
        self._accept(claimed)  # before it is told: metrics that block must not keep it from the heartbeat
        won = len(claimed.documents)
        self.observer.claimed(
            config.name, claimed.result(room.jobs), won, claimed.conflicts, self._strategy.factor
        )
        return claimed

    def _accept(self, claimed: Claimed) -> None:
        """Queue what was won, or release it if the pool has begun to stop meanwhile."""
        if not claimed.documents:
            return
        jobs = holding(claimed, self._config.name)
        if foreign := len(claimed.documents) - len(jobs):
            self.observer.leases_lost(self._config.name, "queued", foreign)
            logger.warning(
                "pool %s: %d documents that somebody else wrote look like due jobs and are none; they are left "
                "alone until their leases end, and jobpool doctor tells which",
                *(shown(self._config.name, LISTED), foreign),
            )
        self._starts.claim(len(jobs))
        self._held.add(jobs)  # before the queue: from there on others may finish them
        if self._middleware is not None:
            self._middleware.claimed(jobs)  # before anybody can run them
        if self._serving.now is not self._served:
            jobs = self._wanted(jobs)
        if claimed.started and self._queue.pass_by(jobs, self._workers.hand):
            tell_started(self._config.name, self._store, self.observer, self._starts, jobs)
        elif not claimed.started and self._queue.put(jobs):
            self._fetched()
        else:
            self._give_back(jobs)

    def _wanted(self, jobs: list[Held]) -> list[Held]:
        """Return those that are still to be claimed, and give the others back."""
        wanted = self._serving.now.wanted
        self._give_back([held for held in jobs if held.type not in wanted])
        return [held for held in jobs if held.type in wanted]

    def _wait_for_news(self) -> None:
        held_back = self._served.gates is not None and self._gated.waits
        if not self.drained.is_set() and not len(self._held) and not held_back:
            self._drained()
        self.waiting = True
        self._idle()
        try:
            again_in = self._gated.again_in if held_back else inf
            woken = self._wait(min(self._poll * jitter(), self._until_disowned(), again_in))
        finally:
            self.waiting = False
        self._woken_by = self._source if woken else "poll"
        self._singles = NEWS_CLAIMS if self._woken_by in ("local", "push") else 0
        # News that found nothing may be ahead of our clock: look again soon.
        self._poll = FIRST_POLL if woken else min(self._poll * 2, self._config.poll_interval)

    def _drained(self) -> None:
        """Say that nothing is left to do, if those who waited for what ran here were told before the last claim.

        The resolver tells them as well, at any time: a claim before that shows nothing.
        """
        if self._all_told:
            self.drained.set()
        else:
            self._all_told = not resolve_all(self._store)
            self._store.clock.forget()  # by its estimate what was let go just now might not be due yet

    def _until_disowned(self) -> float:
        """Return in how many seconds something has to be disowned again."""
        return min((unknown.until for unknown in self._unknown), default=inf) - time.monotonic()

    def _wait(self, seconds: float) -> bool:
        """Wait for news, in slices so that a long wait is seen to be alive; return whether some came."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopping:
            if self._news.wait(min(left, 1.0)):
                return True
            self.advanced_at = time.monotonic()
        return False

    def _report_wakeup(self, claimed: Claimed) -> None:
        source, self._woken_by = self._woken_by, None
        if source in SOURCES and not self.stopping:
            missed = self._missed(claimed) if source == "poll" else 0
            self.observer.woken(self._config.name, source, missed)

    def _missed(self, claimed: Claimed) -> int:
        """Count jobs that a poll found although push should have told of them."""
        since = self._pushed_since()
        if since is None or not claimed.documents:
            return 0
        until = self._store.clock.now() - PUSH_TIME
        return sum(
            document["fence"] == 1
            and "key" not in document  # such a one may have waited for its turn
            and isinstance(created := document.get("created_at"), datetime)  # others may write anything there
            and isinstance(document["run_at"], datetime)
            and document["run_at"] <= created
            and since < created < until
            for document in claimed.documents
        )
