"""Held jobs as a claim would make them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jobpool.pool.held import Held, Stage

DUE = datetime(2026, 11, 27, 12, tzinfo=UTC)


def held(id: str, *, fence: int = 1, token: str = "token", stage: Stage = Stage.QUEUED, **fields: Any) -> Held:
    document = {
        "_id": id,
        "type": "t",
        "data": None,
        "fence": fence,
        "attempts": 0,
        "max_attempts": None,
        "run_at": DUE,
    }
    job = Held(document | fields, token, deadline=1000.0, queued_at=0.0)
    job.stage = stage
    return job
