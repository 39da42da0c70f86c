"""What a schedule is, and what is to be done about one that is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.errors import InvalidConfiguration
from jobpool.schedules import (
    Definition,
    Schedule,
    anchor_of,
    changed_due,
    definition_of,
    firing_id,
    firing_of,
    first_due,
)

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def definition(when: object = "0 * * * *", **options: Any) -> Definition:
    given = {
        "tz": None,
        "start_at": None,
        "catch_up": "last",
        "overlap": None,
        "jitter": 0,
        "type": "a",
        "data": {"n": 1},
        "priority": 0,
        "max_attempts": None,
        "timeout": None,
        "key": None,
    }
    return definition_of(when, **(given | options))


def schedule(when: object = "0 * * * *", next_at: datetime | None = NOON, **options: Any) -> Schedule:
    made = definition(when, **options)
    return Schedule(
        **{name: getattr(made, name) for name in Definition.__dataclass_fields__},
        name="hourly",
        paused=False,
        next_at=next_at,
        anchor=NOON,
        last=None,
        skipped=0,
        created_at=NOON,
        changed_at=NOON,
        revision="r",
    )


def test_the_id_of_a_firing_is_its_name_and_due_time() -> None:
    assert firing_id("a@b", NOON) == "a@b@2026-11-27T12:00:00Z"
    assert firing_id("a", NOON + timedelta(milliseconds=250)) == "a@2026-11-27T12:00:00.250Z"
    elsewhere = NOON.astimezone(ZoneInfo("Asia/Tokyo"))
    assert firing_id("a", elsewhere) == firing_id("a", NOON)
    assert datetime.fromisoformat(firing_id("a", NOON).rpartition("@")[2]) == NOON


@given(
    names=st.lists(st.text("@a-:0Z", max_size=5), min_size=2, max_size=2),
    due=st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2),
)
def test_different_firings_have_different_ids(names: list[str], due: list[datetime]) -> None:
    due = [one.replace(microsecond=one.microsecond // 1000 * 1000) for one in due]
    same = (names[0], due[0]) == (names[1], due[1])
    assert (firing_id(names[0], due[0]) == firing_id(names[1], due[1])) is same


def test_what_is_not_due_is_not_fired() -> None:
    assert firing_of(schedule(), NOON - SECOND) is None
    assert firing_of(schedule(next_at=None), NOON) is None


@pytest.mark.parametrize("when", ["0 * * * *", 3600.0], ids=["cron", "interval"])
@pytest.mark.parametrize(
    ("catch_up", "late", "due", "following"),
    [
        ("last", 0 * SECOND, NOON, NOON + HOUR),
        ("last", 3.5 * HOUR, NOON + 3 * HOUR, NOON + 4 * HOUR),
        ("all", 0 * SECOND, NOON, NOON + HOUR),
        ("all", 3.5 * HOUR, NOON, NOON + HOUR),
        ("none", 59 * SECOND, NOON, NOON + HOUR),
        ("none", 60 * SECOND, None, NOON + HOUR),
        ("none", 3.5 * HOUR, None, NOON + 4 * HOUR),
        ("none", 3 * HOUR + SECOND, NOON + 3 * HOUR, NOON + 4 * HOUR),
    ],
    ids=range(8),
)
def test_what_is_caught_up_on(
    when: object, catch_up: str, late: timedelta, due: datetime | None, following: datetime
) -> None:
    firing = firing_of(schedule(when, catch_up=catch_up), NOON + late)
    assert firing is not None
    assert (firing.due, firing.next_at) == (due, following)


def test_a_stored_due_time_is_fired_also_if_it_is_none_by_the_expression_any_more() -> None:
    """Somebody wrote it, or the rules of a zone have changed since."""
    firing = firing_of(schedule(next_at=NOON + 7 * SECOND), NOON + 60 * SECOND)
    assert firing is not None
    assert (firing.due, firing.next_at) == (NOON + 7 * SECOND, NOON + HOUR)


@given(
    every=st.floats(1, 100_000),
    late=st.floats(0, 1e7),
    catch_up=st.sampled_from(["none", "last", "all"]),
)
def test_a_firing_always_moves_on_and_never_fires_the_future(every: float, late: float, catch_up: str) -> None:
    now = NOON + timedelta(milliseconds=int(late * 1000))
    firing = firing_of(schedule(every, catch_up=catch_up), now)
    assert firing is not None
    assert firing.next_at is not None
    assert firing.next_at > NOON
    if catch_up == "all":
        assert firing.due == NOON
        assert firing.next_at - NOON == timedelta(milliseconds=round(every * 1000))
    else:
        assert firing.next_at > now
    if firing.due is not None:
        assert NOON <= firing.due <= now


@given(jitter=st.floats(0, 86400), hours=st.integers(0, 10_000))
def test_jitter_delays_by_less_than_it_says_and_all_pools_agree(jitter: float, hours: int) -> None:
    due = NOON + hours * HOUR
    one = firing_of(schedule(next_at=due, jitter=jitter), due)
    other = firing_of(schedule(next_at=due, jitter=jitter), due + SECOND)
    assert one is not None
    assert other is not None
    assert one.run_at is not None
    assert one.run_at == other.run_at
    assert timedelta() <= one.run_at - due < max(timedelta(seconds=jitter), timedelta(microseconds=1))


def test_jitter_spreads() -> None:
    delays = set()
    for hours in range(100):
        due = NOON + hours * HOUR
        firing = firing_of(schedule(next_at=due, jitter=100), due)
        assert firing is not None
        assert firing.run_at is not None
        delays.add((firing.run_at - due) // (25 * SECOND))
    assert delays == {0, 1, 2, 3}


def test_the_next_due_times() -> None:
    made = schedule()
    assert made.next() == [NOON]
    assert made.next(3) == [NOON, NOON + HOUR, NOON + 2 * HOUR]
    assert replace(made, next_at=None, paused=True).next(3) == []
    with pytest.raises(InvalidConfiguration, match="count"):
        made.next(0)


def test_the_same_definition_is_known_whatever_it_is_written_as() -> None:
    assert definition(" 0   * * * * ").same(definition())
    assert definition(timedelta(hours=1)).same(definition(3600))
    assert definition(tz="UTC").same(definition())
    assert definition(tz=ZoneInfo("Asia/Tokyo")).same(definition(tz="Asia/Tokyo"))
    assert definition(data={"at": NOON, "n": (1, 2)}).same(definition(data={"n": [1, 2], "at": NOON}))
    assert not definition(data={"n": 1.0}).same(definition(data={"n": 1}))
    assert not definition(jitter=1).same(definition())


def test_first_due_times() -> None:
    now = NOON + timedelta(minutes=20)
    assert first_due(definition(), NOON, now) == NOON + HOUR
    assert first_due(definition(start_at=NOON + 5 * HOUR), NOON, now) == NOON + 5 * HOUR
    past = NOON - 10 * HOUR
    assert first_due(definition(start_at=past), NOON, now) == NOON + HOUR, "it only says from when on"
    assert first_due(definition(start_at=past, catch_up="all"), NOON, now) == past
    daily = definition(86400, start_at=past)
    assert first_due(daily, anchor_of(daily, None, now), now) == past + 24 * HOUR


def test_what_was_due_before_a_change_is_due_by_the_new_definition() -> None:
    new = definition("0,30 * * * *")
    later = NOON + timedelta(seconds=1)
    assert changed_due(schedule(next_at=NOON), new, NOON, later) == NOON, "nobody has fired it yet"
    assert changed_due(schedule(next_at=NOON + HOUR), new, NOON, later) == NOON + timedelta(minutes=30)
    assert changed_due(replace(schedule(next_at=None), paused=True), new, NOON, later) is None


def test_an_interval_counts_from_its_start_or_from_when_it_was_stored_first() -> None:
    plain, started = definition(60), definition(60, start_at=NOON + HOUR)
    now = NOON + timedelta(milliseconds=700)
    assert anchor_of(plain, None, now) == NOON
    assert anchor_of(started, None, now) == NOON + HOUR
    old = replace(schedule(60), anchor=NOON - HOUR)
    assert anchor_of(definition(90), old, now) == NOON - HOUR
    assert anchor_of(plain, replace(old, start_at=NOON - HOUR), now) == NOON


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"when": None}, "when must be"),
        ({"when": True}, "when must be"),
        ({"when": 0.5}, "interval"),
        ({"when": float("nan")}, "interval"),
        ({"when": timedelta(days=400)}, "interval"),
        ({"when": "0 0 30 2 *"}, "cron expression"),
        ({"when": 60, "tz": "UTC"}, "tz is for cron"),
        ({"tz": "Nowhere"}, "no time zone"),
        ({"start_at": datetime(2026, 1, 1)}, "timezone-aware"),
        ({"start_at": datetime(9999, 1, 1, tzinfo=UTC)}, "years 1970"),
        ({"start_at": 7}, "datetime"),
        ({"catch_up": "some"}, "catch_up"),
        ({"catch_up": ["all"]}, "catch_up"),
        ({"overlap": "never"}, "overlap"),
        ({"overlap": "skip", "catch_up": "all"}, "skip all of them but one"),
        ({"jitter": -1}, "jitter"),
        ({"jitter": 1e6}, "jitter"),
    ],
    ids=range(17),
)
def test_what_cannot_be_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidConfiguration, match=what):
        definition(**options)


def test_defaults() -> None:
    made = definition()
    assert (made.tz, made.overlap, made.catch_up, made.jitter) == ("UTC", "skip", "last", 0.0)
    assert definition(catch_up="all").overlap == "queue"
    assert "data" not in repr(made)
