"""What a job's data and result may hold, and its canonical form.

Allowed: dicts with `str` keys, lists (tuples become lists), `str`, `int`
within 64 bits, finite `float`, `bool`, `None`, `bytes`, timezone-aware
`datetime` (kept to the millisecond), `ObjectId`, `UUID` and `Decimal128`, to
a depth of 100. Everything else is refused before anything is written.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any
from uuid import UUID

import bson
from bson import json_util
from bson.binary import UuidRepresentation
from bson.code import Code
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from .errors import InvalidJob
from .names import check_instant

MAX_DEPTH = 100  # BSON itself stops at 200, with the nesting of the job document around
MAX_INT, MIN_INT = 2**63 - 1, -(2**63)
MAX_INT32, MIN_INT32 = 2**31 - 1, -(2**31)

#: How documents are read and written, whatever the user's client is set to.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)
#: What the encoder raises for a value that it cannot take.
ENCODING_ERRORS = (bson.errors.BSONError, UnicodeError, OverflowError, ValueError)
_JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)


def canonical(value: Any, path: str = "data", depth: int = 0) -> Any:
    """Return `value` in MongoDB's canonical extended JSON, as plain Python values.

    The same as `bson.json_util` in canonical mode gives after a round trip
    through BSON, in one pass that also checks (a property test compares both).
    One difference keeps different data different: a dict with a key that
    begins with ``$`` is wrapped, or ``{"$numberInt": "5"}`` would look like 5.

    Raises:
        InvalidJob: `value` holds something BSON cannot keep, or not unchanged;
            the message has the path to it. Nothing was written.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if isinstance(value, str) and not isinstance(value, Code):
        return str(value)
    if isinstance(value, int):
        return _canonical_int(int(value), path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidJob(f"{path}: {value} is not a finite number")
        return {"$numberDouble": repr(float(value))}
    if depth >= MAX_DEPTH:
        raise InvalidJob(f"{path[:200]}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return _canonical_dict(value, path, depth)
    if isinstance(value, list | tuple):
        return [canonical(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _canonical_other(value, path)


def _canonical_dict(value: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
    plain = {_key(key, path): canonical(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    return {"$literal": plain} if any(key.startswith("$") for key in plain) else plain


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise InvalidJob(f"{path}: keys must be str, not {type(key).__name__} ({key!r:.60})")
    if "\0" in key:
        raise InvalidJob(f"{path}: a key must not hold a NUL character ({key!r:.60})")
    return key


def _canonical_int(value: int, path: str) -> dict[str, str]:
    if MIN_INT32 <= value <= MAX_INT32:
        return {"$numberInt": str(value)}
    if MIN_INT <= value <= MAX_INT:
        return {"$numberLong": str(value)}
    raise InvalidJob(f"{path}: an int must fit in 64 bits")


def _canonical_other(value: Any, path: str) -> Any:
    if isinstance(value, datetime):
        check_instant(value, path)
    elif not isinstance(value, bytes | ObjectId | UUID | Decimal128):
        raise InvalidJob(
            f"{path}: {type(value).__name__} cannot be stored; use dict, list, str, int, float, bool, None, "
            f"bytes, datetime, ObjectId, UUID or Decimal128"
        )
    elif isinstance(value, Decimal128) and not value.to_decimal().is_finite():
        raise InvalidJob(f"{path}: {value} is not a finite number")
    return json_util.default(value, _JSON)


def encoded_size(value: Any, path: str) -> int:
    """Return how many bytes `value` takes as BSON.

    Raises:
        InvalidJob: BSON cannot encode it (a lone surrogate in a text, for example).
    """
    try:
        return len(bson.encode({"v": value}, codec_options=CODEC))
    except ENCODING_ERRORS as error:
        raise InvalidJob(f"{path}: cannot be stored: {error}") from error


def check_size(value: Any, limit: int, what: str) -> int:
    """Return the encoded size of `value` in bytes if it is within `limit`, else raise `InvalidJob`."""
    size = encoded_size(value, what)
    if size > limit:
        raise InvalidJob(
            f"{what}: {size} bytes as BSON, over the limit of {limit}; store it elsewhere and name it"
        )
    return size
