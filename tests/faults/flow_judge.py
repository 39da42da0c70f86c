"""Judges what pools have to agree on: the places of limits, and effects in transactions.

Beside the invariants of `checker`:

- I11 of a limited key no more jobs are held at once than its limit says;
- I12 of every job that completed in its transaction there is one effect, of every other none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..gates import by_key, most_held
from .processes import Run
from .violation import Violation


def judge_flow(run: Run) -> Iterator[Violation]:
    """Yield the violations in what is stored and in the server's own history."""
    for name, held in most_held(run.client, f"{run.database}.jobs", by_key).items():
        if isinstance(name, tuple) and name[0] == "tenanted" and held > 1:
            yield Violation("I11", "-", f"{held} jobs of key {name[1]} were held at once")
    effects = Counter(effect["job"] for effect in run.client[run.database]["effects"].find())
    done = {job["_id"] for job in run.jobs.find({"type": "transferred", "state": "succeeded"}, {"_id": 1})}
    for id, times in effects.items():
        if times > 1 or id not in done:
            yield Violation(
                "I12", id, f"has {times} effects and {'succeeded' if id in done else 'did not succeed'}"
            )
    for id in done - effects.keys():
        yield Violation("I12", id, "succeeded without its effect")
