"""Durations and instants as people type them, and the database in a URI."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from jobpool.cli.options.amounts import before, instant, seconds
from jobpool.store.uris import database_in


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90", 90),
        ("0", 0),
        ("1.5", 1.5),
        ("15m", 900),
        ("2h30m", 9000),
        ("2h 30m", 9000),
        ("7D", 604800),
        ("1w", 604800),
    ],
)
def test_a_duration_is_a_number_or_has_units(text: str, meant: float) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "h", "2x", "-5", "nan", "inf", "1h30", "1e30", "200000w", "٣m x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


def test_an_instant_has_its_time_zone() -> None:
    assert instant("2026-11-27T12:00:00Z") == datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert instant("2026-11-27T12:00:00+01:00") == datetime(2026, 11, 27, 11, tzinfo=UTC)
    with pytest.raises(argparse.ArgumentTypeError, match="has no time zone"):
        instant("2026-11-27T12:00:00")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no instant"):
        instant(text)


def test_an_age_beyond_the_first_year_is_the_beginning() -> None:
    assert before(datetime(50, 1, 1, tzinfo=UTC), 99 * 365 * 86400).year == 1


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("mongodb://host/shop", "shop"),
        ("mongodb://host:1/shop?x=/y", "shop"),
        ("mongodb://u:p%2F@a,b/my%20shop?replicaSet=r", "my shop"),
        ("mongodb+srv://u:p@host/shop", "shop"),
        ("mongodb://host", None),
        ("mongodb://host/", None),
        ("mongodb://host/?tls=true", None),
        ("mongodb:///shop", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_a_uri_may_name_the_database(uri: str, named: str | None) -> None:
    assert database_in(uri) == named
