"""What is matched here and not by MongoDB: texts in data, and groups of errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from bson import Decimal128, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from jobpool.error_groups import pattern_of, sign_of
from jobpool.errors import InvalidConfiguration
from jobpool.matching import Matcher, group_of

DATA = {
    "customer": {"Name": "Ada Löwe", "tags": ["VIP", {"note": "pays late"}]},
    "amount": 12.5,
    "count": 90210,
    "paid": True,
    "none": None,
    "raw": b"secret",
    "at": datetime(2026, 11, 27, 12, 0, 0, 250_000, tzinfo=UTC),
    "order": ObjectId("65f0c0ffee65f0c0ffee65f0"),
    "trace": UUID("12345678-1234-5678-1234-567812345678"),
    "price": Decimal128("19.90"),
}


@pytest.mark.parametrize(
    "text",
    [
        *("ada", "LÖWE", "name", "vip", "LATE", "12.5", "90210", "021", "2026-11-27t12:00:00.250Z", "c0ffee"),
        *("567812345678", "19.90", "customer"),
    ],
)
def test_a_text_is_found_in_keys_and_values_of_any_depth(text: str) -> None:
    assert Matcher(text=text).matches({"data": DATA})


@pytest.mark.parametrize("text", ["$date", "$oid", "true", "null", "secret", "nobody", "ada löwe vip"])
def test_what_is_not_written_there_is_not_found(text: str) -> None:
    assert not Matcher(text=text).matches({"data": DATA})


@pytest.mark.parametrize("data", ["a Needle", ["x", ["needle"]], {"needle": 1}], ids=["text", "list", "key"])
def test_data_need_not_be_an_object(data: Any) -> None:
    assert Matcher(text="NEEDLE").matches({"data": data})
    assert not Matcher(text="other").matches({"data": data})


def test_data_of_any_depth_are_searched() -> None:
    data: Any = "needle"
    for _ in range(5000):
        data = [data]
    assert Matcher(text="needle").matches({"data": data})


def test_a_job_without_data_holds_no_text() -> None:
    assert not Matcher(text="a").matches({})


def words() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)


@given(words(), st.lists(words(), max_size=3), st.lists(words(), max_size=3))
def test_a_text_is_found_wherever_it_stands(text: str, path: list[str], others: list[str]) -> None:
    data: Any = f"{''.join(others)}{text}"
    for key in path:
        data = {"other": others, key: data}  # in this order: the key may be the same
    assert Matcher(text=text).matches({"data": data})
    assert Matcher(text=text).matches({"data": {text: None}})


def failed(type: str = "mail", error: str = "OSError", message: str = "no 5") -> dict[str, Any]:
    return {"type": type, "error": {"type": error, "message": message}}


def test_a_group_is_of_a_type_a_class_and_a_pattern() -> None:
    sign = group_of(failed())
    assert sign == sign_of("mail", "OSError", "no #")
    assert Matcher(group=sign).matches(failed(message="no 77"))
    for other in (
        failed(type="x"),
        failed(error="E"),
        failed(message="yes 5"),
        {"type": "mail"},
        {"error": "text"},
    ):
        assert not Matcher(group=sign).matches(other)


def test_signs_are_the_same_in_all_versions() -> None:
    """People keep them in notes and scripts."""
    assert sign_of("mail", "OSError", pattern_of("no 5")) == "b7bc5bf2"


def test_a_sign_may_be_typed_in_capitals() -> None:
    sign = sign_of("mail", "OSError", "no #")
    assert Matcher(group=sign.upper()).matches(failed())


@pytest.mark.parametrize("group", ["", "1a2b3c4", "1a2b3c4d5", "1a2b3c4x", 5, "$where"])
def test_what_is_no_group_is_refused(group: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="group of errors"):
        Matcher(group=group)


@pytest.mark.parametrize("text", ["", "x" * 1001, 5, b"x"])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="text must"):
        Matcher(text=text)


def test_only_what_is_needed_is_read() -> None:
    assert Matcher(text="a").fields == ("data",)
    assert Matcher(group="1a2b3c4d").fields == ("type", "error.type", "error.message")
