"""Who is told when jobs start."""

from __future__ import annotations

import time
from collections.abc import Collection

from ..observer import Observer
from ..store import Store
from .held import Held
from .tally import Starts


def tell_started(pool: str, store: Store, observer: Observer, starts: Starts, jobs: Collection[Held]) -> None:
    """Count the jobs, and tell for each how long it waited: since it was due, and in the queue.

    Asks the server nothing.
    """
    starts.begin(jobs)
    now = time.monotonic()
    for held in jobs:
        observer.started(pool, held.type, store.clock.since(held.document["run_at"]), now - held.queued_at)
