"""The cluster view: how many pools it suggests, and what it says of several types together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.backlog import AlivePool, Backlog, Rate, TypeBacklog, TypeLimits, mean_rate
from jobpool.capacity import OVERHEAD
from jobpool.errors import JobpoolError
from jobpool.limits import Limit

AT = datetime(2026, 11, 27, tzinfo=UTC)


def backlog(*pools: AlivePool, **types: TypeBacklog) -> Backlog:
    return Backlog(types, pools, AT, 0.01)


def pool(*types: str, threads: int = 16, **more: Any) -> AlivePool:
    return AlivePool("p", "host", 1, frozenset(types), threads, {}, **more)


def limited(*types: str, alias: str | None = None, **limit: Any) -> AlivePool:
    """Return a pool that heeds a limit of the first of its types."""
    aliases = {} if alias is None else {alias: types[0]}
    return pool(*types, *aliases, limits={types[0]: TypeLimits(limit=Limit(**limit))}, aliases=aliases)


def part(due: int = 0, **more: Any) -> TypeBacklog:
    return TypeBacklog(due=due, **more)


@pytest.mark.parametrize(
    ("part", "pools"),
    [
        (part(0, run_seconds=1.0), 0),
        (part(1, run_seconds=1.0), 1),
        (part(960, run_seconds=1.0), 1),  # 960 jobs of 1 s within 60 s keep 16 threads busy
        (part(961, run_seconds=1.0), 2),
        (part(960, run_seconds=2.0), 2),
        (part(900, claimed=60, run_seconds=1.0), 1),
        (part(0, running=16, run_seconds=1.0), 1),
        (part(0, running=17, run_seconds=1.0), 2),
        (part(480, running=8, run_seconds=1.0), 1),
        (part(481, running=8, run_seconds=1.0), 2),
        (part(1_200_000, run_seconds=0.0), 1),  # 20,000 a second, however short they are
        (part(1_200_100, run_seconds=0.0), 2),
        (part(16), 1),  # never seen: a thread each
        (part(17), 2),
        (part(0, scheduled=1000, failed=1000, run_seconds=1.0), 0),
        (part(1000, running=3, run_seconds=1.0, paused=True), 1),
        (part(1000, paused=True), 0),
    ],
    ids=lambda value: None if isinstance(value, TypeBacklog) else str(value),
)
def test_as_many_pools_as_the_due_jobs_need_in_a_minute_beside_what_runs(part: TypeBacklog, pools: int) -> None:
    assert backlog(a=part).suggested_pools() == pools


def test_less_time_needs_more_pools_and_more_threads_fewer() -> None:
    view = backlog(a=part(960, run_seconds=1.0))
    assert [view.suggested_pools(target=target) for target in (6, 60, 600)] == [10, 1, 1]
    assert [view.suggested_pools(threads=threads) for threads in (1, 4, 16)] == [16, 4, 1]


def test_the_threads_are_those_of_the_pools_alive_that_run_the_types() -> None:
    types = {"a": part(960, run_seconds=1.0), "b": part()}
    assert backlog(pool("a", threads=4), pool("b", threads=64), **types).suggested_pools("a") == 4
    assert backlog(pool("a", threads=4), pool("a", "b", threads=12), **types).suggested_pools("a") == 2
    assert backlog(pool("b", threads=64), **types).suggested_pools("a") == 1, "16 if there is none"


def test_types_are_added_up_before_they_are_rounded() -> None:
    view = backlog(a=part(8), b=part(8), c=part(100))
    assert view.suggested_pools("a", "b") == 1
    assert (view.suggested_pools("a"), view.suggested_pools("nobody's")) == (1, 0)
    assert view.suggested_pools() == 8  # 116 jobs, 16 threads


@pytest.mark.parametrize(
    ("pools", "suggested"),
    [
        ([pool("a")], 25),
        ([limited("a", running=16)], 1),
        ([limited("a", running=40)], 3),
        ([limited("a", running=1_000_000)], 25),
        ([limited("a", running=16), limited("a", running=40)], 3),
        ([limited("a", running=16), pool("a")], 25),
        ([limited("a", running=16), pool("b")], 1),
        ([limited("b", "a", running=16)], 25),
        ([limited("a", rate=4, per=1.0)], 3),  # of 10 s each, 4 a second: 40 threads
        ([limited("a", rate=4, per=1.0, running=16)], 1),
    ],
    ids=[
        "none",
        "a pool",
        "3 pools",
        "more",
        "the wider",
        "one has none",
        "not its",
        "another type's",
        "rate",
        "both",
    ],
)
def test_a_limit_leaves_more_pools_nothing_to_do(pools: list[AlivePool], suggested: int) -> None:
    view = backlog(*pools, a=part(2400, run_seconds=10.0), b=part())
    assert view.suggested_pools(threads=16) == view.suggested_pools("a", threads=16) == suggested


def test_an_alias_shares_the_places_of_its_type() -> None:
    view = backlog(limited("a", alias="old", running=16), a=part(2400, run_seconds=10.0), old=part(2400))
    assert view.suggested_pools(threads=16) == 1
    assert (view.suggested_pools("old", threads=16), view.suggested_pools("a", threads=4)) == (1, 4)


def test_a_rate_slows_nothing_that_is_slower_and_what_runs_counts_all_the_same() -> None:
    view = backlog(limited("a", rate=100, per=1.0), a=part(480, running=8, run_seconds=1.0))
    assert view.suggested_pools(threads=16) == 1
    assert backlog(limited("a", rate=1, per=60.0), a=part(10**6, running=17)).suggested_pools(threads=16) > 1


def test_the_bounds_are_kept() -> None:
    view = backlog(a=part(160))
    assert view.suggested_pools(maximum=3) == 3
    assert view.suggested_pools(minimum=20, maximum=20) == 20
    assert backlog().suggested_pools(minimum=2) == 2
    assert backlog().suggested_pools() == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"target": 0},
        {"target": float("nan")},
        {"target": "60"},
        {"threads": 0},
        {"threads": 1.5},
        {"minimum": -1},
        {"minimum": 3, "maximum": 2},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(JobpoolError, match=f"^{list(asked)[-1]} must be "):
        backlog(a=part(1)).suggested_pools(**asked)


def test_a_type_must_be_a_name() -> None:
    with pytest.raises(JobpoolError, match=r"^type must "):
        backlog().suggested_pools(7)  # type: ignore[arg-type]


parts = st.builds(
    TypeBacklog,
    due=st.integers(0, 10**7),
    claimed=st.integers(0, 10**4),
    running=st.integers(0, 10**4),
    run_seconds=st.none() | st.floats(0, 1e5),
)


@given(st.dictionaries(st.sampled_from("abcd"), parts), st.floats(1, 1e5), st.integers(1, 1000))
def test_the_suggested_pools_can_do_it_and_one_fewer_cannot(
    types: dict[str, TypeBacklog], target: float, threads: int
) -> None:
    """By another computation: how long they take for it, all threads busy."""
    pools = Backlog(types, (), AT, 0.0).suggested_pools(target=target, threads=threads)
    work = sum(
        (one.due + one.claimed)
        * (target / threads if one.run_seconds is None else max(one.run_seconds / threads, OVERHEAD))
        for one in types.values()
    )
    free = pools - sum(one.running for one in types.values()) / threads
    slack = 1e-3 + 1e-9 * pools
    assert work / target <= free + slack
    assert pools == 0 or work / target > free - 1 - slack


def test_run_times_are_weighed_by_how_many_ran() -> None:
    assert mean_rate([]) is None
    assert mean_rate([Rate(3.0, 1.0), Rate(1.0, 5.0)]) == Rate(4.0, 2.0)
    assert mean_rate([Rate(0.0, 1.0), Rate(1.0, 5.0)]) == Rate(1.0, 5.0), "what ran lately counts"
    assert mean_rate([Rate(0.0, 1.0), Rate(0.0, 5.0)]) == Rate(0.0, 3.0), "if anything did"


def test_the_total_adds_up_and_keeps_the_oldest_age() -> None:
    view = backlog(
        a=part(1, oldest_due_age=5.0, throughput=2.0, run_seconds=1.0),
        b=part(2, oldest_due_age=9.0, throughput=6.0, run_seconds=2.0),
        c=part(4),
    )
    assert view.total == part(7, oldest_due_age=9.0, throughput=8.0, run_seconds=1.75)
    assert backlog().total == part()
    assert [backlog(a=part(paused=a), b=part(paused=True)).total.paused for a in (False, True)] == [False, True]
