"""What data may hold, and its canonical form."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, Regex, json_util
from bson.binary import UuidRepresentation
from hypothesis import given

from jobpool.data import MAX_DEPTH, MAX_INT, MIN_INT, canonical, check_size, encoded_size, relaxed
from jobpool.errors import InvalidJob

from .storable import DATA, PLAIN_DATA, round_trip

JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)

RELAXED = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)


def folded(data: Any) -> Any:
    """Return `data` with `Int64` as plain int, which json_util tells apart and jobpool does not."""
    if isinstance(data, dict):
        return {key: folded(item) for key, item in data.items()}
    if isinstance(data, list):
        return [folded(item) for item in data]
    return int(data) if isinstance(data, Int64) else data


def nested(depth: int) -> list[Any]:
    data: list[Any] = []
    for _ in range(depth - 1):
        data = [data]
    return data


@given(PLAIN_DATA)
def test_canonical_is_what_json_util_says_of_stored_data(data: Any) -> None:
    stored = folded(round_trip(data))
    assert canonical(data) == json.loads(json_util.dumps(stored, json_options=JSON, sort_keys=True))


@given(DATA)
def test_canonical_survives_a_round_trip(data: Any) -> None:
    assert canonical(round_trip(data)) == canonical(data)


@given(DATA)
def test_canonical_is_plain_json(data: Any) -> None:
    assert json.loads(json.dumps(canonical(data))) == canonical(data)


def test_an_int64_is_an_int() -> None:
    assert canonical(Int64(5)) == canonical(5) == {"$numberInt": "5"}


def test_a_tuple_is_a_list() -> None:
    assert canonical({"a": (1, ("x", ()))}) == canonical({"a": [1, ["x", []]]})


def test_a_key_with_a_dollar_sign_is_told_from_a_number() -> None:
    assert canonical({"$numberInt": "5"}) == {"$literal": {"$numberInt": "5"}}


def test_a_binary_subtype_is_kept() -> None:
    assert canonical(Binary(b"x", 5)) != canonical(b"x")


@pytest.mark.parametrize("value", [MIN_INT, -(2**31) - 1, -(2**31), 0, 2**31 - 1, 2**31, MAX_INT])
def test_ints_of_64_bits_are_accepted(value: int) -> None:
    assert int(round_trip(value)) == value
    assert next(iter(canonical(value).values())) == str(value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset({1}),
        float("nan"),
        float("inf"),
        float("-inf"),
        date(2024, 1, 1),
        datetime(2024, 1, 1),
        Decimal("1.5"),
        Decimal128("NaN"),
        Decimal128("-Infinity"),
        2**63,
        -(2**63) - 1,
        1j,
        range(3),
        bytearray(b"x"),
        Regex("x"),
        object(),
        int,
        {1: "int key"},
        {None: "null key"},
        {b"bytes": "key"},
        {"nul\0key": 1},
    ],
    ids=lambda value: re.sub(r" at 0x\w+|\0", "", f"{type(value).__name__} {value!r}")[:40],
)
def test_what_cannot_be_stored_is_refused_with_its_path(value: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^data\.a\[1\]\.b\b"):
        canonical({"fine": 1, "a": [0, {"b": value}]})


def test_the_path_begins_with_the_name_given() -> None:
    with pytest.raises(InvalidJob, match=r"^result\[0\]: "):
        canonical([object()], "result")


def test_the_message_names_the_type() -> None:
    with pytest.raises(InvalidJob, match="set cannot be stored"):
        canonical(set())


def test_the_deepest_nesting_is_accepted() -> None:
    assert encoded_size(nested(MAX_DEPTH), "data") > 0
    assert canonical(nested(MAX_DEPTH))


def test_deeper_nesting_is_refused() -> None:
    with pytest.raises(InvalidJob, match="nested deeper than 100 levels"):
        canonical(nested(MAX_DEPTH + 1))


def test_data_that_contains_itself_is_refused() -> None:
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    with pytest.raises(InvalidJob, match="nested deeper"):
        canonical(cyclic)


def test_a_size_at_the_limit_is_accepted() -> None:
    size = encoded_size("x" * 100, "data")
    assert check_size("x" * 100, size, "data") == size


def test_a_size_over_the_limit_is_refused_with_both_numbers() -> None:
    size = encoded_size("x" * 100, "data")
    with pytest.raises(InvalidJob, match=rf"^data: {size} bytes .* limit of {size - 1};"):
        check_size("x" * 100, size - 1, "data")


@pytest.mark.parametrize("value", ["\ud800", ["ok", "a\udfff"], {"\udc00": 1}], ids=["text", "in a list", "key"])
def test_lone_surrogates_are_refused(value: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^result: cannot be stored"):
        check_size(value, 1000, "result")


@given(value=DATA)
def test_relaxed_json_is_what_the_driver_makes_of_it(value: Any) -> None:
    assert relaxed(value) == json.loads(json_util.dumps(value, json_options=RELAXED))
