"""Giving back claims whose executor was not called."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import StoreError
from ..store import Store
from .held import Held, HeldJobs

logger = logging.getLogger(__name__)


def give_back(store: Store, held: HeldJobs, jobs: Sequence[Held], *, timeout: float | None = None) -> list[Held]:
    """Release `jobs`, no attempt spent; return those that are left to their leases instead.

    In either case, and before, they leave what is held: were a job that could
    not be released kept by the heartbeat, nobody would ever run it.
    """
    if not jobs:
        return []
    held.remove(job.claim for job in jobs)
    try:
        store.transitions.release([job.claim for job in jobs], timeout=timeout)
    except StoreError as error:
        logger.warning("%d claimed jobs could not be released and come back by their leases: %s", len(jobs), error)
        return list(jobs)
    return []
