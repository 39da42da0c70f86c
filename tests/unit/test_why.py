"""From what was seen to why a job does not run: the deciding, and its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool import Limit
from jobpool.backlog import AlivePool, Rate, TypeLimits
from jobpool.cli import why as command
from jobpool.cli.terminal.jsons import line, whole
from jobpool.job import State
from jobpool.pauses import Pause, Paused
from jobpool.why import CODES, Reason, Situation, Why, decide
from jobpool.why.limited import bounds
from jobpool.why.situation import Ahead, Bound, Held, Holding, Other, Usage

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def job(**fields: Any) -> dict[str, Any]:
    """Return a pending job that has been due for a minute."""
    usual = {
        "_id": "j1",
        "type": "mail",
        "state": "pending",
        "priority": 0,
        "run_at": ago(60),
        "created_at": ago(60),
        "attempts": 0,
        "max_attempts": None,
        "fence": 0,
    }
    return {name: value for name, value in (usual | fields).items() if value is not ...}


def pool(*types: str, **more: Any) -> AlivePool:
    usual: dict[str, Any] = {
        "id": "p1",
        "since": ago(600),
        "seen_at": ago(3),
        "fresh_until": ago(-32),
        "version": "9.9",
        "state": "running",
        "busy": 0,
        "queued": 0,
        "lease": 30.0,
    }
    named: dict[str, Any] = {"name": "workers", "host": "h1", "pid": 7, "threads": 4, "rates": {}}
    return AlivePool(types=frozenset(types), **(named | usual | more))


MAIL = pool("mail")


def explained(document: Mapping[str, Any], *pools: AlivePool, **seen: Any) -> Why:
    return decide(Situation(now=NOW, job=document, pools=pools, **seen))


def first(document: Mapping[str, Any], *pools: AlivePool, **seen: Any) -> Reason:
    return explained(document, *pools, **seen).reasons[0]


# --- always a reason ----------------------------------------------------------------------

INSTANTS = st.datetimes(min_value=datetime(2026, 11, 20), max_value=datetime(2026, 12, 3), timezones=st.just(UTC))
NAMES = st.sampled_from(["mail", "Mail", "other", "", "x\ny\u202e", "v1:" + "0" * 64])
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**63),
    st.floats(),
    NAMES,
    INSTANTS,
    st.lists(st.one_of(NAMES, st.integers()), max_size=3),
    st.dictionaries(NAMES, st.one_of(NAMES, st.integers(), st.floats()), max_size=3),
)
ERRORS = st.fixed_dictionaries({}, optional=dict.fromkeys(("type", "message", "attempt", "claim"), ANYTHING))
DOCUMENTS = st.fixed_dictionaries(
    {"_id": st.just("j1"), "state": st.one_of(st.sampled_from(list(State)), ANYTHING)},
    optional={
        **{name: st.one_of(INSTANTS, ANYTHING) for name in ("run_at", "created_at", "lease_until", "finished_at")},
        **{name: st.one_of(INSTANTS, ANYTHING) for name in ("expire_at", "linking", "cancel_requested_at")},
        **{name: st.one_of(st.integers(0, 5), ANYTHING) for name in ("priority", "attempts", "fence")},
        **dict.fromkeys(("max_attempts", "timeout", "stuck", "progress", "snoozed_by", "snoozes"), ANYTHING),
        **dict.fromkeys(("pool", "pool_id", "claim", "key", "waits_for", "after", "on_failure"), ANYTHING),
        "type": st.one_of(NAMES, ANYTHING),
        "error": st.one_of(ERRORS, ANYTHING),
        "errors": st.one_of(st.lists(ERRORS, max_size=2), ANYTHING),
        "cancel_reason": ANYTHING,
    },
)
LIMITS = st.one_of(st.none(), st.builds(Limit, running=st.integers(1, 5)), st.just(Limit(rate=0.5, per=3)))
POOLS = st.builds(
    AlivePool,
    NAMES,
    NAMES,
    st.integers(0, 9),
    st.frozensets(NAMES, max_size=4),
    st.integers(1, 4),
    st.dictionaries(NAMES, st.builds(Rate, st.floats(0, 1e12), st.floats(0, 1e12))),
    id=st.one_of(st.none(), NAMES),
    since=st.one_of(st.none(), INSTANTS),
    seen_at=st.one_of(st.none(), INSTANTS),
    fresh_until=st.one_of(st.none(), INSTANTS),
    alive=st.booleans(),
    version=st.one_of(st.none(), NAMES),
    state=st.sampled_from([None, "running", "draining", "?"]),
    aliases=st.dictionaries(NAMES, NAMES),
    limits=st.dictionaries(
        NAMES, st.builds(TypeLimits, limit=LIMITS, key_limit=LIMITS, keyed=st.booleans()), max_size=3
    ),
    busy=st.one_of(st.none(), st.integers(0, 9)),
    lease=st.one_of(st.none(), st.floats(0, 100)),
)
HOLDINGS = st.builds(
    Holding, NAMES, NAMES, st.sampled_from(["claimed", "running"]), NAMES, NAMES, started_at=INSTANTS
)
BOUNDS = st.builds(
    Bound,
    NAMES,
    st.just(("mail",)),
    st.one_of(st.none(), NAMES),
    st.integers(1, 3),
    st.one_of(st.none(), st.just(Limit(rate=1, per=9))),
)
USAGES = st.builds(
    Usage,
    BOUNDS,
    held=st.one_of(st.none(), st.integers(0, 4)),
    holders=st.lists(HOLDINGS, max_size=3).map(tuple),
    locked_until=st.one_of(st.none(), INSTANTS),
)
PAUSES = st.builds(Pause, INSTANTS, st.one_of(st.none(), NAMES))
STATES = st.one_of(st.none(), st.sampled_from(list(State)), NAMES)
SITUATIONS = st.builds(
    Situation,
    now=st.just(NOW),
    job=DOCUMENTS,
    paused=st.builds(Paused, st.one_of(st.none(), PAUSES), st.dictionaries(NAMES, PAUSES, max_size=2)),
    pools=st.lists(POOLS, max_size=3).map(tuple),
    required=st.one_of(st.none(), st.integers(0, 3)),
    index_trouble=st.one_of(st.none(), NAMES),
    limits_trouble=st.one_of(st.none(), NAMES),
    others=st.lists(st.builds(Other, NAMES, STATES), max_size=3).map(tuple),
    ahead=st.one_of(st.none(), st.builds(Ahead, st.integers(0, 5), st.booleans(), st.just(("mail",)))),
    limits=st.lists(USAGES, max_size=2).map(tuple),
    held=st.one_of(st.none(), st.builds(Held, st.lists(HOLDINGS, max_size=3).map(tuple), st.booleans())),
    result=st.one_of(st.none(), NAMES),
)


@given(SITUATIONS)
def test_whatever_is_seen_there_is_a_reason(situation: Situation) -> None:
    """Also of documents that somebody else wrote: with a sentence, a known code, and facts that are JSON."""
    why = decide(situation)
    assert why.reasons
    assert {reason.code for reason in why.reasons} <= set(CODES)
    assert all(reason.text and "\n" not in reason.text and "\u202e" not in reason.text for reason in why.reasons)
    assert line(why)
    assert whole(why)


@given(SITUATIONS)
def test_no_answer_contradicts_the_state(situation: Situation) -> None:
    why = decide(situation)
    if why.state in ("succeeded", "failed", "cancelled"):
        assert why.code == why.state
    else:
        assert not {"succeeded", "failed", "cancelled"} & {reason.code for reason in why.reasons}
    if why.state == "pending":
        assert not {"running", "claimed", "lost", "holder_gone", "waits_for"} & {one.code for one in why.reasons}


# --- pending ------------------------------------------------------------------------------


def test_a_job_is_not_due_for_the_reason_for_which_it_was_put_off() -> None:
    later = {"run_at": ago(-7500)}
    created = first(job(**later), MAIL)
    assert created.code == "not_due"
    assert created.text.startswith(
        "it is not due for another 2h 5m, until 2026-11-27 14:05:00Z: it was created 1m ago"
    )
    error = {"type": "ValueError", "message": "no", "claim": "p1.x", "attempt": 2}
    retry = first(job(**later, errors=[error], claim="p1.x", attempts=2, max_attempts=3), MAIL)
    assert (retry.facts["cause"], retry.facts["error"]) == ("retry", "ValueError")
    assert "attempt 2 of 3 failed with ValueError" in retry.text
    assert retry.remedy == "to have it run now: jobpool retry j1"
    reaped = first(job(**later, errors=[{"type": "WorkerLost"}], attempts=1, max_attempts=3), MAIL)
    assert reaped.facts["cause"] == "retry"
    snoozed = first(job(**later, claim="p1.y", snoozed_by=["p1.y"], snoozes=3, pool_id="p1"), MAIL)
    assert (snoozed.facts["cause"], snoozed.facts["pool_id"]) == ("snooze", "p1")
    assert "its executor has put it off, 3 times so far" in snoozed.text


def test_what_is_paused_is_named_with_how_to_resume_it() -> None:
    pause = Pause(ago(90), "deploy")
    of_type = first(job(), MAIL, paused=Paused(types={"mail": pause}))
    assert of_type.text == "type 'mail' has been paused for 1m 30s: 'deploy'"
    assert of_type.remedy == "to go on: jobpool resume mail"
    alias = pool("mail", "letter", aliases={"letter": "mail"})
    by_alias = first(job(type="letter"), alias, paused=Paused(types={"mail": pause}))
    assert by_alias.text.startswith("type 'mail', of which 'letter' is an alias, has been paused")
    here = first(job(type="letter"), paused=Paused(types={"mail": pause}), alias_of=lambda type: "mail")
    assert here.code == "paused"
    everything = first(job(), MAIL, paused=Paused(everything=pause))
    assert everything.text.startswith("everything has been paused")
    assert everything.remedy == "to go on: jobpool resume --all"
    both = first(job(), MAIL, paused=Paused(pause, {"mail": pause}))
    assert both.text.endswith("; so is everything")
    assert first(job(), MAIL, paused=Paused(types={"other": pause})).code != "paused"


def test_what_comes_first_is_first() -> None:
    why = explained(job(run_at=ago(-60)), paused=Paused(everything=Pause(ago(9))), required=3)
    assert [reason.code for reason in why.reasons] == ["schema", "not_due", "paused", "no_executor"]


def test_nobody_runs_a_type() -> None:
    none = first(job())
    assert (none.code, none.text) == ("no_executor", "no pool is alive, so nobody runs jobs of type 'mail'")
    dead = first(job(), pool("mail", alive=False, seen_at=ago(120)))
    assert dead.text.endswith("; the last was heard of 2m ago")
    others = first(job(), pool("a"), pool("b", id="p2"), pool("mail", id="p3", alive=False))
    assert others.text == "none of the 2 pools alive runs type 'mail': they run 'a', 'b'"
    assert others.remedy.startswith("pool 'workers' on h1, process 7 ran it and was heard of last 3s ago")
    assert [one["id"] for one in others.facts["died"]] == ["p3"]
    typo = first(job(type="mial"), MAIL)
    assert typo.text == "the only pool alive does not run type 'mial': it runs 'mail'"
    assert typo.remedy.startswith("is it a typing error for 'mail'?")


def test_pools_that_drain_claim_nothing() -> None:
    drains = pool("mail", state="draining")
    assert first(job(), drains).text.startswith("the only pool that runs its type is draining")
    assert first(job(), drains, pool("mail", id="p2", state="draining")).code == "draining"
    assert first(job(), drains, pool("mail", id="p2")).code != "draining"


def test_jobs_before_it_are_counted_and_turned_into_time() -> None:
    fast = pool("mail", "sms", rates={"mail": Rate(8, 1), "sms": Rate(2, 1)})
    ahead = Ahead(600, more=False, types=("mail", "sms"))
    behind = first(job(), fast, ahead=ahead)
    assert behind.code == "behind"
    assert "600 due jobs come before it" in behind.text
    assert "at 10 a second, as of late, that takes about 1m" in behind.text
    assert (behind.facts["ahead"], behind.facts["seconds"]) == (600, 60.0)
    unknown = first(job(), MAIL, ahead=Ahead(1, more=False, types=("mail",)))
    assert "1 due job comes before it" in unknown.text
    assert unknown.facts["seconds"] is None
    many = first(job(), fast, ahead=Ahead(10_000, more=True, types=("mail", "sms")))
    assert "more than 10,000 due jobs come before it" in many.text
    assert "at least 16m 40s" in many.text
    of_key = first(job(key="c1"), fast, ahead=Ahead(2, more=False, types=("mail",), key="c1"))
    assert "2 due jobs of its key 'c1' come before it" in of_key.text
    assert of_key.facts["per_second"] == 8
    assert ("more threads" in behind.remedy, "more threads" in of_key.remedy) == (True, False)


def test_all_threads_are_taken() -> None:
    running = tuple(
        Holding(f"r{number}", "mail", "running", "workers", "p1", started_at=ago(10 + number))
        for number in range(4)
    )
    busy = first(job(), MAIL, held=Held(running))
    assert busy.text == (
        "all 4 threads of the pool that runs its type are taken; job 'r3' of type 'mail' has run for 13s"
    )
    assert (busy.facts["longest"][0]["id"], busy.facts["expired"]) == ("r3", 0)
    one_over = (*running[:3], replace(running[3], lease_until=ago(2)))
    lost = first(job(), MAIL, held=Held(one_over))
    assert lost.text.endswith("; the lease of one of these jobs is over, and who runs it may be dead")
    assert lost.facts["expired"] == 1
    single = first(job(), pool("mail", threads=1), held=Held(running[:1]))
    assert single.text.startswith("the only thread of the pool that runs its type is taken; job 'r0'")
    assert first(job(), MAIL, held=Held(running[1:])).code == "unclear"
    others = tuple(Holding(one.id, "x", "running", "workers", "p9") for one in running)
    assert first(job(), MAIL, held=Held(others)).code == "unclear", "another pool of the same name"
    assert first(job(), pool("mail", busy=4), held=Held((), complete=False)).code == "busy"


def test_nothing_holds_it_up() -> None:
    assert first(job(run_at=ago(1)), MAIL).text == (
        "nothing holds it up: it has been due for 1s, and 1 pool with 4 threads should take it now"
    )
    unclear = first(job(), MAIL)
    assert "it has been due for 1m, it is the next, and 1 pool with 4 threads runs its type" in unclear.text
    assert unclear.text.endswith("1 pool with 4 threads runs its type, heard of last 3s ago")
    silent = pool("mail", seen_at=ago(18), fresh_until=ago(-17), heard_ago=18.0, silent=True)
    late = first(job(), silent)
    assert late.text.endswith("last 18s ago; it is silent, and may be dead: it should have spoken since then")
    assert first(job(run_at=ago(1)), silent).text.endswith("take it now; but it is silent, and may be dead")
    assert [one["silent_for"] for one in (*unclear.facts["pools"], *late.facts["pools"])] == [None, 18.0]
    both = first(job(), MAIL, silent)
    assert "silent" not in both.text
    assert (unclear.facts["late"], late.facts["late"]) == (False, True)
    assert "older versions" not in unclear.remedy
    assert "older versions" in first(job(), pool("mail", version=None)).remedy


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": ["mail"]}, "type is no text"),
        ({"run_at": "tomorrow"}, "run_at is no date"),
        ({"run_at": ...}, "run_at is missing"),
    ],
    ids=["type", "run_at", "no_run_at"],
)
def test_what_a_claim_cannot_take_is_malformed(fields: dict[str, Any], said: str) -> None:
    why = explained(job(**fields), MAIL)
    assert (why.code, len(why.reasons)) == ("malformed", 1)
    assert said in why.text


@pytest.mark.parametrize("name", ["priority", "created_at", "fence", "max_attempts"])
def test_what_pools_do_without_holds_nothing_up(name: str) -> None:
    """As tried with real pools; of a fence the first claim makes one."""
    assert first(job(**{name: ...}), MAIL).code == "unclear"
    assert name == "fence" or first(job(**{name: "x"}), MAIL).code == "unclear"


def test_whole_numbers_may_be_doubles_and_what_is_no_number_is_none() -> None:
    why = first(held("running", attempts=2.0, max_attempts=3.0, timeout=float("nan")), MAIL)
    assert ", in attempt 2 of 3, " in why.text
    assert (why.facts["timeout"], why.facts["attempts"], why.facts["max_attempts"]) == (None, 2, 3)
    stuck = first(held("running", stuck={"attempt": 1, "after": float("inf")}), MAIL)
    assert stuck.facts["stuck"]["after"] is None


def test_a_schema_and_an_index_are_named() -> None:
    old = first(job(), MAIL, required=2, schema=1, version="0.2.0")
    assert (old.code, old.facts["required"]) == ("schema", 2)
    assert "0.2.0" in old.text
    assert first(job(), MAIL, required=1).code != "schema"
    assert first(job(), MAIL, index_trouble="it is gone").text == "pools cannot find it: it is gone"


def test_a_job_that_is_to_be_deleted_says_so() -> None:
    why = explained(job(expire_at=ago(-60)), MAIL)
    assert [reason.code for reason in why.reasons] == ["unclear", "expires"]


# --- limits -------------------------------------------------------------------------------


def limited(**limits: Any) -> AlivePool:
    more = {name: limits.pop(name) for name in ("id", "aliases") if name in limits}
    return pool("mail", *more.get("aliases", ()), limits={"mail": TypeLimits(**limits)}, **more)


def test_limits_hold_only_what_all_pools_hold() -> None:
    one, two = Limit(running=1), Limit(running=2, rate=5)
    strict, lax = limited(limit=one), limited(limit=two, id="p2", key_limit=one, keyed=True)
    assert bounds([strict], "mail", "k") == (Bound("mail", ("mail",), None, 1, None),)
    assert bounds([strict, lax], "mail", "k") == (Bound("mail", ("mail",), None, 2, None),)
    assert bounds([lax], "mail", "k") == (
        Bound("mail", ("mail",), None, 2, two),
        Bound("mail", ("mail",), "k", 1, None),
    )
    assert bounds([lax], "mail", None) == (Bound("mail", ("mail",), None, 2, two),)
    assert bounds([strict, pool("mail", id="p3")], "mail", "k") == ()
    assert bounds([], "mail", "k") == ()
    alias = limited(limit=one, aliases={"letter": "mail"})
    assert bounds([alias], "letter", "")[0].types == ("letter", "mail")


def test_a_limit_that_is_reached_names_who_holds_its_places() -> None:
    bound = Bound("mail", ("mail",), None, 2, None)
    holders = (
        Holding("h1", "mail", "running", "workers", "p1", lease_until=ago(-9)),
        Holding("h2", "mail", "claimed", "workers", "p1", lease_until=ago(9)),
    )
    keyed = job(key="")
    why = first(keyed, limited(limit=Limit(running=2)), limits=(Usage(bound, 2, holders),))
    assert why.text == (
        "the limit of type 'mail', 2 at once, is reached: jobs 'h1', 'h2' hold the places; of 1 of these the "
        "lease is over, and the place is free after the next reap"
    )
    assert (why.facts["kind"], why.facts["scope"], why.facts["held"]) == ("running", "type", 2)
    assert (why.facts["holders"][0]["host"], why.facts["holders"][0]["pid"]) == ("h1", 7)
    free = first(keyed, limited(limit=Limit(running=2)), limits=(Usage(bound, 1),))
    assert free.code == "unclear"
    of_key = Bound("mail", ("mail",), "c1", 1, None)
    why = first(job(key="c1"), limited(key_limit=Limit(running=1)), limits=(Usage(of_key, 1, holders[:1]),))
    assert why.text == "the limit of key 'c1' of type 'mail', 1 at once, is reached: job 'h1' holds the place"


def test_a_rate_that_is_used_up_says_when_the_next_token_comes() -> None:
    rate = Limit(rate=10, per=60)
    usage = Usage(Bound("mail", ("mail",), None, None, rate), next_in=3.5)
    why = first(job(key=""), limited(limit=rate), limits=(usage,))
    assert why.text == "the rate of type 'mail', 10 in 1m, is used up: the next job may be claimed in 3.5s"
    assert (why.facts["kind"], why.facts["next_at"]) == ("rate", ago(-3.5))
    assert (why.facts["rate"], why.facts["per"], why.facts["burst"]) == (10, 60, 10)


def test_a_gate_and_a_key_that_lack_are_named_when_nothing_else_holds_it_up() -> None:
    one = Limit(running=1)
    usage = Usage(Bound("mail", ("mail",), None, 1, None), 0, locked_until=ago(-4))
    assert first(job(key=""), limited(limit=one), limits=(usage,)).code == "gate_locked"
    assert first(job(), limited(limit=one)).code == "unkeyed"
    lacking = first(job(key=""), limited(limit=one), limits_trouble="it lacks one")
    assert (lacking.code, lacking.text) == ("no_index", "pools cannot find it: it lacks one")
    assert lacking.remedy.endswith("ensure_indexes(limits=True)")


# --- held ---------------------------------------------------------------------------------


def held(state: str, **fields: Any) -> dict[str, Any]:
    usual = {"pool": "workers", "pool_id": "p1", "lease_until": ago(-25), "attempts": 1, "max_attempts": 2}
    return job(state=state, started_at=ago(40) if state == "running" else ..., **(usual | fields))


def test_a_claimed_job_waits_for_a_thread() -> None:
    speaker = pool("mail", busy=4, queued=9)
    why = first(held("claimed"), speaker)
    assert why.text == (
        "pool 'workers' on h1, process 7 has claimed it, and it waits there for a thread: 4 of 4 threads are taken"
    )
    assert (why.facts["running"], why.facts["queued"], why.facts["extended_at"]) == (4, 9, ago(5))
    running = Holding("r", "sms", "running", "workers", "p1", started_at=ago(9))
    claimed = Holding("c", "mail", "claimed", "workers", "p1", started_at=ago(99))
    why = first(held("claimed"), speaker, held=Held((claimed, running)))
    assert why.text.endswith("1 of 4 threads are taken; job 'r' of type 'sms' has run for 9s"), "what is seen now"
    assert [job["id"] for job in why.facts["longest"]] == ["r"]


def test_a_running_job_says_where_and_how_far_it_is() -> None:
    why = first(held("running", progress={"done": 3, "total": 10, "note": ""}, timeout=90), MAIL)
    assert why.code == "running"
    assert why.text == (
        "it runs, for 40s, in attempt 1 of 2, in pool 'workers' on h1, process 7; it says that 3 of 10 are done; "
        "an attempt may take 1m 30s"
    )
    stuck = first(held("running", stuck={"attempt": 1, "after": 30.0}), MAIL)
    assert (stuck.code, stuck.facts["stuck"]) == ("stuck", {"after": 30.0, "attempt": 1})
    assert first(held("running", stuck={"attempt": 0, "after": 30.0}), MAIL).code == "running", "an earlier one"


def test_a_job_that_was_asked_to_end_says_so_first() -> None:
    why = explained(held("running", cancel_requested_at=ago(5)), MAIL)
    assert [reason.code for reason in why.reasons] == ["cancel_requested", "running"]
    assert why.text.startswith("it was asked to end 5s ago")
    stuck = {"attempt": 1, "after": 30.0}
    why = explained(held("running", cancel_requested_at=ago(5), stuck=stuck), MAIL)
    assert [reason.remedy.endswith("or cancel it") for reason in why.reasons] == [False, False], "it was"
    assert first(held("running", stuck=stuck), MAIL).remedy.endswith("or cancel it")


def test_run_by_hand_is_no_pool_that_is_gone() -> None:
    why = explained(held("running", pool="run", pool_id=None))
    assert [reason.code for reason in why.reasons] == ["running"]
    assert why.text.endswith("in a process that calls JobManager.run, and is no pool")


@pytest.mark.parametrize(
    ("fields", "pools", "gone"),
    [
        ({}, [MAIL], False),
        ({"lease_until": ago(-15)}, [MAIL], False),
        ({"lease_until": ago(-13)}, [MAIL], True),
        ({}, [], True),
        ({}, [pool("mail", alive=False)], False),
        ({"lease_until": ago(-50)}, [pool("mail", alive=False, seen_at=ago(90), lease=None)], True),
        ({"pool_id": None}, [], False),
    ],
    ids=["fresh", "half", "silent", "unknown", "heartbeat", "dead", "older"],
)
def test_a_holder_is_gone_that_does_not_extend_its_lease(
    fields: dict[str, Any], pools: list[AlivePool], gone: bool
) -> None:
    codes = [reason.code for reason in explained(held("running", **fields), *pools).reasons]
    assert codes == (["holder_gone", "running"] if gone else ["running"])


@pytest.mark.parametrize(
    ("state", "fields", "fate"),
    [
        ("claimed", {}, "pending again then, no attempt spent"),
        ("running", {}, "it is tried again then, after attempt 1 of 2"),
        ("running", {"attempts": 2}, "it fails then with WorkerLost, as attempt 2 of 2 was its last"),
        ("running", {"cancel_requested_at": ago(9)}, "it is cancelled then"),
    ],
    ids=["claimed", "retry", "last", "cancelled"],
)
def test_a_lost_job_says_what_becomes_of_it(state: str, fields: dict[str, Any], fate: str) -> None:
    document = held(state, lease_until=ago(12), **fields)
    why = explained(document, pool("else", id="p2"))
    assert [reason.code for reason in why.reasons] == ["lost"]
    assert "its lease has been over for 12s, and it is about to be taken back" in why.text
    assert fate in why.text
    alone = first(document, MAIL)
    assert "no pool is alive that would take it back" in alone.text, "the holder itself does not count"
    assert alone.facts["reapers"] == 0


def test_who_let_a_lease_run_out_does_not_take_the_job_back() -> None:
    """Though it may still count as alive; an older version's is known by its name alone."""
    itself, other = pool("mail"), pool("sms", id="p2", name="others")
    over = held("running", lease_until=ago(3))
    for document in (over, over | {"pool_id": None}):
        alone, two = first(document, itself), first(document, itself, other)
        assert (alone.facts["reapers"], two.facts["reapers"]) == (0, 1)
        assert "no pool is alive that would take it back" in alone.text
        assert two.remedy.startswith("1 pool alive looks every half lease")


