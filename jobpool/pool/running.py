"""The path of a job through the worker threads."""

from __future__ import annotations

import time

from ..current import log_fields
from ..logs import bounded_logger_of
from ..names import shown
from .attempt import run_attempt
from .coroutines import Coroutines
from .giving_back import GivingBack
from .held import Held, HeldJobs, Stage
from .host import Host
from .recorder import Record, Recorder

recurring = bounded_logger_of(__name__)


class Running:
    """Runs started jobs. Threads: the workers, each with a job of its own; no state."""

    def __init__(
        self,
        name: str,
        host: Host,
        held: HeldJobs,
        give_back: GivingBack,
        coroutines: Coroutines,
        recorder: Recorder,
    ) -> None:
        self._pool = name
        self._host = host
        self._held = held
        self._give_back = give_back
        self._coroutines = coroutines
        self._recorder = recorder

    def __call__(self, held: Held) -> None:
        """Run one job on the calling worker thread and hand its outcome to the recorder."""
        began = held.running_since
        if began >= held.deadline or not self._held.begin(held):
            self._lost_before(held)
            return
        try:
            outcome = run_attempt(held, self._host, self._coroutines)
            held.stage = Stage.FINISHING
            self._recorder.put(Record(held, outcome, time.monotonic() - began))
        except BaseException:  # out of memory, say: kept by the heartbeat it would be held for ever
            if self._held.remove([held]):
                self._host.observer.finished(held.type, "lost", time.monotonic() - began, None)
                if not held.lost:
                    self._host.observer.leases_lost(self._pool, "running", 1)
            raise

    def _lost_before(self, held: Held) -> None:
        """Give back a job that is marked running: its executor was not called, so its attempt is not spent."""
        if self._held.lose([held]):
            self._host.observer.leases_lost(self._pool, "queued", 1)
            recurring.warning(
                "job %s: its lease ran out before a thread was free; not run here",
                shown(held.claim.id),
                extra=log_fields(held),
            )
        self._give_back([held])
