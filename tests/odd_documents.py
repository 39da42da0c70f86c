"""Documents among the jobs that somebody else wrote: a script, a shell, another version.

`catalogue` has each value that is none of ours in each field of jobs in every state, one at a time; `ODD` draws
documents with several of them, and with fields missing. What the server refuses is not there: see `insert`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from jobpool.data import CODEC, LENIENT

Document = dict[str, Any]
Jobs = Collection[Document]

PAST = datetime(2020, 1, 2, tzinfo=UTC)
#: Moves the cursor, changes the title, turns the line around.
HOSTILE = "\x1b[2J\x1b]0;x\x07\u202e\r\n"
ERROR = {"type": "ValueError", "message": "no way", "traceback": "Traceback", "attempt": 1, "at": PAST}


def _deep(levels: int) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = {"in": value} if level % 2 else [value]
    return value


#: What may stand in any field, by a name.
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "empty": "",
    "text": "x",
    "hostile": HOSTILE,
    "long": "long " * 2000,
    "number": 7,
    "negative": -1,
    "large": Int64(2**62),
    "half": 1.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "decimal": Decimal128("5"),
    "decimal nan": Decimal128("NaN"),
    "bytes": b"\x00\xff",
    "binary": Binary(b"\x01\x02", 9),
    "uuid": UUID(int=5),
    "no uuid": Binary(b"\x01\x02", 4),
    "id": ObjectId(b"\x05" * 12),
    "instant": PAST,
    "future": datetime(9000, 1, 2, tzinfo=UTC),
    "year 33658": DatetimeMS(10**15),
    "year -1199": DatetimeMS(-(10**14)),
    "timestamp": Timestamp(5, 6),
    "regex": Regex("(", "i"),
    "reference": DBRef("jobs", 5),
    "code": Code("x"),
    "scoped": Code("x", {"a": 1}),
    "least": MinKey(),
    "most": MaxKey(),
    "no items": [],
    "texts": ["a", "x"],
    "numbers": [1, 2],
    "instants": [PAST],
    "nulls": [None, [None]],
    "dicts": [{}, {"type": 5, "at": "x", "attempt": []}, {"level": None, "text": 7, "at": DatetimeMS(10**15)}],
    "no fields": {},
    "fields": {"a": 1, "type": ["x"], "done": "x", "total": 0, "attempt": {}, "id": 5},
    "operators": {"$where": "1", "$date": 5, "$x": {"$y": 1}},
    "deep": _deep(90),
}
#: Of a token of a claim.
TOKEN = "pool-id.0123"
STATES = ("waiting", "pending", "claimed", "running", "succeeded", "failed", "cancelled")
_HELD: Document = {"claim": TOKEN, "pool": "pool", "lease_until": PAST, "fence": 3, "due_at": PAST}
_ENDED: Document = {
    "started_at": PAST,
    "finished_at": PAST + timedelta(seconds=1),
    "attempts": 1,
    "claim": TOKEN,
    "fence": 1,
    "pool": "pool",
    "due_at": PAST,
}
#: What a job has in a state, besides what all have.
_BY_STATE: dict[str, Document] = {
    "waiting": {"after": ["good pending"], "waits_for": ["good pending"]},
    "pending": {"attempts": 1, "errors": [ERROR], "error_count": 1, "error": ERROR},
    "claimed": _HELD,
    "running": {
        **_HELD,
        "started_at": PAST,
        "attempts": 1,
        "progress": {"done": 1, "total": 2, "note": "n", "at": PAST},
        "logs": [{"level": "INFO", "text": "t", "attempt": 1, "at": PAST}],
        "checkpoint": 5,
        "timeout": 3.0,
        "stuck": {"attempt": 1, "after": 5.0, "stack": "s", "at": PAST},
    },
    "succeeded": {**_ENDED, "result": 5, "followed": ObjectId(), "result_until": PAST + timedelta(days=99999)},
    "failed": {**_ENDED, "error": ERROR, "errors": [ERROR], "error_count": 1, "followed": ObjectId()},
    "cancelled": {**_ENDED, "cancel_requested_at": PAST, "cancel_reason": "so", "followed": ObjectId()},
}
#: Every field that a job may have, but for its id.
FIELDS = (
    *("type", "data", "state", "priority", "run_at", "attempts", "max_attempts", "fence", "created_at", "schema"),
    *("claim", "pool", "lease_until", "due_at", "started_at", "finished_at", "result", "result_error", "error"),
    *("errors", "error_count", "stuck", "timeout", "snoozes", "snoozed_by", "progress", "logs", "checkpoint"),
    *("cancel_requested_at", "cancel_reason", "keep_failed", "keep_cancelled", "keep_succeeded", "backoff", "key"),
    *(
        "after",
        "waits_for",
        "linking",
        "on_failure",
        "followed",
        "told_at",
        "trace",
        "expire_at",
        "result_until",
        "ends",
    ),
)
#: Values of `_id` that the server takes.
IDS = {name: value for name, value in VALUES.items() if not isinstance(value, list | Regex)}


def job(state: str, type: str = "a", **fields: Any) -> Document:
    """Return the document of a good job, without its id."""
    common: Document = {
        "type": type,
        "data": {"n": 1},
        "state": state,
        "priority": 0,
        "run_at": PAST,
        "attempts": 0,
        "max_attempts": 2,
        "fence": 0,
        "created_at": PAST,
        "schema": 1,
        "backoff": {"base": 1.0, "factor": 2.0, "longest": 60.0, "jitter": 0.5},
    }
    return {**common, **_BY_STATE.get(state, {}), **fields}


def catalogue(
    fields: Sequence[str] = FIELDS, values: Iterable[str] = VALUES, states: Sequence[str] = STATES
) -> Iterator[Document]:
    """Yield a document for each value in each field in each state; and some with odd ids, or nearly nothing."""
    for state in states:
        for field in fields:
            for name in values:
                yield {**job(state), field: VALUES[name], "_id": f"odd {state} {field} {name}"}
            bare = job(state)
            bare.pop(field, None)
            yield {**bare, "_id": f"odd {state} without {field}"}
        yield {"_id": f"odd {state} bare", "state": state}
    for number, name in enumerate(IDS):
        state = states[number % len(states)]
        yield {**job(state), "_id": IDS[name] if name != "long" else "odd long " * 200}
    yield {"_id": "odd empty"}
    yield {"_id": "odd megabytes", **job("failed", data="x" * 15_000_000)}


_VALUES = st.sampled_from(sorted(VALUES)).map(VALUES.__getitem__)
_STATES = st.sampled_from([*STATES, "another"])


def _document(state: str, type: str, odd: Document, missing: set[str], id: Any) -> Document:
    document = {name: value for name, value in {**job(state, type), **odd}.items() if name not in missing}
    return document if id is None else {"_id": id, **document}


#: Documents with some odd values, some fields missing, and some with an odd id.
ODD = st.builds(
    _document,
    _STATES,
    st.sampled_from("ab"),
    st.dictionaries(st.sampled_from(FIELDS), _VALUES, max_size=6),
    st.sets(st.sampled_from(FIELDS), max_size=4),
    st.none() | st.sampled_from(sorted(IDS)).map(IDS.__getitem__) | st.text(max_size=3),
)


def insert(jobs: Jobs, documents: Iterable[Document]) -> list[Any]:
    """Insert what the server takes of them, whatever it is; return the ids of all that are there then.

    It refuses two lists in fields of one index, and an id that another has.
    """
    collection = jobs.with_options(codec_options=CODEC)
    some = list(documents)
    if some:
        with suppress(BulkWriteError):
            collection.insert_many(some, ordered=False)
    return [found["_id"] for found in jobs.with_options(codec_options=LENIENT).find({}, {"_id": 1})]