def test_a_held_job_without_a_lease_is_malformed() -> None:
    assert first(held("running", lease_until=...), MAIL).code == "malformed"


# --- waiting ------------------------------------------------------------------------------


def test_a_waiting_job_names_what_it_waits_for() -> None:
    document = job(state="waiting", waits_for=["b", "c"], after=["a", "b", "c"])
    others = (Other("b", "running", "mail"), Other("c", "pending", "mail"))
    why = first(document, MAIL, others=others)
    assert why.text == "it waits for 2 jobs of 3 to end: 1 running, 1 pending"
    assert why.remedy == "see what holds that up: jobpool why b"
    assert why.facts["states"] == {"running": 1, "pending": 1}
    one = first(document, MAIL, others=(Other("b", "running"), Other("c", "succeeded")))
    assert one.text == "it waits for job 'b' to end, which is running"
    some = first(job(state="waiting", waits_for=["b", "c", "d"]), MAIL, others=others)
    assert some.text == "it waits for 3 jobs to end: 1 running, 1 pending of the first 2"


def test_ends_that_have_not_been_told() -> None:
    document = job(state="waiting", waits_for=["b"])
    told = first(document, MAIL, others=(Other("b", "succeeded"),))
    assert (told.code, told.text.endswith("it is due then")) == ("to_be_told", True)
    failed = first(document, MAIL, others=(Other("b", None),))
    assert failed.text.endswith("it fails then, as 'b' did not succeed")
    assert failed.facts["missing"] == ["b"]
    nobody = first(document, pool("mail", alive=False), others=(Other("b", "succeeded"),))
    assert "no pool is alive to tell it (the last was heard of at 2026-11-27 11:59:57Z)" in nobody.text
    runs = first(document | {"on_failure": "run"}, MAIL, others=(Other("b", "failed"),))
    assert runs.text.endswith("it is due then")


