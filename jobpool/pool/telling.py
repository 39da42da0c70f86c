"""What the observer is told when jobs start."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ..observer import Observer
from ..store import Store
from .held import Held


def tell_started(pool: str, store: Store, observer: Observer, jobs: Iterable[Held]) -> None:
    """Tell for each job how long it waited: since it was due, and in the queue. Asks the server nothing."""
    now = time.monotonic()
    for held in jobs:
        observer.started(pool, held.type, store.clock.since(held.document["run_at"]), now - held.queued_at)
