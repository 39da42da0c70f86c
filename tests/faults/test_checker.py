"""The judge sees every kind of violation, and no violation where there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .checker import check
from .history import Event
from .oplog import Change
from .schedule_judge import judge as judge_fired
from .violation import Violation

START = datetime(2026, 1, 1, tzinfo=UTC)
ONE = [["a", "T1"]]
TWO = [["a", "T2"]]


def event(at: float, name: str, pid: int = 1, **fields: Any) -> Event:
    return Event(at, pid, name, fields)


#: The life of one job that is created, claimed, run and finished by process 1.
LIFE = [
    event(1, "create", jobs=[["a", ""]], numbers=[7]),
    event(2, "create-ok", jobs=[["a", ""]], result="inserted"),
    event(3, "claim", jobs=[]),
    event(4, "claim-ok", jobs=ONE, until=14.0),
    event(5, "start", jobs=ONE),
    event(6, "start-ok", jobs=ONE, lost=[]),
    event(7, "entered", id="a", attempt=1, fence=1),
    event(8, "left", id="a", attempt=1),
    event(9, "finish", jobs=ONE, outcomes=["succeeded"]),
    event(10, "finish-ok", jobs=ONE, lost=[], outcomes=["succeeded"]),
    event(11, "stop-ok", released=[], abandoned=[], threads=[]),
]


def document(**changed: Any) -> dict[str, Any]:
    stored = {
        "_id": "a",
        "state": "succeeded",
        "data": {"n": 7},
        "result": {"n": 7, "attempt": 1},
        "attempts": 1,
        "max_attempts": 1,
        "claim": "T1",
        "fence": 1,
    }
    return {**stored, **changed}


def without(*names: str) -> list[Event]:
    return [item for item in LIFE if item.name not in names]


def found(
    history: list[Event], *stored: dict[str, Any], changes: list[Change] | None = None, ended: bool = True
) -> list[str]:
    violations: list[Violation] = check(history, stored, changes, ended=ended)
    print(*violations, sep="\n")
    return sorted({violation.invariant for violation in violations})


def test_a_life_in_order_breaks_nothing() -> None:
    assert found(LIFE, document()) == []


def second_claim(at: float) -> list[Event]:
    return [*LIFE, event(at, "claim-ok", pid=2, jobs=TWO, until=at + 10)]


CASES = {
    "an acknowledged job is gone": (LIFE, [], ["I1", "I2"]),
    "a job nobody created": (without("create", "create-ok"), [document()], ["I1"]),
    "two accepted outcomes": (
        [
            *LIFE,
            event(20, "finish", pid=2, jobs=TWO, outcomes=["failed"]),
            event(21, "finish-ok", pid=2, jobs=TWO, lost=[], outcomes=["failed"]),
        ],
        [document()],
        ["I2"],
    ),
    "an accepted outcome that changed": (LIFE, [document(state="failed")], ["I2"]),
    "an outcome accepted under another claim": (LIFE, [document(claim="T2")], ["I4"]),
    "a claim within a lease": (second_claim(8), [document()], ["I3"]),
    "an attempt entered twice": (
        [*LIFE, event(7.5, "entered", pid=2, id="a", attempt=1, fence=2)],
        [document()],
        ["I5"],
    ),
    "more attempts than allowed": (
        [*LIFE, event(7.5, "entered", pid=2, id="a", attempt=2, fence=2)],
        [document(attempts=2)],
        ["I5"],
    ),
    "an attempt that is not counted": (LIFE, [document(attempts=0)], ["I5"]),
    "a job that never ends": (without("finish", "finish-ok"), [document(state="pending")], ["I6"]),
    "a claim kept by a stopped process": (
        without("finish", "finish-ok"),
        [document(state="running")],
        ["I6", "I7"],
    ),
    "an executor entered after the stop": (
        [*LIFE, event(7, "start-ok", jobs=ONE, lost=[]), event(12, "entered", id="a", attempt=2, fence=2)],
        [document(attempts=2, max_attempts=2)],
        ["I7"],
    ),
    "an executor entered without a start": (without("start-ok"), [document()], ["I5"]),
    "an executor entered twice for one start": (
        [*LIFE, event(7.5, "entered", id="a", attempt=2, fence=1)],
        [document(attempts=2, max_attempts=2)],
        ["I5"],
    ),
    "one claim given to two": ([*LIFE, event(15, "claim-ok", pid=2, jobs=ONE, until=25.0)], [document()], ["I3"]),
    "two outcomes accepted under one claim": (
        [*LIFE, event(10.5, "finish-ok", jobs=ONE, lost=[], outcomes=["retried"])],
        [document()],
        ["I2"],
    ),
    "a succeeded job without its result": (LIFE, [document(result=None)], ["I8"]),
    "data that are not those created": (LIFE, [document(data={"n": 9}, result={"n": 9, "attempt": 1})], ["I8"]),
    "a start after the cancel": (
        [*LIFE, event(4.5, "cancel-ok", jobs=[["a", ""]], state="cancelled")],
        [document()],
        ["I8"],
    ),
    "a thread that outlives the stop": (
        [*LIFE, event(12, "stop-ok", released=[], abandoned=[], threads=["fetcher"])],
        [document()],
        ["I7"],
    ),
    "a claim that the metrics forget": (
        [*LIFE, Event(12, 1, "counted", {"jobpool_jobs_claimed_total,pool=default": 1.0})],
        [document()],
        ["I10"],
    ),
    "an outcome counted as another": (
        [
            *LIFE,
            Event(
                12,
                1,
                "counted",
                {
                    "jobpool_jobs_claimed_total,pool=default": 1.0,
                    "jobpool_attempts_total,outcome=failed,type=a": 1.0,
                },
            ),
        ],
        [document()],
        ["I10"],
    ),
    "a result that no attempt returned": (LIFE, [document(result={"n": 8, "attempt": 1})], ["I8"]),
}


@pytest.mark.parametrize(("history", "stored", "broken"), CASES.values(), ids=CASES)
def test_a_violation_is_seen(history: list[Event], stored: list[dict[str, Any]], broken: list[str]) -> None:
    assert found(history, *stored) == broken


def test_metrics_that_balance_are_in_order() -> None:
    counters = {
        "jobpool_jobs_claimed_total,pool=default": 1.0,
        "jobpool_attempts_total,outcome=succeeded,type=once": 1.0,
        "jobpool_leases_lost_total,pool=default,stage=running": 1.0,  # one that ran all the same
    }
    assert found([*LIFE, Event(12, 1, "counted", counters)], document()) == []


def test_a_claim_after_the_lease_or_after_the_finish_is_none() -> None:
    assert found(second_claim(15), document()) == []
    assert found(second_claim(9.5), document()) == []


def test_a_thread_that_waits_for_an_answer_may_outlive_the_stop() -> None:
    stopped = event(12, "stop-ok", released=[], abandoned=[], threads=["recorder"])
    assert found([*LIFE, event(11.5, "extend", jobs=ONE, until=20.0), stopped], document()) == []


def test_a_request_that_raised_is_no_excuse_for_a_thread() -> None:
    raised = [event(0.5, "extend", jobs=ONE, until=10.0), event(0.6, "extend-raised", jobs=ONE)]
    stopped = event(12, "stop-ok", released=[], abandoned=[], threads=["heartbeat"])
    assert found([*raised, *LIFE, stopped], document()) == ["I7"]


def test_an_abandoned_outcome_may_have_been_recorded_uncounted() -> None:
    abandoned = event(11, "stop-ok", released=[], abandoned=["a"], threads=[])
    counters = {"jobpool_jobs_claimed_total,pool=default": 1.0}
    assert found([*LIFE[:-1], abandoned, Event(12, 1, "counted", counters)], document()) == []


def test_what_was_cancelled_before_its_claim_must_not_run() -> None:
    cancelled = [*LIFE, event(2.5, "cancel-ok", jobs=[["a", ""]], state="cancelled")]
    assert found(cancelled, document(attempts=0, state="cancelled", claim=None, max_attempts=None)) == [
        "I2",
        "I5",
        "I8",
    ]


def change(before: dict[str, Any] | None, after: dict[str, Any] | None, at: float = 6) -> Change:
    return Change(START + timedelta(seconds=at), "a", before, after)


HELD = document(state="running", result=None, lease_until=START + timedelta(seconds=14))
FREE = document(state="pending", result=None, claim=None, lease_until=None, attempts=0, fence=0)
TAKEN = {**FREE, "state": "claimed", "claim": "T1", "fence": 1, "lease_until": HELD["lease_until"]}
RELEASED = [event(9, "release", jobs=ONE)]
#: What was asked for in `LIFE`, and nothing of how it was answered.
ASKED = [item for item in LIFE if item.name in ("create", "claim", "start", "finish")]

CHANGES = {
    "inserted": (change(None, FREE), []),
    "inserted by nobody": (change(None, {**FREE, "_id": "b"})._replace(id="b"), ["I1"]),
    "inserted with an attempt spent": (change(None, {**FREE, "attempts": 1}), ["I4"]),
    "deleted": (change(document(), None), ["I1", "I8"]),  # and its result was returned by nobody that is heard of
    "claimed": (change(FREE, TAKEN), []),
    "claimed without a new fence": (change(FREE, {**TAKEN, "fence": 0}), ["I4"]),
    "claimed without a token": (change(FREE, {**TAKEN, "claim": None}), ["I4"]),
    "claimed without a lease": (change(FREE, {**TAKEN, "lease_until": None}), ["I4"]),
    "claimed at the cost of an attempt": (change(FREE, {**TAKEN, "attempts": 1}), ["I5"]),
    "started": (change(TAKEN, {**TAKEN, "state": "running", "attempts": 1}), []),
    "started without an attempt": (change(TAKEN, {**TAKEN, "state": "running"}), ["I5"]),
    "started under another claim": (
        change({**TAKEN, "claim": "T9"}, {**TAKEN, "claim": "T9", "state": "running", "attempts": 1}),
        ["I5"],
    ),
    "finished": (change(HELD, document(lease_until=None)), []),
    "finished otherwise than asked": (change(HELD, document(state="failed", lease_until=None)), ["I4"]),
    "finished with an attempt more": (change(HELD, document(attempts=2)), ["I5"]),
    "finished with another fence": (change(HELD, document(fence=2)), ["I4"]),
    "finished before it was started": (change(TAKEN, {**document(), "attempts": 0}), ["I4"]),
    "finished for a claim that did not ask": (
        change({**HELD, "claim": "T9"}, document(claim="T9", lease_until=None)),
        ["I4"],
    ),
    "extended for a claim that did not ask": (change(HELD, {**HELD, "lease_until": START}), ["I4"]),
    "taken from a live holder": (change(HELD, {**FREE, "attempts": 1, "fence": 1}), ["I4"]),
    "claimed from a holder": (change(HELD, {**TAKEN, "claim": "T2", "attempts": 1}, at=15), ["I4"]),
    "finished by the reaper": (change(HELD, document(claim=None), at=15), ["I4"]),
    "failed by the reaper": (change(HELD, document(state="failed", claim=None), at=15), []),
    "failed by the reaper with attempts left": (
        change({**HELD, "max_attempts": 2}, document(state="failed", claim=None, max_attempts=2), at=15),
        ["I5"],
    ),
    "failed by the reaper before it ran": (change(TAKEN, {**FREE, "state": "failed"}, at=15), ["I5"]),
    "reaped when the lease was over": (
        change({**HELD, "max_attempts": 2}, {**FREE, "attempts": 1, "max_attempts": 2}, at=15),
        [],
    ),
    "reaped with all attempts spent": (change(HELD, {**FREE, "attempts": 1}, at=15), ["I5"]),
    "reaped and given its attempt back": (change(HELD, FREE, at=15), ["I5"]),
    "a final job that goes on": (change(document(), FREE), ["I2", "I8"]),
    "cancelled by nobody": (change(FREE, {**FREE, "state": "cancelled"}), ["I4"]),
}


@pytest.mark.parametrize(("one", "broken"), CHANGES.values(), ids=CHANGES)
def test_every_change_of_the_server_is_judged(one: Change, broken: list[str]) -> None:
    assert found(ASKED, changes=[one], ended=False) == broken


def test_who_is_stuck_may_say_so_and_nobody_else() -> None:
    stuck, early = change(HELD, {**HELD, "stuck": {"attempt": 1}}), change(TAKEN, {**TAKEN, "stuck": {}})
    reported = [event(7, "report", jobs=ONE)]
    assert found([*ASKED, *reported], changes=[stuck], ended=False) == []
    assert found([*ASKED, *reported], changes=[early], ended=False) == ["I4"]
    extended = [*ASKED, event(7, "extend", jobs=ONE)]
    assert found(extended, changes=[stuck], ended=False) == ["I4"]


def test_a_release_gives_the_attempt_back_once() -> None:
    for before, after, broken in [
        (TAKEN, FREE, []),
        (HELD, FREE, []),
        (TAKEN, {**FREE, "attempts": -1}, ["I5"]),
        (HELD, {**FREE, "attempts": 1}, ["I5"]),
        (HELD, {**FREE, "state": "failed"}, ["I4"]),
    ]:
        assert found([*ASKED, *RELEASED], changes=[change(before, after)], ended=False) == broken


MARK = START + timedelta(seconds=7)
MARKED = {**HELD, "cancel_requested_at": MARK, "max_attempts": 3}
AGAIN = {**HELD, "state": "pending", "lease_until": None, "max_attempts": 3}
SNOOZED = {**AGAIN, "attempts": 0, "snoozes": 1}
CANCEL = [event(7, "cancel", jobs=[["a", ""]])]


def finishing(outcome: str) -> list[Event]:
    return [event(9, "finish", jobs=ONE, outcomes=[outcome])]


#: What is asked for besides the claim and the start, the change, and what it breaks.
ENDINGS: dict[str, tuple[list[Event], Change, list[str]]] = {
    "cancelled while it waits": (CANCEL, change(FREE, {**FREE, "state": "cancelled"}), []),
    "cancelled while it is claimed": (CANCEL, change(TAKEN, {**FREE, "state": "cancelled", "fence": 1}), []),
    "cancelled while claimed by nobody": ([], change(TAKEN, {**FREE, "state": "cancelled"}), ["I4"]),
    "cancelled and held still": (CANCEL, change(TAKEN, {**TAKEN, "state": "cancelled"}), ["I4"]),
    "cancelled at the cost of an attempt": (
        CANCEL,
        change(TAKEN, {**FREE, "state": "cancelled", "attempts": 1}),
        ["I5"],
    ),
    "cancelled while it runs": (CANCEL, change(HELD, {**FREE, "state": "cancelled", "attempts": 1}), ["I4"]),
    "asked to end": (CANCEL, change(HELD, {**HELD, "cancel_requested_at": MARK}), []),
    "asked to end by nobody": ([], change(HELD, {**HELD, "cancel_requested_at": MARK}), ["I4"]),
    "asked to end and then not": (CANCEL, change(MARKED, {**MARKED, "cancel_requested_at": None}), ["I4"]),
    "asked to end before it runs": (CANCEL, change(TAKEN, {**TAKEN, "cancel_requested_at": MARK}), ["I4"]),
    "asked to end, its retry": (
        finishing("retried"),
        change(MARKED, {**MARKED, "state": "cancelled", "lease_until": None}),
        [],
    ),
    "asked to end, and retried": (finishing("retried"), change(MARKED, {**MARKED, "state": "pending"}), ["I4"]),
    "asked to end, and snoozed": (
        finishing("snoozed"),
        change(MARKED, {**MARKED, "state": "pending", "attempts": 0, "snoozes": 1}),
        ["I4"],
    ),
    "asked to end, and released": (
        RELEASED,
        change(MARKED, {**MARKED, "state": "cancelled", "claim": None, "attempts": 0}),
        [],
    ),
    "asked to end, and given back as pending": (
        RELEASED,
        change(MARKED, {**MARKED, "state": "pending", "claim": None, "attempts": 0}),
        ["I4"],
    ),
    "asked to end, and reaped": ([], change(MARKED, {**MARKED, "state": "cancelled", "claim": None}, at=15), []),
    "asked to end, and reaped as pending": (
        [],
        change(MARKED, {**MARKED, "state": "pending", "claim": None}, at=15),
        ["I4"],
    ),
    "not asked to end, and reaped as cancelled": (
        [],
        change(HELD, {**HELD, "state": "cancelled", "claim": None}, at=15),
        ["I4"],
    ),
    "cancelled by its executor": (finishing("cancelled"), change(HELD, {**HELD, "state": "cancelled"}), []),
    "snoozed": (finishing("snoozed"), change(HELD, SNOOZED), []),
    "snoozed at the cost of an attempt": (finishing("snoozed"), change(HELD, {**SNOOZED, "attempts": 1}), ["I5"]),
    "snoozed and given two attempts back": (
        finishing("snoozed"),
        change(HELD, {**SNOOZED, "attempts": -1}),
        ["I5"],
    ),
    "snoozed without being counted": (finishing("snoozed"), change(HELD, {**SNOOZED, "snoozes": 0}), ["I5"]),
    "snoozed when it asked for a retry": (finishing("retried"), change(HELD, SNOOZED), ["I5"]),
    "timed out": (finishing("timed_out"), change(HELD, AGAIN), []),
    "timed out for good": (finishing("timed_out"), change(HELD, document(state="failed")), []),
    "timed out with all attempts spent": (
        finishing("timed_out"),
        change(HELD, {**AGAIN, "max_attempts": 1}),
        ["I5"],
    ),
    "a checkpoint": (
        [event(8, "checkpoint", jobs=ONE, value=3)],
        change(HELD, {**HELD, "checkpoint": 3}),
        [],
    ),
    "a checkpoint of somebody else": (
        [event(8, "checkpoint", jobs=TWO, value=3)],
        change(HELD, {**HELD, "checkpoint": 3}),
        ["I4"],
    ),
    "progress": ([event(8, "report", jobs=ONE)], change(HELD, {**HELD, "progress": {"done": 1}}), []),
    "progress that nobody reported": ([], change(HELD, {**HELD, "progress": {"done": 1}}), ["I4"]),
}


@pytest.mark.parametrize(("asked", "one", "broken"), ENDINGS.values(), ids=ENDINGS)
def test_cancels_snoozes_and_reports_are_judged(asked: list[Event], one: Change, broken: list[str]) -> None:
    claimed = [item for item in ASKED if item.name != "finish"]
    assert found([*claimed, *asked], changes=[one], ended=False) == broken


def test_a_snooze_allows_the_attempt_once_more() -> None:
    again = [
        event(9, "finish", jobs=ONE, outcomes=["snoozed"]),
        event(10, "finish-ok", jobs=ONE, lost=[], outcomes=["snoozed"]),
        event(12, "claim-ok", jobs=TWO, until=22.0),
        event(13, "start-ok", jobs=TWO, lost=[]),
        event(14, "entered", id="a", attempt=1, fence=2),
        event(15, "finish", jobs=TWO, outcomes=["succeeded"]),
        event(16, "finish-ok", jobs=TWO, lost=[], outcomes=["succeeded"]),
    ]
    history = [*LIFE[:8], *again]
    assert found(history, document(claim="T2", fence=2, snoozes=1)) == []
    assert found(history, document(claim="T2", fence=2, snoozes=0)) == ["I5"]


def test_nothing_is_entered_after_its_cancel_was_acknowledged() -> None:
    def cancelled(at: float, state: str, fence: int) -> list[Event]:
        told = event(at, "cancel-ok", jobs=[["a", ""]], state=state, fence=fence, marked=state == "running")
        return [*LIFE[:8], told]

    stored = document(state="cancelled", result=None)
    assert found(cancelled(7.5, "running", 1), stored) == []
    assert found(cancelled(6.5, "running", 1), stored) == [], "the claim that ran may be called still"
    assert found(cancelled(6.5, "cancelled", 1), stored) == ["I8"]
    assert found(cancelled(6.5, "running", 0), stored) == ["I8"], "a later claim may not"


WAY = [
    change(None, FREE, 2),
    change(FREE, TAKEN, 4),
    change(TAKEN, HELD, 6),
    change(HELD, document(), 10),
]


def test_a_whole_way_breaks_nothing() -> None:
    assert found(LIFE, document(), changes=WAY) == []


def test_what_was_acknowledged_was_done() -> None:
    """Whoever was told that a start or an outcome stands finds it in the server's history."""
    retried = [
        *LIFE[:8],
        event(9, "finish", jobs=ONE, outcomes=["retried"]),
        event(10, "finish-ok", jobs=ONE, lost=[], outcomes=["retried"]),
    ]
    held = document(state="running", result=None, max_attempts=2, lease_until=HELD["lease_until"])
    free = {**FREE, "max_attempts": 2}
    taken = {**TAKEN, "max_attempts": 2}
    way = [change(None, free, 2), change(free, taken, 4), change(taken, held, 6)]
    again = {**held, "state": "pending", "lease_until": None}
    reaped = {**free, "attempts": 1, "fence": 1}
    assert found(retried, again, changes=[*way, change(held, again, 10)], ended=False) == []
    assert found(retried, reaped, changes=[*way, change(held, reaped, 15)], ended=False) == ["I2"]
    unstarted = [*WAY[:2], change(TAKEN, document(), 10)]
    assert found(LIFE, document(), changes=unstarted, ended=False) == ["I2", "I5"]


