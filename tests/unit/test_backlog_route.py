"""What autoscalers read: the last count as JSON."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from jobpool.backlog import AlivePool, Backlog, TypeBacklog, View
from jobpool.http import Asked, backlog_route

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
TYPES = {
    "email": TypeBacklog(due=960, running=3, oldest_due_age=12.3456, throughput=8.0, run_seconds=1.0),
    "a.b $x": TypeBacklog(due=32, scheduled=5),
}
POOLS = (
    AlivePool("one", "host", 1, frozenset({"email"}), 16, {}),
    AlivePool("two", "host", 2, frozenset({"email", "a.b $x"}), 8, {}),
)


def ask(query: str = "", age: float = 0.0) -> tuple[int, Any]:
    view = View(Backlog(TYPES, POOLS, AT, 0.01), time.monotonic() - age)
    status, content_type, body = backlog_route(lambda: view, "none")(Asked(query=query))
    assert content_type == ("application/json" if status == 200 else "text/plain; charset=utf-8")
    return status, json.loads(body) if status == 200 else body.decode()


def test_everything_is_told_of_all_types_and_of_each() -> None:
    status, body = ask(age=7)
    assert status == 200
    assert 7 <= body.pop("age_seconds") < 37
    types = body.pop("types")
    assert body == {
        "due": 992,
        "scheduled": 5,
        "claimed": 0,
        "running": 3,
        "failed": 0,
        "waiting": 0,
        "oldest_due_age_seconds": 12.346,
        "throughput_per_second": 8.0,
        "run_seconds": 1.0,
        "paused": False,
        "suggested_pools": 5,  # (16 + 3 + 32 threads) / 12
        "target_seconds": 60.0,
        "pools_alive": 2,
        "threads_alive": 24,
        "counted_at": "2026-11-27T12:00:00+00:00",
    }
    assert list(types) == ["email", "a.b $x"]
    assert (types["email"]["due"], types["email"]["suggested_pools"], types["email"]["pools_alive"]) == (960, 2, 2)
    assert types["a.b $x"] == {
        "due": 32,
        "scheduled": 5,
        "claimed": 0,
        "running": 0,
        "failed": 0,
        "waiting": 0,
        "oldest_due_age_seconds": 0.0,
        "throughput_per_second": 0.0,
        "run_seconds": None,
        "paused": False,
        "suggested_pools": 4,
        "pools_alive": 1,
        "threads_alive": 8,
    }


@pytest.mark.parametrize(
    ("asked", "due", "suggested"),
    [
        ([("type", "email")], 960, 2),
        ([("type", "a.b $x")], 32, 4),
        ([("type", "email"), ("type", "a.b $x"), ("type", "email")], 992, 5),
        ([("type", "nobody's")], 0, 0),
        ([("target", "6")], 992, 17),  # (160 + 3 + 32 threads) / 12
        ([("target", "6.0"), ("threads", "1"), ("type", "email")], 960, 163),
        ([("maximum", "3")], 992, 3),
        ([("minimum", "7"), ("maximum", "9")], 992, 7),
    ],
    ids=["one", "odd", "several", "unknown", "target", "threads", "maximum", "minimum"],
)
def test_what_is_asked_for_is_told(asked: list[tuple[str, str]], due: int, suggested: int) -> None:
    status, body = ask(urlencode(asked))
    assert status == 200
    assert (body["due"], body["suggested_pools"]) == (due, suggested)
    chosen = list(dict.fromkeys(value for name, value in asked if name == "type"))
    assert list(body["types"]) == (chosen or list(TYPES))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("taget=5", "there is no 'taget' to ask for; known: type, target, threads, minimum, maximum"),
        ("target=soon", "target must be a number, not 'soon'"),
        ("target=", "target must be a number, not ''"),
        ("target=nan", "target must be between 1 and "),
        ("target=0", "target must be between 1 and "),
        ("threads=1.5", "threads must be a number, not '1.5'"),
        ("target=1&target=2", "target is there 2 times"),
        ("maximum=-1", "maximum must be between 0 and "),
        ("type=", "type must have 1 to "),
        ("type=%00", "type must not hold control characters"),
        ("type=" + "x" * 200, "type must have 1 to "),
        ("&".join(["type=x"] * 300), "Max number of fields exceeded"),
        ("minimum=" + "9" * 5000, "minimum must be "),
    ],
    ids=lambda value: value[:20],
)
def test_what_cannot_be_meant_is_a_400_with_the_reason(query: str, words: str) -> None:
    status, body = ask(query)
    assert status == 400
    assert body.startswith(words)
    assert len(body) < 300


@pytest.mark.parametrize("name", ["", "x" * 300, "a\nb"], ids=["empty", "long", "lines"])
def test_what_others_stored_under_a_name_that_is_none_is_told_like_all_else(name: str) -> None:
    view = View(Backlog({**TYPES, name: TypeBacklog(due=12)}, POOLS, AT, 0.01), time.monotonic())
    status, _, body = backlog_route(lambda: view, "none")(Asked())
    assert status == 200
    types = json.loads(body)["types"]
    assert (types["email"]["suggested_pools"], types[name]["due"], types[name]["suggested_pools"]) == (2, 12, 1)


def test_without_a_count_it_is_a_503_that_says_why() -> None:
    answer = backlog_route(lambda: None, "not counted here")(Asked())
    assert answer == (503, "text/plain; charset=utf-8", b"not counted here\n")
