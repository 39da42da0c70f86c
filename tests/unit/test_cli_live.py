"""The live view without a terminal: rates between two looks, and what fits into a window."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.backlog import AlivePool, Backlog, Rate, TypeBacklog
from jobpool.cli.live.drawing import HELP, fitted, flowed, header, plain
from jobpool.cli.live.frame import Frame, Rates, alike, load_of, rates_of
from jobpool.cli.live.looker import Looker
from jobpool.cli.live.rows import ORDERS, Section, sections
from jobpool.cli.terminal.screen import Column
from jobpool.overview import Activity, FailedJob, TypeOverview
from jobpool.pauses import Pause, Paused

if TYPE_CHECKING:
    from jobpool import JobManager

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
POOL = AlivePool("p", "h", 1, frozenset(["a"]), 4, {"a": Rate(3.0, 0.1), "b": Rate(2.0, 0.1)})


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def activity(seconds: float, documents: int, failed: int | None = 0, **options: Any) -> Activity:
    given: dict[str, Any] = {"pools": (), "held": (), "running": (), "failures": (), "paused": Paused(), **options}
    return Activity(at(seconds), "h:1", "rs", 1, (), documents, failed, **given)


def count(seconds: float, due: int) -> Backlog:
    return Backlog({"a": TypeBacklog(due=due, running=5)}, (), at(seconds), 0.0)


def frame(**options: Any) -> Frame:
    given: dict[str, Any] = {
        "collection": "shop.jobs",
        "at": NOW,
        "server": "h:1",
        "replica_set": "rs",
        "members": 1,
        "unreachable": (),
        "documents": 1234,
        "pools_alive": 1,
        "threads": 4,
        "busy": 2,
        "rates": Rates(1.0, 5.0, 4.0, 0.0, -2.0, created=7.0),
        "counted_at": NOW,
        "types": (TypeOverview(type="a", due=1, start_rate=3.0), TypeOverview(type="b", due=2, failed=1)),
        "pools": (),
        "running": (),
        "failures": (),
        "paused": Paused(),
        **options,
    }
    return Frame(**given)


def test_at_the_first_look_only_failures_and_the_pools_word_are_known() -> None:
    found = rates_of(activity(0, 10, failed=30, pools=(POOL,)), None, at(-60), (count(0, 1),))
    assert found == Rates(seconds=None, growth=None, ended=5.0, failed=0.5, backlog=None)


def test_between_two_looks_it_is_known_how_fast_things_move() -> None:
    found = rates_of(activity(2, 30, failed=4), activity(0, 10), at(0), (count(0, 100), count(4, 80)))
    assert found == Rates(seconds=2.0, growth=10.0, ended=0.0, failed=2.0, backlog=-5.0, started=0.0)


def moved(now: Activity, before: Activity | None) -> tuple[float | None, float | None]:
    found = rates_of(now, before, at(0), ())
    return found.created, found.removed


def test_what_was_created_is_what_there_is_more_and_what_was_removed() -> None:
    before = activity(0, 100, removed=1000)
    assert moved(activity(2, 90, removed=1030), before) == (10.0, 15.0)
    assert moved(activity(2, 60, removed=1030), before) == (0.0, 15.0), "not less than none"
    assert moved(activity(2, 90, removed=None), before) == (None, None)
    assert moved(activity(2, 90, removed=1030), activity(0, 100)) == (None, None)
    assert moved(activity(2, 90, removed=5), before) == (None, None), "the server was restarted"
    assert moved(activity(2, 90, removed=1030), replace(before, server="other:1")) == (None, None)
    assert moved(before, None) == (None, None)


def test_how_many_are_started_is_known_if_every_pool_says_so() -> None:
    old, new = POOL, replace(POOL, start_rates={"a": 2.0, "b": 0.5})
    assert rates_of(activity(0, 1, pools=(new, new)), None, at(-60), ()).started == 5.0
    assert rates_of(activity(0, 1, pools=(new, old)), None, at(-60), ()).started is None
    rows = [load_of(pool, activity(0, 1)) for pool in (old, new)]
    assert [one.started for one in rows] == [None, 2.5]
    made = sections(frame(pools=tuple(rows), types=None))[0]
    started = [one.name for one in made.columns].index("started")
    assert [row[started] for row in made.rows] == ["-", "2.5/s"]


def test_a_silent_pool_is_shown_as_such() -> None:
    silent = replace(POOL, state="running", silent=True, heard_ago=13.2)
    loads = (load_of(silent, activity(0, 1)), load_of(POOL, activity(0, 1)))
    told = frame(pools=loads, pools_alive=2, types=None)
    assert header(told, 100)[1].startswith("2 pools (1 silent)  ")
    assert [row[3] for row in sections(told)[0].rows] == ["silent for 13s", "-"]


def test_clocks_that_stand_still_give_no_rates() -> None:
    found = rates_of(activity(0, 30, failed=4), activity(0, 10), at(0), (count(0, 100), count(0, 80)))
    assert (found.growth, found.failed, found.backlog) == (None, None, None)


def test_clocks_that_are_set_back_give_no_rates() -> None:
    """As after a failover to a server whose clock is behind: what came in was not removed."""
    found = rates_of(activity(0, 30, failed=0), activity(2, 10), at(2), (count(2, 100), count(0, 120)))
    assert (found.growth, found.failed, found.backlog) == (None, None, None)


def test_failures_are_put_together_by_type_and_class() -> None:
    jobs = [
        FailedJob("1", "a", at(1), "E", "one", 1),
        FailedJob("2", "a", at(3), "E", "two", 1),
        FailedJob("3", "a", at(2), "F", "three", 1),
        FailedJob("4", "b", at(9), "E", "four", 1),
    ]
    found = alike(jobs)
    assert [(one.type, one.error, one.jobs, one.last_id, one.message) for one in found] == [
        ("b", "E", 1, "4", "four"),
        ("a", "E", 2, "2", "two"),
        ("a", "F", 1, "3", "three"),
    ]


def section(rows: int, share: int = 1) -> Section:
    return Section((Column("x"),), tuple((str(n),) for n in range(rows)), share)


def height(shown: list[Section]) -> int:
    """Return the lines that these take: a heading each, and an empty line between two."""
    return sum(1 + len(one.rows) for one in shown) + max(0, len(shown) - 1)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 4)), max_size=5),
    st.integers(-5, 80),
)
def test_what_is_shown_fits_and_leaves_no_room_that_something_needs(
    wanted: list[tuple[int, int]], room: int
) -> None:
    shown = fitted([section(rows, share) for rows, share in wanted], room)
    assert height(shown) <= max(0, room)
    assert all(one.rows for one in shown)
    assert [one.left_out for one in shown] == [
        rows - len(one.rows) for one, (rows, _) in zip(shown, wanted, strict=False)
    ]
    if any(one.left_out for one in shown):
        assert height(shown) == room
    if len(shown) < len(wanted):
        assert 3 * (len(shown) + 1) - 1 > room


def test_what_is_large_does_not_crowd_out_the_rest() -> None:
    shown = fitted([section(100, 4), section(100, 2), section(3, 2)], 25)
    assert [len(one.rows) for one in shown] == [11, 6, 3]


def test_parts_stand_in_as_few_lines_as_there_is_room_for() -> None:
    assert flowed(["aaa", "bbb", "ccc"], 8) == ["aaa  bbb", "ccc"]
    assert flowed(["aaaaaaaaaa", "b"], 4) == ["aaaaaaaaaa", "b"]
    assert flowed([], 4) == []
    assert flowed(["日本", "日本"], 9) == ["日本", "日本"]


def test_the_header_says_what_is_wrong_with_all_of_it() -> None:
    told = frame(
        paused=Paused(everything=Pause(at(-300), "deploy")),
        trouble="nobody\x1b[2J answers",
        trouble_since=at(-5),
        uncounted="it took too long",
        counted_at=at(-9),
        members=3,
        unreachable=("g:1", "g:2"),
    )
    lines = header(told, 100, now=NOW)
    assert lines == [
        "12:00:00Z  shop.jobs  rs h:1  3 members",
        "1 pool  2 of 4 threads busy  1,234 jobs +5/s  counted 9s ago",
        "created 7/s  started -  ended 4/s  failed 0/s  backlog -2/s",
        "UNREACHABLE: g:1, g:2",
        "PAUSED: every type (5m ago)",
        "NOT COUNTED: it took too long",
        "NO ANSWER for 5s, since 11:59:55Z: nobody\\x1b[2J answers",
    ]


@pytest.mark.parametrize(
    ("order", "first"),
    [("due", "b"), ("type", "a"), ("failed", "b"), ("oldest", "b"), ("rate", "b"), ("started", "a")],
    ids=str,
)
def test_types_are_sorted_as_asked(order: str, first: str) -> None:
    assert sections(frame(), order)[0].rows[0][0] == first
    assert order in ORDERS


def test_a_plain_frame_leaves_nothing_out() -> None:
    types = tuple(TypeOverview(type=f"type{n}", due=n) for n in range(100))
    lines = plain(frame(types=types))
    assert sum(line.startswith("type") for line in lines) == 100


def test_a_frame_that_has_not_been_counted_yet_shows_the_rest() -> None:
    assert sections(frame(types=None)) == []
    assert header(frame(types=None, counted_at=None), 80)[1] == "1 pool  2 of 4 threads busy  1,234 jobs +5/s"


def test_the_help_fits_into_a_small_window() -> None:
    lines = HELP.splitlines()
    assert (max(map(len, lines)) <= 60, len(lines) <= 20) == (True, True)


class Answers:
    """A manager whose jobs are counted slowly; it says what is paused as it is told."""

    def __init__(self) -> None:
        self.paused = Paused()
        self.asked_at: list[float | None] = []
        self.looker: Looker
        self.store = SimpleNamespace(name="shop.jobs")

    def activity(self, **_: Any) -> Activity:
        return activity(0, 10, paused=self.paused)

    def backlog(self) -> Backlog:
        self.asked_at.append(self.looker._asked_at)
        return count(0, len(self.asked_at))


@pytest.fixture
def answers() -> Answers:
    manager = Answers()
    manager.looker = Looker(cast("JobManager", manager), 1.0)
    manager.looker._before = manager.activity()
    return manager


def test_counting_is_not_taken_for_silence(answers: Answers) -> None:
    """With millions of jobs it takes seconds, and MongoDB has just answered."""
    answers.looker._asked_at = 0.0
    answers.looker.look()
    assert answers.asked_at == [None]


def test_types_are_counted_anew_once_something_else_is_paused(answers: Answers) -> None:
    """Or they are shown as paused, or not, as long as counting rests."""
    looker = answers.looker
    looker.look()
    looker._count_at = math.inf
    looker.look()
    assert len(answers.asked_at) == 1
    answers.paused = Paused(types={"a": Pause(NOW)})
    looker.look()
    assert len(answers.asked_at) == 2
