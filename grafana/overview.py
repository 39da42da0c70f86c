"""The overview: an operator's questions in the first row, and below what to look at next."""

from __future__ import annotations

from .dashboard import dashboard, variables
from .panels import Json
from .rows_now import now
from .rows_pools import contention, saturated, store
from .rows_work import flow, latency, types


def overview() -> Json:
    """Return the dashboard."""
    return dashboard(
        "jobpool-overview",
        "jobpool / Overview",
        "Is work waiting and getting old, when will it drain, who fails with what, are pools saturated, starved, "
        "deaf, or in each other's way.",
        variables(),
        [now(), flow(), latency(), saturated(), contention(), store(), types()],
    )
