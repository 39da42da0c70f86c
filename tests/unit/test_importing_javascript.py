"""The ids that the npm package makes, made again: against what Node gave, and against Node itself where it is."""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.data import CODEC
from jobpool.importing.identity import made_of
from jobpool.importing.javascript import iso, number, stable_json, whole
from jobpool.importing.raw import odd_values

HERE = Path(__file__).parent / "javascript"
STORED = [json.loads(line) for line in (HERE / "stored.ndjson").read_text().splitlines()]

Ask = Callable[[str, Any], dict[str, Any]]


@pytest.mark.parametrize("line", STORED, ids=[str(index) for index in range(len(STORED))])
def test_an_id_that_the_package_made_is_recognised(line: dict[str, str]) -> None:
    """As Node stored the data with the driver's bson, undefined as null."""
    document = bson.decode(bytes.fromhex(line["stored"]), CODEC)
    assert made_of(line["id"], line["type"], document.get("data"))
    assert not made_of(line["id"], f"{line['type']}x", document.get("data"))
    assert not made_of(line["id"][::-1], line["type"], document.get("data"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.30000000000000004"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (1.5e-7, "1.5e-7"),
        (1e-6, "0.000001"),
        (5e-324, "5e-324"),
        (-0.0, "0"),
        (math.nan, "null"),
        (-math.inf, "null"),
        (2**63 - 1, "9223372036854776000"),
    ],
    ids=str,
)
def test_numbers_are_those_of_javascript(value: float, text: str) -> None:
    assert number(value) == text


def test_what_has_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="Regex"):
        stable_json({"a": [bson.Regex("x")]})


@pytest.fixture(scope="module")
def node() -> Iterator[Ask]:
    """Ask Node for text and id of a value."""
    program = shutil.which("node")
    if program is None:
        assert not os.environ.get("CI"), "node is missing; .ci/run installs it"
        pytest.skip("there is no node here")
    process = subprocess.Popen(
        [program, str(HERE / "reference.js")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )

    def ask(type: str, value: Any) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([type, tagged(value)]) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    with process:
        yield ask
        process.kill()


class Undefined:
    """Of JavaScript."""


def tagged(value: Any) -> Any:
    """Return a value as reference.js reads it."""
    if isinstance(value, dict):
        return {key: tagged(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tagged(item) for item in value]
    if isinstance(value, float):
        return {"$number": repr(value).replace("nan", "NaN").replace("inf", "Infinity")}
    if isinstance(value, datetime):
        return {"$date": round((value - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))}
    if isinstance(value, bytes):
        return {"$buffer": base64.b64encode(value).decode()}
    return {"$undefined": True} if isinstance(value, Undefined) else value


def stored(value: Any) -> Any:
    """Return a value as the driver of the package stores it."""
    if isinstance(value, dict):
        return {key: stored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [stored(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31:
        return float(value)
    return None if isinstance(value, Undefined) else value


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=8),
    st.integers(-62135596800000, 253402300799999).map(
        lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    ),
)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6).filter(
    lambda key: not key.startswith("$") and key not in ("toJSON", "__proto__")
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)


@given(value=VALUES)
def test_any_json_is_as_node_writes_it(node: Ask, value: Any) -> None:
    answer = node("mail", value)
    back = bson.decode(bson.encode({"v": stored(value)}, codec_options=CODEC), CODEC)["v"]
    assert stable_json(back) == answer["text"]
    assert made_of(answer["id"], "mail", back)


@given(
    value=st.dictionaries(KEYS, st.just(Undefined()) | st.integers(0, 9), max_size=4),
    type=st.text("aé1", max_size=3),
)
def test_undefined_is_told_by_the_id(node: Ask, value: dict[str, Any], type: str) -> None:
    assert made_of(node(type, value)["id"], type, stored(value))


@given(bits=st.integers(0, 2**64 - 1))
def test_any_double_is_as_node_writes_it(node: Ask, bits: int) -> None:
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))
    assert node("a", value)["text"] == number(value)


@given(value=VALUES)
def test_whole_numbers_are_ints_and_nothing_else_changes(value: Any) -> None:
    back = stored(value)
    made, changed = whole(back)
    assert stable_json(made) == stable_json(back)
    assert changed == (repr(made) != repr(back))
    assert whole(made) == (made, False) or "nan" in repr(made)


def test_negative_zero_and_what_is_not_exact_stay_floats() -> None:
    assert repr(whole([-0.0, 2.0**53, 1e300, 2.0])[0]) == "[-0.0, 9007199254740992.0, 1e+300, 2]"


def test_an_instant_has_milliseconds() -> None:
    assert iso(datetime(99, 1, 2, 3, 4, 5, 6999, UTC)) == "0099-01-02T03:04:05.006Z"


def test_what_the_decoder_would_change_is_found_wherever_it_is() -> None:
    symbol = b"\x0es\x00\x02\x00\x00\x00x\x00"
    inner = b"\x06u\x00" + symbol
    document = (4 + len(inner) + 1).to_bytes(4, "little") + inner + b"\x00"
    array = b"\x030\x00" + document
    listed = (4 + len(array) + 1).to_bytes(4, "little") + array + b"\x00"
    known = bson.encode(
        {"a": 1, "b": 1.5, "c": "x", "d": b"y", "e": bson.Regex("r", "i"), "f": bson.Code("g", {"h": 1})},
        codec_options=CODEC,
    )[4:-1]
    body = known + b"\x04data\x00" + listed + b"\x08z\x00\x01"
    raw = (4 + len(body) + 1).to_bytes(4, "little") + body + b"\x00"
    assert odd_values(raw) == [("data[0].u", "undefined"), ("data[0].s", "a Symbol")]


@given(value=VALUES)
def test_what_is_not_odd_is_not_taken_for_it(value: Any) -> None:
    assert odd_values(bson.encode({"data": stored(value), "n": 6, "m": 14, "o": 12}, codec_options=CODEC)) == []