def test_what_is_stored_is_where_the_servers_history_ends() -> None:
    assert found(LIFE, document(fence=2), changes=WAY) == ["I4"]
    assert found(LIFE, document(), changes=[]) == ["I2", "I4"], "a history of nothing proves nothing"


def operated(operation: str, **meant: Any) -> Event:
    return event(12, "operate", operation=operation, **meant)


ONCE = {"type": "once"}
SUCCEEDED = document(**ONCE, lease_until=None)
FAILED = document(**ONCE, state="failed", result=None, lease_until=None)
CANCELLED = document(**ONCE, state="cancelled", result=None, claim=None, lease_until=None, attempts=0)
DEPENDENT = {**CANCELLED, "state": "failed", "waits_for": ["b"], "fence": 0}
PENDING = {**FREE, **ONCE, "fence": 1, "run_at": START}
RETRIED = {**PENDING, "attempts": 1, "claim": "T1", "max_attempts": 2}
LATER = {**PENDING, "run_at": START + timedelta(seconds=9)}
RUNNING = {**HELD, **ONCE}

#: What operators asked for, the change, and what it breaks.
OPERATED: dict[str, tuple[list[Event], Change, list[str]]] = {
    "removed": ([operated("remove", types=["once"], states=None)], change(CANCELLED, None), []),
    "removed while it waits": ([operated("remove", ids=["a"])], change(PENDING, None), []),
    "removed of another type": ([operated("remove", types=["twice"])], change(CANCELLED, None), ["I1"]),
    "removed in another state": ([operated("remove", states=["failed"])], change(CANCELLED, None), ["I1"]),
    "removed with another id": ([operated("remove", ids=["b"])], change(CANCELLED, None), ["I1"]),
    "removed while it runs": ([operated("remove")], change(RUNNING, None), ["I4"]),
    "removed while it is claimed": ([operated("remove")], change({**TAKEN, **ONCE}, None), ["I4"]),
    "purged": ([operated("purge", types=["once"])], change(CANCELLED, None), []),
    "purged while it waits": ([operated("purge", types=["once"])], change(PENDING, None), ["I1"]),
    "retried": ([operated("retry", states=["failed"])], change(FAILED, RETRIED), []),
    "retried by nobody": ([operated("revive", types=["twice"])], change(FAILED, RETRIED), ["I2"]),
    "retried without an attempt more": (
        [operated("retry")],
        change(FAILED, {**RETRIED, "max_attempts": 1}),
        ["I2"],
    ),
    "retried with two more": ([operated("retry")], change(FAILED, {**RETRIED, "max_attempts": 3}), ["I2"]),
    "retried at the cost of an attempt": ([operated("retry")], change(FAILED, {**RETRIED, "attempts": 2}), ["I2"]),
    "retried under a lease": ([operated("retry")], change(FAILED, {**RETRIED, "lease_until": START}), ["I4"]),
    "retried though it succeeded": ([operated("retry")], change(SUCCEEDED, RETRIED), ["I2"]),
    "retried and waits again": (
        [operated("retry")],
        change(DEPENDENT, {**DEPENDENT, "state": "waiting"}),
        [],
    ),
    "retried and waits no more": ([operated("retry")], change(DEPENDENT, {**PENDING, "fence": 0}), ["I2"]),
    "revived": ([operated("revive")], change(CANCELLED, PENDING), []),
    "revived that waited": ([operated("revive")], change(DEPENDENT, {**PENDING, "fence": 0}), []),
    "revived by nobody": ([operated("retry")], change(CANCELLED, PENDING), ["I2"]),
    "revived though it was not meant": (
        [operated("revive", states=["failed"])],
        change(CANCELLED, PENDING),
        ["I2"],
    ),
    "revived with a new fence": ([operated("revive")], change(CANCELLED, {**PENDING, "fence": 2}), ["I4"]),
    "revived with its result": ([operated("revive")], change(CANCELLED, {**PENDING, "result": 1}), ["I2"]),
    "revived while it runs": ([operated("revive")], change(RUNNING, PENDING), ["I4"]),
    "snoozed by an operator": ([operated("snooze")], change(PENDING, LATER), []),
    "snoozed by nobody": ([operated("retry")], change(PENDING, LATER), ["I4"]),
    "due sooner": ([operated("retry")], change(LATER, PENDING), []),
    "due sooner by nobody": ([operated("snooze")], change(LATER, PENDING), ["I4"]),
    "changed beside its time": ([operated("snooze")], change(PENDING, {**LATER, "priority": 3}), ["I4"]),
    "cancelled among many": ([operated("cancel", types=["once"])], change(PENDING, {**CANCELLED, "fence": 1}), []),
    "cancelled among others": ([operated("cancel", types=["twice"])], change(PENDING, CANCELLED), ["I4"]),
    "asked to end among many": (
        [operated("cancel")],
        change(RUNNING, {**RUNNING, "cancel_requested_at": MARK}),
        [],
    ),
    "fired": (
        [operated("schedule", schedule="tick")],
        change(None, {**FREE, **ONCE})._replace(id="tick@2026-01-01T00:00:00Z"),
        [],
    ),
    "fired by no schedule": (
        [operated("schedule", schedule="tock")],
        change(None, {**FREE, **ONCE})._replace(id="tick@2026-01-01T00:00:00Z"),
        ["I1"],
    ),
}


