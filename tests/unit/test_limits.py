"""Limits and keys, without a server."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from bson import ObjectId

from jobpool import Executor, Limit
from jobpool.errors import InvalidConfiguration
from jobpool.executors import Executors
from jobpool.limits import KeyOf


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"running": 0},
        {"running": 1.5},
        {"running": True},
        {"rate": 0},
        {"rate": float("nan")},
        {"rate": "5"},
        {"rate": 1, "per": 0},
        {"rate": 1, "burst": 0},
        {"running": 1, "burst": 2},
    ],
    ids=str,
)
def test_a_limit_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration):
        Limit(**options)


@pytest.mark.parametrize(
    ("limit", "most", "tokens"),
    [
        (Limit(running=7), 7, 1),
        (Limit(rate=10), 10, 10),
        (Limit(rate=0.5), 1, 1),
        (Limit(rate=10, burst=3), 3, 3),
        (Limit(rate=10, burst=30, running=5), 5, 30),
    ],
    ids=str,
)
def test_one_claim_takes_no_more_than_a_limit_could_ever_let_through(limit: Limit, most: int, tokens: int) -> None:
    assert (limit.most, limit.tokens) == (most, tokens)


def test_a_rate_is_per_its_time() -> None:
    assert Limit(rate=60, per=60).per_millisecond == Limit(rate=1).per_millisecond == 0.001


ID, UUID = ObjectId(), uuid.uuid4()


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"customer": {"id": "x"}}, "x"),
        ({"customer": {"id": 5}}, "5"),
        ({"customer": {"id": ID}}, str(ID)),
        ({"customer": {"id": UUID}}, str(UUID)),
        ({"customer": {"id": None}}, ""),
        ({"customer": {"id": 1.5}}, ""),
        ({"customer": {"id": "x" * 257}}, ""),
        ({"customer": {"id": ["x"]}}, ""),
        ({"customer": "x"}, ""),
        ({}, ""),
        (None, ""),
    ],
    ids=["text", "int", "id", "uuid", "none", "float", "long", "list", "shallow", "absent", "no data"],
)
def test_a_path_finds_the_key(data: Any, key: str) -> None:
    assert KeyOf("customer.id")("a", data) == key


def test_a_function_that_raises_makes_no_key_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    key = KeyOf(lambda data: data["tenant"])
    assert [key("a", {}), key("a", {"tenant": "x"}), key("a", {})] == ["", "x", ""]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("key", ["", "a..b", ".", 5], ids=str)
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="key"):
        Executor(print, key=key)


def test_a_limit_of_each_key_needs_a_key() -> None:
    with pytest.raises(InvalidConfiguration, match="key="):
        Executor(print, key_limit=Limit(running=1))


def test_what_is_no_limit_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="Limit"):
        Executor(print, limit=5)  # type: ignore[arg-type]


def test_only_types_with_keys_or_limits_have_gates_and_aliases_share_them() -> None:
    executors = Executors({"a": Executor(print, key="tenant", aliases=["old"]), "plain": print})
    gate = executors.gate("a")
    assert gate is not None
    assert gate is executors.gate("old")
    assert (gate.owner, gate.types) == ("a", ("a", "old"))
    assert executors.gate("plain") is None
    assert executors.key_of("old", {"tenant": "x"}) == "x"
    assert executors.key_of("plain", {"tenant": "x"}) is None
