"""The job in hand in a child process."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..current import Alarm, Desk
from ..errors import JobpoolError
from ..progress import Reporter


class SpanIds(NamedTuple):
    """The ids of the span of the attempt, which is the parent's."""

    trace_id: str
    span_id: str


class ChildJob:
    """The job in hand, made of what the parent told of it; see `jobpool.current.HeldJob`.

    The claim stays with the parent, which kills this process when it is lost,
    cancelled or timed out: nothing is told here. Without a desk, what has to
    reach the pool (progress, checkpoints, waits) is refused by `CurrentJob`.
    """

    def __init__(self, data: Any, facts: dict[str, Any]) -> None:
        self.document = {**facts, "_id": facts["id"], "data": data}
        self.pool: str = facts["pool"]
        self.attempt: int = facts["attempt"]
        trace, span = facts.get("trace_id"), facts.get("span_id")
        self.span = SpanIds(trace, span) if trace and span else None
        self.lost = False
        self.deadline = math.inf
        self.told: JobpoolError | None = None
        self.desk: Desk | None = None
        self.reporter: Reporter | None = None
        self.alarm: Alarm | None = None