@pytest.mark.parametrize(("asked", "one", "broken"), OPERATED.values(), ids=OPERATED)
def test_what_operators_do_is_judged(asked: list[Event], one: Change, broken: list[str]) -> None:
    assert found([*ASKED, *asked], changes=[one], ended=False) == broken


#: A second life: revived, claimed, run and finished by process 2.
SECOND = [
    operated("revive", ids=["a"]),
    event(14, "claim-ok", pid=2, jobs=TWO, until=24.0),
    event(15, "start", pid=2, jobs=TWO),
    event(16, "start-ok", pid=2, jobs=TWO, lost=[]),
    event(17, "entered", pid=2, id="a", attempt=1, fence=2, token="T2"),
    event(18, "finish", pid=2, jobs=TWO, outcomes=["failed"]),
    event(19, "finish-ok", pid=2, jobs=TWO, lost=[], outcomes=["failed"]),
]
AGAIN_FREE = {**FREE, **ONCE, "fence": 1}
AGAIN_TAKEN = {**AGAIN_FREE, "state": "running", "claim": "T2", "fence": 2, "attempts": 1, "lease_until": START}
AGAIN_FAILED = {**AGAIN_TAKEN, "state": "failed", "lease_until": None}


def of_type(one: Change) -> Change:
    before, after = one.before, one.after
    return one._replace(before=before and {**before, **ONCE}, after=after and {**after, **ONCE})