def test_what_holds_a_waiting_job_up_later_comes_later() -> None:
    retried = explained(job(state="waiting", waits_for=["b"], linking=ago(-40)), MAIL).of("linking")
    assert retried is not None
    assert retried.text.startswith("it was retried, and waits 40s more for jobs it failed of")
    document = job(state="waiting", waits_for=["b"], linking=ago(3), run_at=ago(-60))
    why = explained(document, paused=Paused(types={"mail": Pause(ago(5))}), others=(Other("b", "running"),))
    assert [reason.code for reason in why.reasons] == ["waits_for", "linking", "not_due", "paused", "no_executor"]
    assert first(job(state="waiting")).code == "malformed"


# --- ended --------------------------------------------------------------------------------


def test_ended_jobs_say_how_they_ended() -> None:
    ended = {"finished_at": ago(60), "attempts": 2, "max_attempts": 3}
    well = first(job(state="succeeded", **ended), result='{"n": 1}')
    assert well.text == ('it succeeded 1m ago (2026-11-27 11:59:00Z), in attempt 2 of 3, with the result {"n": 1}')
    error = {"type": "ValueError", "message": "no\ngood", "attempt": 2}
    failed = explained(job(state="failed", error=error, expire_at=ago(-3600), **ended))
    assert failed.text == "it failed 1m ago (2026-11-27 11:59:00Z) in attempt 2 of 3: ValueError: no good"
    assert failed.reasons[0].remedy == "mend the cause, then: jobpool retry j1"
    assert failed.reasons[1].text == "MongoDB deletes it in 1h (2026-11-27 13:00:00Z)"
    lost = first(job(state="failed", error={"type": "WorkerLost", "message": "m"}, **ended))
    assert "what killed the worker" in lost.remedy
    waited = first(job(state="failed", error={"type": "DependencyFailed", "message": "job 'x' failed"}, **ended))
    assert "without having been started" in waited.text
    cancelled = first(job(state="cancelled", cancel_reason="not needed", **ended))
    assert cancelled.text.endswith(": 'not needed'")


