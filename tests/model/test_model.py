"""Every state of the model keeps the invariants; every mistake in the rules breaks one."""

from __future__ import annotations

import pytest

from ..faults.report import FaultReport
from .bugs import BUGS, Bug
from .model import Scope
from .rules import Rules
from .search import Event, Found, Search

#: By what they look into: (a short run, the full one).
SCOPES = {
    "one job": (Scope(jobs=1, faults=3, drains=0), Scope(jobs=1, faults=4, drains=0)),
    "one job, drained": (Scope(jobs=1, faults=2), Scope(jobs=1, faults=3)),
    "begun": (
        Scope(jobs=1, faults=2, claims=2, drains=0, begins=True),
        Scope(jobs=1, faults=3, begins=True),
    ),
    "snoozed and cancelled": (
        Scope(jobs=1, faults=1, drains=0, cancels=True, snoozes=2),
        Scope(jobs=1, faults=3, cancels=True, snoozes=2),
    ),
    "snoozed and cancelled, two faults": (
        Scope(jobs=1, faults=2, claims=2, drains=0, cancels=True, snoozes=1),
        Scope(jobs=1, faults=3, claims=2, drains=0, cancels=True, snoozes=1),
    ),
    "begun, snoozed and cancelled": (
        Scope(jobs=1, faults=2, claims=2, drains=0, begins=True, cancels=True, snoozes=1),
        Scope(jobs=1, faults=3, claims=2, begins=True, cancels=True, snoozes=1),
    ),
    "two jobs": (Scope(jobs=2, faults=1, claims=2, drains=0), Scope(jobs=2, faults=1, claims=2)),
}
CALLS = ("start", "finish", "release")
ACTIONS = {
    *("claim", "claim, answer delayed", "claim, answer lost", "claim delayed", "claim answered late"),
    *(f"{call}{end}" for call in CALLS for end in ("", ", twice", ", answer lost", " delayed")),
    *(f"late {request} arrives" for request in ("claim", "extend", *CALLS)),
    *("call executor", "executor returns", "executor raises", "late", "extend", "extend delayed", "expire"),
    *("reap claimed to pending", "reap running to pending", "reap running to failed"),
    *("crash", "pause", "isolate", "heal", "failover"),
}
BEGUN = {
    *("begin", "begin, answer lost", "begin delayed", "late begin arrives", "late begin refused"),
    *(f"disown{end}" for end in ("", ", twice", ", answer lost", " delayed", " nothing")),
}
CANCELS = {
    *(f"cancel{end}" for end in ("", ", twice", ", answer lost", " delayed")),
    *("late cancel arrives", "reap running to cancelled"),
}
SNOOZES = {"executor snoozes"}
#: Where the mistakes are looked for: a layer is searched before the next, so the nearest comes first.
NEAR = Scope(jobs=1, faults=3)
NEAR_BEGUN = Scope(jobs=1, faults=3, begins=True)
NEAR_LIFE = Scope(jobs=1, faults=2, cancels=True, snoozes=2)


def story(way: list[Event]) -> str:
    return " -> ".join(map(str, way))


@pytest.mark.fault("F62")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_f62_no_state_breaks_an_invariant(scope: tuple[Scope, Scope], fault: FaultReport) -> None:
    scope_now = fault.length(*scope)
    found = Search(Rules(), scope_now).run()
    assert {name: story(way) for name, way in found.broken.items()} == {}
    expected = ACTIONS | ({"drain"} if scope_now.drains else set()) | (BEGUN if scope_now.begins else set())
    new = (CANCELS if scope_now.cancels else set()) | (SNOOZES if scope_now.snoozes else set())
    # An action that is never taken would make the rest say nothing.
    required = expected if scope_now.claims > 2 and scope_now.faults > 1 else set()
    expected |= new
    assert required | new <= set(found.actions) <= expected
    fault.struck(found.faults, "crashes, pauses, isolations, passed deadlines, lost, late and doubled messages")
    fault.figure("states", found.states)
    fault.figure("depth", found.depth)
    fault.figure("actions reached", f"{len(found.actions)} of {len(expected)}")


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_the_search_finds_the_mistake(bug: Bug) -> None:
    found = searched_for(bug)
    assert bug.breaks in found.broken, f"nothing breaks {bug.breaks}, though {bug.how}"
    print(f"{bug.breaks}: {bug.how}: {story(found.broken[bug.breaks])}")


def searched_for(bug: Bug) -> Found:
    begun = not (bug.rules.begin_disowned and bug.rules.begin_bounded)
    scope = NEAR_LIFE if bug.rules.of_cancels_or_snoozes else NEAR_BEGUN if begun else NEAR
    return Search(bug.rules, scope).run(until=bug.breaks)


def test_the_mistakes_cover_every_invariant() -> None:
    assert {bug.breaks for bug in BUGS.values()} == {"I2", "I3", "I4", "I5", "I5 count", "I6", "I8"}


def test_a_late_call_of_an_executor_costs_no_more_than_the_overlap() -> None:
    """Between the look at the deadline and the call a process may be paused: attempts are counted all the same."""
    found = Search(Rules(deadline_before_call=False), Scope(jobs=1, faults=2, drains=0)).run()
    assert set(found.broken) == {"I3"}
