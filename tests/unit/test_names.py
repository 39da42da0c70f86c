"""Checks of names, numbers and instants."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from jobpool.errors import InvalidConfiguration, InvalidJob
from jobpool.names import MAX_ID, MAX_NAME, check_instant, check_int, check_name, check_seconds


@pytest.mark.parametrize("name", ["a", "x" * MAX_NAME, "with space", "grün", "a.b/c:d-$", "\U0001f600"])
def test_a_usable_name_is_returned(name: str) -> None:
    assert check_name(name, "type") == name


@pytest.mark.parametrize("value", [None, 5, b"bytes", {"$ne": None}, ["a"], True])
def test_a_name_must_be_text(value: object) -> None:
    with pytest.raises(InvalidJob, match=f"^type must be a str, not {type(value).__name__}$"):
        check_name(value, "type")


@pytest.mark.parametrize("length", [0, MAX_NAME + 1])
def test_a_name_has_a_length(length: int) -> None:
    with pytest.raises(InvalidJob, match=f"^type must have 1 to {MAX_NAME} characters, not {length}$"):
        check_name("x" * length, "type")


def test_a_longer_limit_can_be_given() -> None:
    assert check_name("x" * MAX_ID, "id", longest=MAX_ID) == "x" * MAX_ID


@pytest.mark.parametrize(
    "character", ["\0", "\n", "\r", "\t", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"]
)
def test_a_name_holds_no_control_characters(character: str) -> None:
    with pytest.raises(InvalidJob, match=r"^type must not hold control characters"):
        check_name(f"a{character}b", "type")


def test_a_name_does_not_end_in_a_line_break() -> None:
    with pytest.raises(InvalidJob):
        check_name("a\n", "type")


@pytest.mark.parametrize("value", [1, 5, 10])
def test_an_int_within_its_bounds_is_returned(value: int) -> None:
    assert check_int(value, "threads", 1, 10) == value


@pytest.mark.parametrize("value", [0, 11, -5])
def test_an_int_out_of_its_bounds_is_refused(value: int) -> None:
    with pytest.raises(InvalidConfiguration, match=f"^threads must be between 1 and 10, not {value}$"):
        check_int(value, "threads", 1, 10)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_what_is_no_int_is_refused(value: object) -> None:
    with pytest.raises(InvalidConfiguration, match=f"^threads must be an int, not {type(value).__name__}$"):
        check_int(value, "threads", 0, 10)


def test_the_error_can_be_chosen() -> None:
    with pytest.raises(InvalidJob):
        check_int(11, "priority", 1, 10, error=InvalidJob)
    with pytest.raises(InvalidJob):
        check_seconds(11, "delay", 1, 10, error=InvalidJob)


def test_seconds_become_a_float() -> None:
    seconds = check_seconds(5, "delay", 0, 10)
    assert (seconds, type(seconds)) == (5.0, float)


@pytest.mark.parametrize("value", [-0.1, 10.1, math.nan, math.inf, -math.inf])
def test_seconds_out_of_their_bounds_are_refused(value: float) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^delay must be between 0 and 10 seconds, not "):
        check_seconds(value, "delay", 0, 10)


@pytest.mark.parametrize("value", [True, "1", None, timedelta(seconds=1)])
def test_what_is_no_number_of_seconds_is_refused(value: object) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^delay must be a number of seconds"):
        check_seconds(value, "delay", 0, 10)


def test_an_instant_comes_back_in_utc() -> None:
    at = check_instant(datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "run_at")
    assert (at, at.tzinfo) == (datetime(2024, 1, 1, tzinfo=UTC), UTC)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(InvalidJob, match=r"^run_at must be timezone-aware"):
        check_instant(datetime(2024, 1, 1), "run_at")


@pytest.mark.parametrize("value", [date(2024, 1, 1), "2024-01-01", 0, None])
def test_what_is_no_datetime_is_refused(value: object) -> None:
    with pytest.raises(InvalidJob, match=f"^run_at must be a datetime, not {type(value).__name__}$"):
        check_instant(value, "run_at")
