"""Jobs that wait for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from ..job import FINAL
from ..phrases import duration, moment, several
from .answer import Reason
from .ended import argument, expires
from .pending import not_due, paused
from .phrasing import MOST, brief, of_job
from .pools import nobody
from .situation import Other, Situation

#: Seconds after which pools link a job whose creator died; see `store.linking`.
LINKED_AFTER = 10.0
_FINAL = frozenset(state.value for state in FINAL)
MISSING = "missing"


def waiting(situation: Situation) -> Iterator[Reason]:
    """Yield what holds up a job that waits, and what will after that; at least one."""
    ids = [id for id in situation.items("waits_for") if isinstance(id, str)]
    if not ids:
        yield Reason(
            "malformed",
            "it waits, and nothing says for which jobs: somebody else wrote that",
            f"remove it and create it anew: jobpool remove {argument(situation.id)}",
            {"wrong": {"waits_for": "names no job"}},
        )
        return
    yield _waits(situation, ids)
    if (since := situation.instant("linking")) is not None:
        yield _linking(situation, since)
    for later in (not_due(situation), paused(situation), nobody(situation), expires(situation)):
        if later is not None:
            yield later


def _linking(situation: Situation, since: datetime) -> Reason:
    age = situation.since(since)
    if age < 0:  # what failed of others is retried with a link to be made later
        text = f"it was retried, and waits {duration(-age)} more for jobs it failed of to be retried as well"
        remedy = "retry those too; if they have failed by then, so does it"
    else:
        text = f"its link with the jobs that it waits for has been in the making for {duration(age)}"
        remedy = (
            f"it takes milliseconds; if its creator died there, pools finish it after {duration(LINKED_AFTER)}"
        )
    remedy += "" if situation.alive else "; no pool is alive to do so: start one"
    return Reason("linking", text, remedy, {"since": since, "seconds": age, "pools_alive": len(situation.alive)})


def _waits(situation: Situation, ids: list[str]) -> Reason:
    others = situation.others
    states = Counter(MISSING if other.state is None else brief(other.state, 40) for other in others)
    open_ones = [other for other in others if other.state is not None and other.state not in _FINAL]
    missing = [other.id for other in others if other.state is None]
    all_after = [id for id in situation.items("after") if isinstance(id, str)]
    shown_first = sorted(others, key=lambda other: (other.state in _FINAL, other.state is None))
    facts = {
        "waits_for": len(ids),
        "after": len(all_after) or len(ids),
        "states": dict(states),
        "looked_at": len(others),
        "jobs": [{"id": other.id, "type": other.type, "state": other.state} for other in shown_first[:MOST]],
        "missing": missing[:MOST],
        "on_failure": situation.text("on_failure") or "fail",
    }
    if not open_ones and len(others) == len(ids):
        return _all_ended(situation, others, facts)
    counts = ", ".join(f"{number:,} {state}" for state, number in states.most_common())
    some = f" of the first {len(others):,}" if len(others) < len(ids) else ""
    of = f" of {len(all_after):,}" if len(all_after) > len(ids) else ""
    text = f"it waits for {several(len(ids), 'job')}{of} to end: {counts}{some}"
    if len(open_ones) == 1:
        only = open_ones[0]
        text = f"it waits for job {of_job(only.id)} to end, which is {brief(str(only.state), 40)}"
    first = open_ones[0].id if open_ones else ids[-1]
    return Reason("waits_for", text, f"see what holds that up: jobpool why {argument(first)}", facts)


def _all_ended(situation: Situation, others: tuple[Other, ...], facts: dict[str, object]) -> Reason:
    ill = [other for other in others if other.state != "succeeded"]
    fails = ill and facts["on_failure"] == "fail"
    some = ", ".join(of_job(other.id) for other in ill[:3]) + (" and others" if len(ill) > 3 else "")
    then = f"it fails then, as {some} did not succeed" if fails else "it is due then"
    facts["pools_alive"] = len(situation.alive)
    if situation.alive:
        return Reason(
            "to_be_told",
            f"the jobs that it waits for have ended, and a pool tells it so in a moment: {then}",
            "ask again in some seconds; where one was removed, or deleted by MongoDB, it may take minutes",
            facts,
        )
    seen = max((pool.seen_at for pool in situation.pools if pool.seen_at is not None), default=None)
    last = "" if seen is None else f" (the last was heard of at {moment(seen)})"
    return Reason(
        "to_be_told",
        f"the jobs that it waits for have ended, and no pool is alive to tell it{last}: {then}",
        "start a pool, of whatever types: jobpool worker MODULE:MANAGER",
        facts,
    )
