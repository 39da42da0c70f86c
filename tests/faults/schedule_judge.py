"""Judges what schedules fired, by the server's own history.

Beside the invariants of `checker`:

- I13 a due time of a schedule makes at most one job, ever, and none while the schedule is paused or is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jobpool.schedules import schedule_in

from .oplog import Change, changes_of
from .processes import Run
from .violation import Violation


def judge_schedules(run: Run) -> Iterator[Violation]:
    """Yield the violations in the server's own history."""
    jobs, schedules = f"{run.database}.jobs", f"{run.database}.jobs.schedules"
    yield from judge(changes_of(run.client, [jobs, schedules]), schedules)


def judge(changes: Iterable[tuple[str, Change]], schedules: str) -> Iterator[Violation]:
    """Yield the violations in changes to jobs and to the collection `schedules`, in their order."""
    stored: dict[str, Mapping[str, Any] | None] = {}
    fired: set[str] = set()
    for namespace, change in changes:
        if namespace == schedules:
            stored[change.id] = change.after
        elif change.before is None and (name := schedule_in(change.id)) is not None:
            if change.id in fired:
                yield Violation("I13", change.id, "was made by its schedule a second time")
            fired.add(change.id)
            if fault := _fault(change.id, stored.get(name)):
                yield Violation("I13", change.id, fault)


def _fault(id: str, schedule: Mapping[str, Any] | None) -> str | None:
    if schedule is None:
        return "was made though its schedule is not there"
    if schedule.get("paused"):
        return "was made though its schedule is paused"
    last = (schedule.get("last") or {}).get("job")
    return None if last == id else f"was made, and its schedule remembers {last}"
