"""A request for a job: all of it is checked before anything is sent."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jobpool.backoff import MAX_DELAY
from jobpool.errors import InvalidJob
from jobpool.executors import MAX_ATTEMPTS
from jobpool.ids import job_id
from jobpool.names import MAX_ID
from jobpool.request import MAX_PRIORITY, JobRequest, request_of

LIMIT = 1000
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def ask(**job: Any) -> JobRequest:
    return request_of({"type": "t", **job}, LIMIT)


def test_the_type_is_enough() -> None:
    request = ask()
    assert (request.data, request.priority, request.max_attempts) == (None, 0, None)
    assert request.due_at(NOW) == NOW


def test_the_id_is_the_hash_of_type_and_data() -> None:
    assert ask(data={"a": 1}).job_id == job_id("t", {"a": 1})


def test_an_own_id_is_kept() -> None:
    assert ask(id="x" * MAX_ID).job_id == "x" * MAX_ID


@pytest.mark.parametrize("id", ["", "x" * (MAX_ID + 1), "a\0b", 5, {"$ne": 1}])
def test_an_own_id_is_checked(id: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^id must "):
        ask(id=id)


def test_unknown_keys_are_named() -> None:
    with pytest.raises(InvalidJob, match=r"^unknown keys in a job: 5, prio; known: type, data, "):
        request_of({"type": "t", "prio": 1, 5: 1}, LIMIT)  # type: ignore[dict-item]


def test_the_limit_is_not_the_callers() -> None:
    with pytest.raises(InvalidJob, match="unknown keys in a job: limit;"):
        ask(limit=10**9)


def test_a_type_is_needed() -> None:
    with pytest.raises(InvalidJob, match="a job needs a type"):
        request_of({"data": 1}, LIMIT)


@pytest.mark.parametrize("job", [None, "t", ["t"], ("t", 1)])
def test_a_job_must_be_a_mapping(job: Any) -> None:
    with pytest.raises(InvalidJob, match=f"must be a mapping .* not {type(job).__name__}"):
        request_of(job, LIMIT)


@pytest.mark.parametrize("type", ["", "a\nb", None, {"$gt": ""}])
def test_the_type_is_checked(type: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^type must "):
        ask(type=type)


def test_the_data_are_checked() -> None:
    with pytest.raises(InvalidJob, match=r"^data\.a: set cannot be stored"):
        ask(data={"a": set()})


def test_the_data_are_checked_beside_an_own_id() -> None:
    with pytest.raises(InvalidJob, match=r"^data: set"):
        ask(data=set(), id="own")


def test_the_size_of_the_data_is_limited() -> None:
    with pytest.raises(InvalidJob, match=rf"^data: \d+ bytes as BSON, over the limit of {LIMIT}"):
        ask(data="x" * LIMIT)


@pytest.mark.parametrize("priority", [-MAX_PRIORITY, 0, MAX_PRIORITY])
def test_a_priority_within_its_bounds_is_kept(priority: int) -> None:
    assert ask(priority=priority).priority == priority


@pytest.mark.parametrize("priority", [-MAX_PRIORITY - 1, MAX_PRIORITY + 1, 1.0, True, "1", None])
def test_another_priority_is_refused(priority: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^priority must be "):
        ask(priority=priority)


@pytest.mark.parametrize("attempts", [None, 1, MAX_ATTEMPTS])
def test_attempts_within_their_bounds_are_kept(attempts: int | None) -> None:
    assert ask(max_attempts=attempts).max_attempts == attempts


@pytest.mark.parametrize("attempts", [0, -1, MAX_ATTEMPTS + 1, True, 1.0])
def test_other_attempts_are_refused(attempts: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^max_attempts must be "):
        ask(max_attempts=attempts)


def test_a_delay_counts_from_now() -> None:
    assert ask(delay=1.5).due_at(NOW) == NOW + timedelta(seconds=1.5)


def test_a_delay_may_be_ten_years() -> None:
    assert ask(delay=MAX_DELAY).due_at(NOW) == NOW + timedelta(days=3650)


@pytest.mark.parametrize("delay", [-1, MAX_DELAY + 1, math.nan, math.inf, "1", True])
def test_another_delay_is_refused(delay: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^delay must be "):
        ask(delay=delay)


def test_an_instant_is_kept() -> None:
    at = NOW + timedelta(hours=1)
    assert ask(run_at=at).due_at(NOW) == at


def test_an_instant_of_any_zone_becomes_utc() -> None:
    at = datetime(2024, 1, 1, 3, tzinfo=timezone(timedelta(hours=2)))
    assert str(ask(run_at=at).due_at(NOW)) == "2024-01-01 01:00:00+00:00"


def test_a_past_instant_is_accepted() -> None:
    at = NOW - timedelta(days=1)
    assert ask(run_at=at).due_at(NOW) == at


def test_an_instant_may_be_ten_years_ahead() -> None:
    at = NOW + timedelta(days=3650)
    assert ask(run_at=at).due_at(NOW) == at


def test_a_later_instant_is_refused() -> None:
    request = ask(run_at=NOW + timedelta(days=3650, milliseconds=1))
    with pytest.raises(InvalidJob, match=r"^run_at must be within ten years"):
        request.due_at(NOW)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(InvalidJob, match=r"^run_at must be timezone-aware"):
        ask(run_at=datetime(2024, 1, 1))


def test_an_instant_and_a_delay_contradict_each_other() -> None:
    with pytest.raises(InvalidJob, match="either run_at or delay, not both"):
        ask(run_at=NOW, delay=0)