def test_a_state_of_a_newer_version_is_named() -> None:
    why = explained(job(state="frozen"), version="0.2.0", required=9)
    assert [reason.code for reason in why.reasons] == ["unknown_state", "schema"]
    assert why.text.startswith("its state is 'frozen', which this version (0.2.0) does not know")


def test_commands_that_help_take_ids_as_they_are() -> None:
    """Of the shell, and of what takes a dash for an option."""
    for id, written in (("a b", "'a b'"), ("-dash", "-- -dash"), ("$x", "'$x'")):
        well = first(job(_id=id, state="succeeded", finished_at=ago(5)))
        assert well.remedy.endswith(f"jobpool revive --succeeded {written}")


@pytest.mark.parametrize(("others", "told"), [(False, 2), (True, 3)], ids=["sentences", "json"])
def test_watching_tells_what_is_shown_only_when_that_is_another(
    monkeypatch: pytest.MonkeyPatch, others: bool, told: int
) -> None:
    monkeypatch.setattr(command, "EVERY", 0)
    ahead = Ahead(1, more=False, types=("mail",))
    answers = [
        explained(job(), MAIL, ahead=ahead),
        explained(job(), pool("mail", busy=4), ahead=ahead, held=Held(complete=False)),
        explained(job(state="succeeded", finished_at=ago(5))),
    ]
    assert [why.code for why in answers] == ["behind", "behind", "succeeded"]

    class Asked:
        def why(self, id: str) -> Why:
            return answers.pop(0)

    assert len(list(command._changes(Asked(), ["j1"], others=others))) == told  # type: ignore[arg-type]
