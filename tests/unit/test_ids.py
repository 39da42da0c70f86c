"""The id of a job: equal for equal work, different for different work."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from jobpool.data import canonical
from jobpool.errors import InvalidJob
from jobpool.ids import hash_of, job_id

from .storable import DATA, round_trip, shuffled


@given(DATA)
def test_a_round_trip_does_not_change_the_id(data: Any) -> None:
    assert job_id("t", round_trip(data)) == job_id("t", data)


@given(DATA, st.randoms(use_true_random=False))
def test_key_order_does_not_change_the_id(data: Any, chance: random.Random) -> None:
    assert job_id("t", shuffled(data, chance)) == job_id("t", data)


@given(DATA, DATA)
def test_ids_are_equal_only_for_equal_canonical_data(one: Any, other: Any) -> None:
    assert (job_id("t", one) == job_id("t", other)) is (canonical(one) == canonical(other))


def test_the_algorithm_is_pinned() -> None:
    """Another algorithm would run stored work again: give it another prefix."""
    data = {
        "text": "grün \u2028 \U0001f600",
        "numbers": [1, -(2**40), 1.5, True, None],
        "$dollar": {"b": b"\x00\xff", "a": ObjectId("0123456789abcdef01234567")},
        "uuid": UUID("12345678-1234-5678-1234-567812345678"),
        "at": datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
        "price": Decimal128("1.50"),
    }
    assert job_id("a type", data) == "v1:b994608835ca5fc7ecb2990d2386ed84ffb19550865c36706f1d43128a58dd69"


def test_the_id_of_nothing_is_pinned() -> None:
    """It is ``printf 't\\x1fnull' | sha256sum``."""
    assert job_id("t", None) == "v1:31cef1d63500e569365d393a2213acdf94afed1006f846046f6a43371ed0888a"


def test_where_type_ends_and_data_begins_matters() -> None:
    assert job_id("a1", 2) != job_id("a", 12)


def test_the_type_matters() -> None:
    assert job_id("a", None) != job_id("b", None)


def test_an_int64_has_the_id_of_the_int() -> None:
    assert job_id("t", {"n": Int64(7)}) == job_id("t", {"n": 7})


def test_a_tuple_has_the_id_of_the_list() -> None:
    assert job_id("t", (1, 2)) == job_id("t", [1, 2])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"$numberInt": "5"}, 5),
        ({"$literal": {"$numberInt": "5"}}, {"$numberInt": "5"}),
        ({"$oid": "0123456789abcdef01234567"}, ObjectId("0123456789abcdef01234567")),
        (1, 1.0),
        (1, True),
        (0, False),
        (0.0, -0.0),
        ("1", 1),
        (None, "null"),
        ([], {}),
        (b"x", "x"),
        ([1, 2], [2, 1]),
        (Decimal128("1.0"), Decimal128("1.00")),
    ],
    ids=repr,
)
def test_different_data_have_different_ids(one: Any, other: Any) -> None:
    assert job_id("t", one) != job_id("t", other)


def test_instants_are_equal_whatever_their_zone() -> None:
    at = datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert job_id("t", at.astimezone()) == job_id("t", at)


def test_a_hash_of_canonical_data_is_the_id() -> None:
    assert hash_of("t", canonical({"a": 1})) == job_id("t", {"a": 1})


def test_data_that_cannot_be_stored_have_no_id() -> None:
    with pytest.raises(InvalidJob, match=r"^data\.a: set"):
        job_id("t", {"a": set()})
