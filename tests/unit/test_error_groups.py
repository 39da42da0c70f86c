"""Messages without what differs from job to job."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.error_groups import LONGEST, PREFIX, pattern_of, sign_of


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("user 17 not found in '/tmp/a7'", "user # not found in '*'"),
        ("can't open file /var/x/y.txt: [Errno 2] No such file", "can't open file /*: [Errno #] No such file"),
        ("'foo'", "'*'"),
        ("\"no key 'a' in 5\"", "no key '*' in #"),
        ('bad key "a b" here', "bad key '*' here"),
        ("no column `id`", "no column '*'"),
        ("it's Bob's 'x\\'y' z", "it's Bob's '*' z"),
        ("job 5f2a9c11-0a1b-4c2d-8e3f-0123456789ab is gone", "job # is gone"),
        ("job 5F2A9C11-0A1B-4C2D-8E3F-0123456789AB is gone", "job # is gone"),
        ("took 1.5e-05 s, want -3 or 10,000", "took # s, want # or #"),
        ("commit deadbeef12 is bad", "commit # is bad"),
        ("at 0x7f00aa", "at #"),
        ("id v1:" + "3fa9" * 16, "id v#:#"),
        ("session aZ3kd9QpLmNoPq77xy expired", "session # expired"),
        ("https://a.b/c?d=1 refused", "*://* refused"),
        ("in C:\\Users\\me\\f.txt and ~/a/b and ../x/y", "in /* and /* and /*"),
        ("12/13 done, and/or more", "#/# done, and/or more"),
        ("a\n  b\tc", "a b c"),
        ("internationalization failed", "internationalization failed"),
        ("", ""),
    ],
    ids=str,
)
def test_what_differs_is_replaced(message: str, pattern: str) -> None:
    assert pattern_of(message) == pattern


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timeout after 3 s", "timeout after 30.5 s"),
        ("no file '/a'", "no file '/b c/d'"),
        ("x" * 150 + " 'q" + "q" * 500, "x" * 150 + " 'z" + "z" * 500),
        ("token deadbeefcafe1 bad", "token 0123456789abc bad"),
    ],
    ids=["numbers", "paths", "cut through", "hex"],
)
def test_alike_is_alike(one: str, other: str) -> None:
    assert pattern_of(one) == pattern_of(other)


def test_what_is_said_differently_stays_apart() -> None:
    assert pattern_of("connection refused") != pattern_of("connection reset")


@given(st.text(max_size=600))
def test_a_pattern_is_one_short_line_without_digits(message: str) -> None:
    pattern = pattern_of(message)
    assert len(pattern) <= LONGEST
    assert not re.search("[0-9]", pattern)
    assert pattern == " ".join(pattern.split())


@given(st.text(max_size=600))
def test_digits_may_be_masked_before(message: str) -> None:
    """MongoDB does that, so that a million messages become a few."""
    masked = re.sub("[0-9]", "0", message[:PREFIX])
    assert pattern_of(masked) == pattern_of(message)


@pytest.mark.parametrize("part", ["'", '"\\', "/a", "0.", "a0", "~/", "x://", "a" * 50], ids=str)
def test_hostile_messages_are_taken_as_well(part: str) -> None:
    assert len(pattern_of(part * PREFIX)) <= LONGEST


def test_a_sign_has_eight_digits() -> None:
    assert re.fullmatch("[0-9a-f]{8}", sign_of("a", "b", "\ud800"))
