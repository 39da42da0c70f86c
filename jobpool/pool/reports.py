"""What running executors report, on its way to the store."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence

from ..data import ENCODING_ERRORS
from ..errors import StoreRefused, StoreUnavailable
from ..logs import bounded_logger_of
from ..progress import Report
from ..store import Store
from .completion import being_completed
from .held import Held, Stage
from .seating import Seated

logger = bounded_logger_of(__name__)

#: Seconds between two writes.
EVERY = 1.0


class Reports:
    """Gathers news of jobs, and writes those of all together at most once a second.

    What an attempt has to say when it ends is written with its outcome.

    Args:
        timeout: Seconds of one write; the store's own limit if None.

    Threads: `news` from any; the others from the one that writes, whose own `_due_at` is.
    """

    def __init__(self, store: Store, *, timeout: float | None = None) -> None:
        self._store = store
        self._timeout = timeout
        self._news: queue.SimpleQueue[Held] = queue.SimpleQueue()
        self._due_at = 0.0

    def news(self, held: Held) -> None:
        """Hear that an executor has something to report; never waits."""
        self._news.put(held)

    def look(self, seated: Sequence[Seated]) -> None:  # noqa: ARG002
        """Write what is due, as a duty of the watchdog; a failure is of no harm there."""
        try:
            self.write()
        except StoreUnavailable as error:
            logger.debug("writing reports failed: %s", error)

    def write(self) -> None:
        """Write the news, if there are any and it is time.

        Raises:
            StoreUnavailable: Unknown which were written. They are news again, if the attempt runs on.
        """
        if self._news.empty() or time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + EVERY
        reports = self._take()
        try:
            if reports:
                news = {held.claim: report for held, report in reports.items()}
                self._store.transitions.report(news, timeout=self._timeout)
        except (StoreRefused, *ENCODING_ERRORS) as error:  # a repeat would be refused as well, and the job goes on
            logger.warning("what %d running jobs report cannot be stored: %s", len(reports), error)
        except StoreUnavailable:
            self._put_back(reports)
            raise

    def _take(self) -> dict[Held, Report]:
        reports: dict[Held, Report] = {}
        later = []
        while not self._news.empty():
            held = self._news.get_nowait()
            if being_completed(held):
                later.append(held)
                continue
            reporter = held.reporter
            if reporter is not None and held.stage is Stage.RUNNING and (report := reporter.take()) is not None:
                reports[held] = report
        for held in later:
            self._news.put(held)
        return reports

    def _put_back(self, reports: dict[Held, Report]) -> None:
        for held, report in reports.items():
            if held.reporter is not None:
                held.reporter.put_back(report)
                self._news.put(held)
