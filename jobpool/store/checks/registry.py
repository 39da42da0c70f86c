"""All checks, by subject."""

from __future__ import annotations

from . import (
    clocks,
    collection,
    documents,
    held,
    indexes,
    limits,
    plans,
    pools,
    schedules,
    server,
    settings,
    topology,
    waiting,
)
from .check import Check

#: All of them, in the order in which they are made and shown.
CHECKS: tuple[Check, ...] = tuple(
    check
    for subject in (
        server,
        topology,
        collection,
        indexes,
        plans,
        clocks,
        documents,
        held,
        waiting,
        pools,
        limits,
        schedules,
        settings,
    )
    for check in subject.CHECKS
)
