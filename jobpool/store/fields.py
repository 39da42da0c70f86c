"""What a field of a stored document says, whoever wrote it: a value of the kind that is meant, or none.

Anybody may write what is no text, no number and no instant where jobs have one. It is shown as far as it means
anything, and never keeps others from being seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.timestamp import Timestamp

from ..data import MAX_INT, MIN_INT, to_be_found
from ..names import shown

#: For instants that Python does not have.
FIRST, LAST = (moment.replace(microsecond=0, tzinfo=UTC) for moment in (datetime.min, datetime.max))
#: True of jobs alone: their ids are texts, and what others stored under another id is none.
TEXT_ID = {"_id": {"$type": "string"}}


def text(value: object) -> str | None:
    """Return a value if it is a text."""
    return value if isinstance(value, str) else None


def shown_text(value: object) -> str | None:
    """Return a text as it is, anything else in words; None if it is not there."""
    return value if value is None or isinstance(value, str) else shown(value)


def number(value: object) -> float | None:
    """Return a value if it is a finite number."""
    if isinstance(value, Decimal128):
        value = float(value.to_decimal())
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def whole(value: object, otherwise: int = 0) -> int:
    """Return a number without its fraction (who writes by hand writes doubles), or else another one."""
    if type(value) is int:
        return value
    found = number(value)
    return otherwise if found is None or not MIN_INT <= found <= MAX_INT else int(found)


def instant(value: object) -> datetime | None:
    """Return a value if it is an instant; the last one that Python has for those beyond it."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, DatetimeMS):
        return FIRST if int(value) < 0 else LAST
    return value.as_datetime() if isinstance(value, Timestamp) else None


def items(value: object) -> list[Any]:
    """Return a value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def texts(value: object) -> tuple[str, ...]:
    """Return the texts of a list."""
    return tuple(item for item in items(value) if isinstance(item, str))


def with_ids(ids: Iterable[Any]) -> dict[str, Any]:
    """Return the filter of documents with ids that were read, which may be anything where others gave them.

    MongoDB takes no list with a document in it that has a name as operators have, and `LENIENT` no UUID.
    """
    wanted = list(ids)
    if set(map(type, wanted)) <= {str}:  # as all are of jobs
        return {"_id": {"$in": wanted}}
    plain = [to_be_found(id) for id in wanted if not isinstance(id, Mapping)]
    documents = [{"_id": {"$eq": id}} for id in wanted if isinstance(id, Mapping)]
    return {"$or": [{"_id": {"$in": plain}}, *documents]} if documents else {"_id": {"$in": plain}}


def place_of(id: object) -> object:
    """Return what stands for an id that was read in a dict or a set."""
    return id if isinstance(id, str) else repr(id)


def mapping(value: object) -> Mapping[str, Any]:
    """Return a value if it has fields, else an empty one."""
    return value if isinstance(value, Mapping) else {}
