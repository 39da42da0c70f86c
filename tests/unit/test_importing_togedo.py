"""What a document of the npm package becomes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS

from jobpool import State, job_id
from jobpool.errors import InvalidConfiguration
from jobpool.importing import Carried, Left, Note, Togedo, Unfit
from jobpool.request import MAX_PRIORITY

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
LIMIT = 1024 * 1024


def document(**fields: Any) -> dict[str, Any]:
    """A document as the package writes one."""
    whole = {
        "_id": "given",
        "type": "mail",
        "data": {"to": "ann"},
        "priority": 0,
        "scheduledTime": None,
        "status": "queued",
        "createdAt": BEFORE,
    }
    return {name: value for name, value in {**whole, **fields}.items() if value is not ...}


def read(source: Togedo | None = None, **fields: Any) -> Carried:
    raw = bson.encode(document(**fields), codec_options=bson.CodecOptions(tz_aware=True))
    one = (source or Togedo()).read(raw, now=NOW, limit=LIMIT)
    assert isinstance(one, Carried)
    return one


def test_a_queued_one_is_pending_and_as_old_as_it_is() -> None:
    one = read()
    assert (one.state, one.attempts, one.created_at, one.request.run_at) == (State.PENDING, 0, BEFORE, BEFORE)
    assert (one.request.job_id, one.request.max_attempts, one.notes) == ("given", None, frozenset({Note.ID_KEPT}))


def test_one_that_is_scheduled_waits() -> None:
    assert read(scheduledTime=NOW + timedelta(days=1)).request.run_at == NOW + timedelta(days=1)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (1764244800000, datetime(2025, 11, 27, 12, tzinfo=UTC)),
        (1764244800000.0, datetime(2025, 11, 27, 12, tzinfo=UTC)),
        ("2025-11-27T12:00:00.000Z", datetime(2025, 11, 27, 12, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (None, BEFORE),
        (..., BEFORE),
    ],
    ids=["int", "double", "text", "epoch", "null", "absent"],
)
def test_instants_are_dates_or_milliseconds_or_texts(stored: Any, expected: datetime) -> None:
    assert read(scheduledTime=stored).request.run_at == expected


@pytest.mark.parametrize(
    "stored",
    [
        "tomorrow",
        "2025-11-27",
        True,
        1e300,
        float("nan"),
        {"a": 1},
        DatetimeMS(10**16),
        NOW + timedelta(days=5000),
    ],
    ids=["word", "no zone", "bool", "huge", "nan", "object", "year 300000", "13 years"],
)
def test_a_time_that_is_none_is_refused(stored: Any) -> None:
    with pytest.raises(Unfit, match=r"scheduledTime|run_at") as refused:
        read(scheduledTime=stored)
    assert refused.value.kind == "run_at"


def test_one_that_is_done_has_succeeded() -> None:
    one = read(
        status="done",
        startedAt=BEFORE,
        updatedAt=BEFORE,
        completedAt=NOW,
        nTries=2,
        worker="w",
        result={"n": 2.0**40},
    )
    assert (one.state, one.attempts, one.started_at, one.finished_at) == (State.SUCCEEDED, 2, BEFORE, NOW)
    assert (one.pool, repr(one.result), one.result_error) == ("w", "{'n': 1099511627776}", None)


def test_one_in_error_has_failed_with_code_and_message() -> None:
    one = read(status="error", updatedAt=NOW, startedAt=BEFORE, nTries=3, error={"code": "E", "message": "no"})
    assert (one.state, one.attempts, one.finished_at) == (State.FAILED, 3, NOW)
    assert one.error is not None
    assert (one.error.type, one.error.message, one.error.attempt, one.error.at) == ("E", "no", 3, NOW)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 11000, "message": "dup"}, ("11000", "dup")),
        ({"message": "m"}, ("Error", "m")),
        ("text", ("Error", "text")),
        (None, ("Error", "")),
        ({"code": None, "message": {"a": [1]}}, ("Error", '{"a":[1]}')),
        ({"code": "x" * 500, "message": "y" * 20000}, ("x" * 125 + "...", "y" * 8189 + "...")),
        ({"code": bson.Regex("x"), "message": bson.Regex("x")}, ("Error", "Regex('x', 0)")),
    ],
    ids=["number", "no code", "text", "none", "object", "long", "odd"],
)
def test_any_error_is_told(error: Any, expected: tuple[str, str]) -> None:
    found = read(status="error", error=error).error
    assert found is not None
    assert (found.type, found.message) == expected


def test_an_active_one_is_left_unless_somebody_says_what_becomes_of_it() -> None:
    raw = bson.encode(document(status="active", nTries=1, startedAt=BEFORE))
    assert Togedo().read(raw, now=NOW, limit=LIMIT) == Left("active")
    pending = read(Togedo(active="pending"), status="active", nTries=1, startedAt=BEFORE)
    assert (pending.state, pending.attempts, pending.started_at, pending.request.max_attempts) == (
        *(State.PENDING, 1, None),
        3,
    )
    failed = read(Togedo(active="failed"), status="active", nTries=1, startedAt=BEFORE, updatedAt=NOW)
    assert failed.error is not None
    assert (failed.state, failed.error.type, failed.finished_at) == (State.FAILED, "WorkerLost", NOW)


@pytest.mark.parametrize(
    ("tries", "attempts", "most"),
    [
        (..., 0, None),
        (None, 0, None),
        (2, 2, 3),
        (3, 3, 4),
        (7.0, 7, 8),
        ("x", 0, None),
        (-1, 0, None),
        (1e9, 999, 1000),
    ],
    ids=str,
)
def test_a_pending_one_keeps_room_for_an_attempt(tries: Any, attempts: int, most: int | None) -> None:
    one = read(nTries=tries)
    assert (one.attempts, one.request.max_attempts) == (attempts, most)


@pytest.mark.parametrize(
    ("priority", "expected", "changed"),
    [
        (5, 5, False),
        (-5.0, -5, False),
        (2.7, 2, True),
        (-2.5, -3, True),
        (1e300, MAX_PRIORITY, True),
        (float("-inf"), -MAX_PRIORITY, True),
        (float("nan"), 0, True),
        ("high", 0, True),
        (True, 0, True),
        (None, 0, False),
        (..., 0, False),
    ],
    ids=str,
)
def test_priorities_are_ints_within_bounds(priority: Any, expected: int, changed: bool) -> None:
    one = read(priority=priority)
    assert one.request.priority == expected
    assert (Note.PRIORITY_CHANGED in one.notes) == changed


def test_an_id_of_its_own_making_becomes_the_one_that_create_computes() -> None:
    """As Node made it; of a time in milliseconds, which the driver stores as a double."""
    data = {"date": 1764265200000.0}
    id = hashlib.sha1(b'springCleanup{"date":1764265200000}').hexdigest()
    one = read(_id=id, type="springCleanup", data=data)
    assert one.request.job_id == job_id("springCleanup", {"date": 1764265200000})
    assert one.notes == {Note.ID_RECOMPUTED, Note.NUMBERS_WHOLE}
    assert read(Togedo(ids="keep"), _id=id, type="springCleanup", data=data).request.job_id == id


@pytest.mark.parametrize(
    ("id", "text"),
    [
        ("doItAgain", "doItAgain"),
        (bson.ObjectId("507f1f77bcf86cd799439011"), "507f1f77bcf86cd799439011"),
        (7, "7"),
        (7.5, "7.5"),
        (NOW, "2026-11-27T12:00:00.000Z"),
        ("a" * 40, "a" * 40),
    ],
    ids=str,
)
def test_other_ids_are_kept_as_text(id: Any, text: str) -> None:
    one = read(_id=id)
    assert (one.request.job_id, one.source_id) == (text, id)
    assert Note.ID_KEPT in one.notes


@pytest.mark.parametrize(
    "id",
    ["", "x" * 513, "a\nb", {"a": 1}, None, True, float("nan"), b"x"],
    ids=["empty", "long", "line", "object", "null", "bool", "nan", "bytes"],
)
def test_an_id_that_is_none_here_is_refused(id: Any) -> None:
    with pytest.raises(Unfit) as refused:
        read(_id=id)
    assert refused.value.kind == "id"


@pytest.mark.parametrize(
    "data",
    [
        {"a": [bson.Regex("x", "i")]},
        {"f": bson.Code("function () {}")},
        {"n": float("nan")},
        {"n": float("-inf")},
        bson.Timestamp(1, 1),
        bson.MinKey(),
        DatetimeMS(10**16),
        {"a": "x" * LIMIT},
    ],
    ids=["regexp", "code", "nan", "infinity", "timestamp", "min key", "far date", "large"],
)
def test_data_that_cannot_be_held_are_refused(data: Any) -> None:
    with pytest.raises(Unfit, match=r"^data") as refused:
        read(data=data)
    assert refused.value.kind == "data"


@pytest.mark.parametrize(
    "data", [1, "text", None, [1, "a"], {"$ref": "a", "$id": 1}, {"a.b": {"$c": 1}}, b"x", 2.5], ids=repr
)
def test_data_may_be_any_value(data: Any) -> None:
    assert read(data=data).request.data == data


def test_no_data_are_none() -> None:
    assert read(data=...).request.data is None


def with_odd(field: bytes, status: str) -> bytes:
    """A document with an undefined value within a field, which no driver of ours would write."""
    known = bson.encode(document(status=status, data=... if field == b"data" else 1))[4:-1]
    body = known + b"\x03" + field + b"\x00" + b"\x08\x00\x00\x00\x06u\x00\x00"
    return (4 + len(body) + 1).to_bytes(4, "little") + body + b"\x00"


def test_undefined_is_not_taken_for_null() -> None:
    with pytest.raises(Unfit, match=r"^data\.u: undefined cannot be stored$"):
        Togedo().read(with_odd(b"data", "queued"), now=NOW, limit=LIMIT)
    one = Togedo().read(with_odd(b"result", "done"), now=NOW, limit=LIMIT)
    assert isinstance(one, Carried)
    assert one.result_error == "it was not imported: result.u: undefined cannot be stored"


def test_a_job_whose_result_cannot_be_held_comes_without_it() -> None:
    one = read(status="done", result={"a": bson.Regex("x")})
    assert (one.state, one.result) == (State.SUCCEEDED, None)
    assert (one.result_error or "").startswith("it was not imported: result.a: Regex cannot be stored")


@pytest.mark.parametrize(
    "status", ["odd", None, ..., 5, "x" * 100], ids=["odd", "null", "absent", "number", "long"]
)
def test_what_is_no_document_of_the_package_is_refused(status: Any) -> None:
    with pytest.raises(Unfit, match=r"^status: ") as refused:
        read(status=status)
    assert refused.value.kind == "status"


@pytest.mark.parametrize(
    "type", ["", None, 5, "a\nb", "x" * 129, ...], ids=["", "null", "number", "line", "long", "no"]
)
def test_a_type_that_is_none_here_is_refused(type: Any) -> None:
    with pytest.raises(Unfit, match=r"^type must") as refused:
        read(type=type)
    assert refused.value.kind == "type"


def test_text_that_is_none_is_unreadable() -> None:
    raw = bson.encode(document(data="ab")).replace(b"ab\x00", b"\xff\xfe\x00")
    with pytest.raises(Unfit, match="cannot be read") as refused:
        Togedo().read(raw, now=NOW, limit=LIMIT)
    assert refused.value.kind == "unreadable"


def test_without_a_date_of_creation_the_earliest_that_is_known_is_taken() -> None:
    one = read(createdAt=..., status="done", startedAt=BEFORE, completedAt=NOW)
    assert (one.created_at, Note.CREATED_GUESSED in one.notes) == (BEFORE, True)
    id = bson.ObjectId.from_datetime(BEFORE)
    assert read(_id=id, createdAt="?").created_at == BEFORE
    assert read(createdAt=...).created_at is None
    assert read(createdAt=..., status="error").error is not None


@pytest.mark.parametrize("options", [{"active": "run"}, {"ids": "new"}], ids=str)
def test_nonsense_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(InvalidConfiguration, match="must be one of"):
        Togedo(**options)