LIVES = [
    *map(of_type, WAY[:3]),
    change({**HELD, **ONCE}, SUCCEEDED, 10),
    change(SUCCEEDED, AGAIN_FREE, 13),
    change(AGAIN_FREE, AGAIN_TAKEN, 14),
    change(AGAIN_TAKEN, AGAIN_FAILED, 18),
]


def test_two_lives_in_order_break_nothing() -> None:
    assert found([*LIFE, *SECOND], AGAIN_FAILED, changes=LIVES) == []
    assert found([*LIFE, *SECOND], AGAIN_FAILED) != [], "without the server's history they look like one"


def test_each_life_is_judged_by_itself() -> None:
    """What is no violation of the last life is still one of the first."""
    wrong = {**SUCCEEDED, "result": {"n": 8, "attempt": 1}}
    first_wrong = [*LIVES[:3], change({**HELD, **ONCE}, wrong, 10), change(wrong, AGAIN_FREE, 13), *LIVES[5:]]
    assert found([*LIFE, *SECOND], AGAIN_FAILED, changes=first_wrong) == ["I8"]
    entered_twice = [*LIFE, *SECOND, event(16.5, "start-ok", pid=2, jobs=TWO, lost=[])]
    entered_twice.append(event(17.5, "entered", pid=2, id="a", attempt=1, fence=2, token="T2"))
    assert found(sorted(entered_twice), AGAIN_FAILED, changes=LIVES) == ["I5"]


