"""The recorder: writes outcomes, many at a time, until the store has them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from ..current import log_fields
from ..data import ENCODING_ERRORS
from ..errors import OutcomeRefused, StoreUnavailable
from ..logs import bounded_logger_of
from ..middleware import Chain
from ..names import LISTED, bounded, listed, shown
from ..observer import Observer
from ..outcome import MAX_ERROR_BYTES, Finish, Outcome, describe
from ..store import Store
from ..store.apart import is_conflict
from .completion import completed, settle
from .held import Held, HeldJobs
from .pace import Pace
from .reports import Reports
from .service import FIRST_PAUSE, Service, jitter
from .tally import Tally

logger = bounded_logger_of(__name__)

#: Outcomes in one command. While one group is written the next gathers, so the size finds itself.
GROUP = 500
#: A step that finds nothing takes this many seconds: as much later may a report come.
STEP = 0.5
#: Seconds until a job is looked at again that its executor has left in an open transaction.
LOOK_EVERY = 0.2
#: A stop whose time is over still tries once for this many seconds to record what there is.
LAST_TRY = 0.5
#: What says that an outcome itself cannot be stored: the server's word, or the encoder's for a
#: result that another thread changed after it was checked.
UNSTORABLE = (OutcomeRefused, *ENCODING_ERRORS)


@dataclass(frozen=True, slots=True)
class Record:
    """An outcome on its way to the store; `duration` is the executor's run time in seconds."""

    held: Held
    finish: Finish
    duration: float

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended."""
        return self.finish.outcome


class Recorder(Service):
    """Takes outcomes from the workers and records them under their claims.

    A group that cannot be written is kept and written again until the store
    has answered for it: dropping it would run jobs again that were done.

    What executors report while they run is written here as well; outcomes go first.

    Attempts that completed their jobs in transactions of their own are looked at one by
    one: nothing may wait for a transaction that its executor has left open.

    Fields: `_kept`, `_size`, `_completed`, `_look_at` and `_deadline` belong to the thread (and to `flush` after
    its end); `_incoming` is a queue.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        held: HeldJobs,
        pace: Pace,
        observer: Observer,
        done: Callable[[], None],
        middleware: Chain | None = None,
        followed: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(f"{name}-recorder", observer, store.trouble)
        self._followed = followed
        self._pool = name
        self._store = store
        self._held = held
        self._pace = pace
        self._done = done
        self._middleware = middleware
        self._incoming: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self.reports = Reports(store)
        self.tally = Tally()
        self._kept: list[Record] = []
        self._size = GROUP
        self._completed: list[Record] = []
        self._look_at = 0.0
        self._deadline: float | None = None

    def put(self, record: Record) -> None:
        """Hand over an outcome; never waits. Threads: the workers."""
        self._incoming.put(record)

    def wake(self) -> None:
        """Let a waiting step return."""
        self._incoming.put(None)

    @property
    def backlog(self) -> int:
        """How many outcomes are not recorded yet."""
        return self._incoming.qsize() + len(self._kept) + len(self._completed)

    def run_once(self) -> None:
        """Wait for outcomes and record a group of them."""
        if not self._kept:
            self._kept = self._gather()
        if self._kept:
            self._record_part()
            self._done()
        if self._completed and time.monotonic() >= self._look_at:
            self._settle_completed()
            self._done()
        self.reports.write()

    def _record_part(self) -> None:
        """Record the head of what is kept; less of it after every time that no answer came."""
        part = self._kept[: self._size]
        plain: list[Record] = []
        own: list[Record] = []  # completed in transactions of their own
        for record in part:
            (plain if record.held.completion is None else own).append(record)
        try:
            if plain:
                self._record(plain)
        except StoreUnavailable:
            # Perhaps its bytes do not get through within the time limit.
            self._size = max(1, len(part) // 2)
            raise
        self._kept = self._kept[len(part) :]
        self._completed += own
        self._size = min(self._size * 2, GROUP)

    def _settle_completed(self) -> None:
        """Find out how those ended that called `complete`; one whose transaction is open is looked at later."""
        if len(self._completed) > 1:
            self._count_completed()
        left: list[Record] = []
        self._look_at = time.monotonic() + LOOK_EVERY
        try:
            while self._completed:
                record = self._completed[0]
                try:
                    self._settle(record)
                except StoreUnavailable as error:
                    if not is_conflict(error):
                        raise
                    left.append(record)
                del self._completed[0]
        except BaseException:
            self._look_at = 0.0  # the pause after an error is enough
            left.append(self._completed.pop(0))  # it is to keep no others waiting next time
            raise
        finally:
            self._completed += left

    def _count_completed(self) -> None:
        """Count those that have succeeded for certain, at one look: most have."""
        quiet = [record.held.claim for record in self._completed if record.finish.report is None]
        done = self._store.completing.completed(quiet, timeout=self._time_left())
        group, rest = [], []
        for record in self._completed:
            completion = record.held.completion
            if completion is None or record.held.claim not in done:
                rest.append(record)
            else:
                group.append(replace(record, finish=completed(record.held, record.finish, completion)))
        self._completed = rest
        self._count(group, ())

    def _settle(self, record: Record) -> None:
        held, completion = record.held, record.held.completion
        assert completion is not None
        try:
            stands, ours = settle(self._store, held, record.finish, completion, self._time_left())
        except UNSTORABLE as error:
            logger.error(
                "the outcome of job %s cannot be stored (%s); its lease ends the job",
                *(shown(held.claim.id), type(error).__name__),
                extra=log_fields(held),
            )
            stands, ours = record.finish, False
        refused = set() if ours else {held}
        self._count([replace(record, finish=stands)], refused)
        self._warn(refused)

    def _gather(self) -> list[Record]:
        group: list[Record] = []
        try:
            item = self._incoming.get(timeout=STEP)
            while True:
                if item is not None:
                    group.append(item)
                if len(group) >= GROUP:
                    break
                item = self._incoming.get_nowait()
        except queue.Empty:
            pass
        return group

    def _record(self, group: list[Record]) -> None:
        finishes = [record.finish for record in group]
        try:
            applied = self._store.transitions.finish(finishes, timeout=self._time_left())
        except UNSTORABLE as error:
            self._isolate(group, error)
            return
        refused = {record.held for record in group if record.held.claim not in applied}
        self._count(group, refused)
        self._warn(refused)

    def _warn(self, refused: Collection[Held]) -> None:
        news = [held.claim.id for held in refused if not held.lost]
        if news:
            logger.warning(
                "pool %s lost the claims of %d jobs while they ran: they were reaped or claimed again, or are not "
                "there any more; these outcomes are refused, others may follow: %s",
                *(shown(self._pool, LISTED), len(news), listed(news)),
            )

    def _count(self, group: list[Record], refused: Collection[Held]) -> None:
        """Let the claims of `group` go and count each once: here, unless a stop abandoned it before."""
        gone = self._held.remove(record.held for record in group)
        there = set(gone)
        ours = group if len(gone) == len(group) else [record for record in group if record.held in there]
        for record in ours:
            self._pace.observe(record.held.type, record.duration)
            name, failed = record.outcome.name, record.outcome.error
            if refused and record.held in refused:
                name = "lost"
            else:
                self.tally.count(record.held.type, record.duration)
            self.observer.finished(record.held.type, name, record.duration, failed.type if failed else None)
            if record.held.span is not None:
                record.held.span.settled(name)
            if record.outcome.final and name != "lost":
                self.observer.completed(record.held.type, self._store.clock.since(record.held.due_at))
                if self._followed is not None and "followed" in record.held.document:
                    self._followed()
        news = sum(not held.lost for held in gone if held in refused) if refused else 0
        if news:  # of the others the heartbeat has told while they ran
            self.observer.leases_lost(self._pool, "finishing", news)
        if self._middleware is not None:
            self._tell(self._middleware, ours, refused)

    def _tell(self, middleware: Chain, group: list[Record], refused: Collection[Held]) -> None:
        for record in group:
            name = "lost" if record.held in refused else record.outcome.name
            middleware.finished(record.held, record.outcome, name, record.duration)

    def _isolate(self, group: list[Record], error: Exception) -> None:
        """Record one by one what could not be recorded together, and less of the culprit.

        Its attempt is over, and no repeat would make its outcome storable.
        Kept for another try, it would keep all others from being recorded.
        """
        if len(group) > 1:
            for record in group:
                self._record([record])  # what stands already is recognised
            return
        record, held = group[0], group[0].held
        less, what = _less(record, error)
        logger.error(
            "the outcome of job %s cannot be stored (%s); %s: return less, or other values",
            *(shown(held.claim.id), type(error).__name__, what),
            extra=log_fields(held),
        )
        if less is None:
            self._count([record], {held})
        else:
            self._record([Record(held, replace(record.finish, outcome=less, report=None), record.duration)])

    def flush(self, deadline: float) -> None:
        """Record what is there, after the thread ended, until the deadline; the rest stays held."""
        self._deadline = deadline
        try:
            self._flush(deadline)
        finally:
            self._trouble.left(self)

    def _flush(self, deadline: float) -> None:
        pause = threading.Event()
        while True:
            self._kept = self._kept or self._left()
            if not (self._kept or self._completed):
                return
            if not self.step() or self._completed:
                if time.monotonic() >= deadline:
                    return
                pause.wait(FIRST_PAUSE * jitter())

    def _time_left(self) -> float | None:
        """Return the limit of a write while stopping: what is left, but enough for one try."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), LAST_TRY)

    def _left(self) -> list[Record]:
        records = []
        while not self._incoming.empty():
            item = self._incoming.get_nowait()
            if item is not None:
                records.append(item)
        return records


def _less(record: Record, error: Exception) -> tuple[Outcome | None, str]:
    """Return what to record in place of an outcome that cannot be stored, if anything, and a word about it."""
    outcome, held = record.outcome, record.held
    if record.finish.report is not None:
        return outcome, "it is tried again without what its executor reported last"
    if outcome.error is not None:
        return None, "not even its error, so that its lease ends the job"
    if outcome.result_error is not None:  # the collection has rules of its own
        return Outcome(error=describe(error, held.attempt)), "the job fails with that error"
    why = f"{type(error).__name__}: {bounded(str(error), MAX_ERROR_BYTES)}"
    return Outcome(result_error=why), "the job succeeds without its result"
