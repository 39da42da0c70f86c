"""The families of the cluster view: what was counted last, shown at every scrape."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..backlog import STATES, Backlog, TypeBacklog, merged
from ..held_back import BY, held_back


@dataclass(frozen=True, slots=True)
class _Count:
    backlog: Backlog
    counted_at: float


class ClusterView(Collector):
    """Keeps the last backlog of each collection of jobs; several on one registry are added up.

    A type that was ever shown stays, with 0: a series that ends cannot be told from one that was never scraped.

    Threads: any; `_lock` guards `_counts` and `_types` (a dict for its order).
    """

    def __init__(self, label: Callable[[str], str]) -> None:
        self._label = label
        self._lock = threading.RLock()
        self._counts: dict[str, _Count] = {}
        self._types: dict[str, None] = {}

    def counted(self, source: str, backlog: Backlog, types: Iterable[str]) -> None:
        """Show `backlog` as that of the collection `source` from now on."""
        with self._lock:
            self._types.update(dict.fromkeys(map(self._label, (*types, *backlog.types))))
            self._counts[source] = _Count(backlog, time.time())

    def forget(self, source: str) -> None:
        """Show the backlog of the collection `source` no more."""
        with self._lock:
            self._counts.pop(source, None)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the families without samples, as a registry asks for at registration."""
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the families as last counted; no samples before the first count."""
        with self._lock:
            counts, types = list(self._counts.values()), list(self._types)
        jobs, kept, oldest, alive, refreshed, seconds = families = self._families()
        if not counts:
            return families
        by_type = self._by_type(counts)
        back = self._held_back(counts)
        for type in types:
            backlog = by_type.get(type, TypeBacklog())
            for state in STATES:
                jobs.add_metric([type, state], getattr(backlog, state))
            for by in BY:
                kept.add_metric([type, by], back[type, by])
            oldest.add_metric([type], backlog.oldest_due_age)
        alive.add_metric([], sum(count.backlog.pools_alive for count in counts))
        refreshed.add_metric([], min(count.counted_at for count in counts))
        seconds.add_metric([], max(count.backlog.seconds for count in counts))
        return families

    def _by_type(self, counts: list[_Count]) -> dict[str, TypeBacklog]:
        parts: dict[str, list[TypeBacklog]] = defaultdict(list)
        for count in counts:
            for type, part in count.backlog.types.items():
                parts[self._label(type)].append(part)
        return {type: merged(several) for type, several in parts.items()}

    def _held_back(self, counts: list[_Count]) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for count in counts:
            for type, numbers in held_back(count.backlog).items():
                found.update({(self._label(type), by): number for by, number in numbers.items()})
        return found

    @staticmethod
    def _families() -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily(
                "jobpool_backlog_jobs",
                "Jobs of the whole cluster that are not done with. due rises for long: start more pools.",
                labels=["type", "state"],
            ),
            GaugeMetricFamily(
                "jobpool_backlog_held_back_jobs",
                "Due jobs that a pause or a full limit of how many run at once holds back. Pause: `jobpool pause` "
                "says why; limit, for long: raise it, or create less.",
                labels=["type", "by"],
            ),
            GaugeMetricFamily(
                "jobpool_oldest_due_age_seconds",
                "How long the oldest due job has waited, 0 when none. Rising: nobody runs its type, or too few.",
                labels=["type"],
            ),
            GaugeMetricFamily(
                "jobpool_pools_alive",
                "Pools of the whole cluster that said lately that they live. Too few: look at your deployment.",
            ),
            GaugeMetricFamily(
                "jobpool_backlog_last_refresh_timestamp_seconds",
                "When the cluster was counted last. Old: MongoDB is away or too slow; the view is out of date.",
            ),
            GaugeMetricFamily(
                "jobpool_backlog_refresh_seconds",
                "How long that count took. Near 5, where it is given up: count in fewer processes, less often.",
            ),
        ]