def test_what_stands_is_not_told_as_lost() -> None:
    """Whoever finished it learns so, though it was revived before he heard of it."""
    told = [
        item if item.name != "finish-ok" else item._replace(fields={"jobs": [], "lost": ONE, "outcomes": []})
        for item in LIFE
    ]
    assert found([*told, *SECOND], AGAIN_FAILED, changes=LIVES) == ["I2"]
    gone = [*LIVES[:4], change(SUCCEEDED, None, 13)]
    assert found([*told, operated("remove", ids=["a"])], changes=gone) == [], "of what is removed nobody can know"


def test_an_acknowledged_job_may_be_removed_and_not_vanish() -> None:
    gone = [*LIVES[:4], change(SUCCEEDED, None, 13)]
    assert found([*LIFE, operated("remove", ids=["a"])], changes=gone) == []
    assert found([*LIFE, operated("remove", ids=["b"])], changes=gone) == ["I1"]
    assert found([*LIFE, operated("remove", ids=["a"])], changes=LIVES[:4]) == ["I1", "I2"], (
        "nothing tells of its end"
    )


FIRED = "tick@2026-01-01T00:00:00Z"
SCHEDULE: dict[str, Any] = {"_id": "tick", "paused": False, "last": {"job": FIRED}}


def of_schedule(after: dict[str, Any] | None) -> tuple[str, Change]:
    return "s", change(SCHEDULE, after)._replace(id="tick")


FIRING = "j", change(None, FREE)._replace(id=FIRED)
REMOVED = "j", change(FREE, None)._replace(id=FIRED)
FIRINGS: dict[str, tuple[list[tuple[str, Change]], int]] = {
    "once": ([of_schedule(SCHEDULE), FIRING], 0),
    "twice": ([of_schedule(SCHEDULE), FIRING, REMOVED, FIRING], 1),
    "by nobody": ([FIRING], 1),
    "when it was removed": ([of_schedule(SCHEDULE), of_schedule(None), FIRING], 1),
    "while it is paused": ([of_schedule({**SCHEDULE, "paused": True}), FIRING], 1),
    "unremembered": ([of_schedule({**SCHEDULE, "last": None}), FIRING], 1),
    "by hand": ([("j", change(None, FREE)._replace(id="tick@now-0123"))], 0),
}


@pytest.mark.parametrize(("seen", "number"), FIRINGS.values(), ids=FIRINGS)
def test_a_due_time_is_fired_once(seen: list[tuple[str, Change]], number: int) -> None:
    assert [violation.invariant for violation in judge_fired(seen, "s")] == ["I13"] * number
