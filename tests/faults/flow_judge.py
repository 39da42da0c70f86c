"""Judges what pools have to agree on: the places of limits, and effects in transactions.

Beside the invariants of `checker`:

- I11 of a limited key no more jobs are held at once than its limit says;
- I12 for each time that a job completed in its transaction there is one effect, and no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ..gates import by_key, most_held
from .oplog import Change, changes
from .processes import Run
from .violation import Violation


def judge_flow(run: Run) -> Iterator[Violation]:
    """Yield the violations in what is stored and in the server's own history."""
    for name, held in most_held(run.client, f"{run.database}.jobs", by_key).items():
        if isinstance(name, tuple) and name[0] == "tenanted" and held > 1:
            yield Violation("I11", "-", f"{held} jobs of key {name[1]} were held at once")
    effects = Counter(effect["job"] for effect in run.client[run.database]["effects"].find())
    done = Counter(_completed(changes(run.client, f"{run.database}.jobs")))
    for id in effects.keys() | done.keys():
        if effects[id] != done[id]:
            yield Violation("I12", id, f"has {effects[id]} effects and succeeded {done[id]} times")


def _completed(found: Iterable[Change]) -> Iterator[str]:
    """Yield the ids of jobs of that type, each time that one succeeded: an operator may let it run again."""
    for change in found:
        before, after = change.before, change.after
        if before is None or after is None or after["type"] != "transferred":
            continue
        if before["state"] != "succeeded" == after["state"]:
            yield change.id
