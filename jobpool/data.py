"""What a job's data and result may hold, and its canonical form.

Allowed: dicts with `str` keys, lists (tuples become lists), `str`, `int`
within 64 bits, finite `float`, `bool`, `None`, `bytes`, timezone-aware
`datetime` (kept to the millisecond), `ObjectId`, `UUID` and `Decimal128`, to
a depth of 100. Everything else is refused before anything is written.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any
from uuid import UUID

import bson
from bson import json_util
from bson.binary import Binary, UuidRepresentation
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion, TypeDecoder, TypeRegistry
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from .errors import InvalidJob
from .names import check_instant

MAX_DEPTH = 100  # BSON itself stops at 200, with the nesting of the job document around
MAX_INT, MIN_INT = 2**63 - 1, -(2**63)
MAX_INT32, MIN_INT32 = 2**31 - 1, -(2**31)

UUID_SUBTYPE, UUID_BYTES = 4, 16
UUID_SUBTYPES = (3, UUID_SUBTYPE)


class ReferenceAsDict(TypeDecoder):
    """Data with the keys ``$ref`` and ``$id`` come back as they were: the driver would make an object of them."""

    bson_type = DBRef

    def transform_bson(self, value: Any) -> dict[str, Any]:
        """Return the dict that was stored."""
        return dict(value.as_doc())


class _CodeAsDict(TypeDecoder):
    """Code comes back as in extended JSON: the driver makes a text of it that is not to be told from others."""

    bson_type = Code

    def transform_bson(self, value: Any) -> dict[str, Any]:
        """Return what was stored as a dict."""
        return {"$code": str(value)} | ({} if value.scope is None else {"$scope": value.scope})


class _UuidIfOne(TypeDecoder):
    """A binary value that calls itself a UUID and has not its 16 bytes comes back as what it is."""

    bson_type = Binary

    def transform_bson(self, value: Any) -> Any:
        """Return the UUID that was stored, or else the value."""
        return value.as_uuid() if value.subtype == UUID_SUBTYPE and len(value) == UUID_BYTES else value


#: How documents are read and written, whatever the user's client is set to. What others wrote that Python has no
#: value for, an instant beyond the year 9999 or text that is none, must not keep anybody from reading the rest.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    type_registry=TypeRegistry([ReferenceAsDict(), _CodeAsDict()]),
)
#: The same for reading alone, which nothing stops: `CODEC` refuses a document with a UUID that is none. It takes
#: no UUID to write, or to look for.
LENIENT = CODEC.with_options(
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    type_registry=TypeRegistry([ReferenceAsDict(), _CodeAsDict(), _UuidIfOne()]),
)


def to_be_found(id: Any) -> Any:
    """Return an id that was read in a form that `LENIENT` takes to look for it."""
    return Binary.from_uuid(id) if isinstance(id, UUID) else id


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
    # Of a subclass the value counts that BSON stores, not what its own methods say.
    if isinstance(value, str) and not isinstance(value, Code):
        return str.__str__(value)
    if isinstance(value, int):
        return _canonical_int(int.__int__(value), path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidJob(f"{_shown(path)}: {value} is not a finite number")
        return {"$numberDouble": repr(float.__float__(value))}
    if depth >= MAX_DEPTH:
        raise InvalidJob(f"{_shown(path)}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return _canonical_dict(value, path, depth)
    if isinstance(value, list | tuple):
        return [canonical(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _canonical_other(value, path)


def _canonical_dict(value: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
    plain, literal = {}, False
    for key, item in value.items():
        _key(key, path)
        literal = literal or key[:1] == "$"
        # Most are texts, which need neither a path nor another call.
        plain[key] = item if type(item) is str else canonical(item, f"{path}.{key}", depth + 1)
    return {"$literal": plain} if literal else plain


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise InvalidJob(f"{_shown(path)}: keys must be str, not {type(key).__name__} ({key!r:.60})")
    if "\0" in key:
        raise InvalidJob(f"{_shown(path)}: a key must not hold a NUL character ({key!r:.60})")
    return key


def _canonical_int(value: int, path: str) -> dict[str, str]:
    if MIN_INT32 <= value <= MAX_INT32:
        return {"$numberInt": str(value)}
    if MIN_INT <= value <= MAX_INT:
        return {"$numberLong": str(value)}
    raise InvalidJob(f"{_shown(path)}: an int must fit in 64 bits")


def _canonical_other(value: Any, path: str) -> Any:
    if isinstance(value, datetime):
        check_instant(value, _shown(path))
    elif not isinstance(value, bytes | ObjectId | UUID | Decimal128):
        raise InvalidJob(
            f"{_shown(path)}: {type(value).__name__} cannot be stored; use dict, list, str, int, float, bool, "
            f"None, bytes, datetime, ObjectId, UUID or Decimal128"
        )
    elif isinstance(value, Decimal128) and not value.to_decimal().is_finite():
        raise InvalidJob(f"{_shown(path)}: {value} is not a finite number")
    elif isinstance(value, Binary) and value.subtype in UUID_SUBTYPES and len(value) != UUID_BYTES:
        # It could be stored, and then neither be read nor the jobs that were claimed with it.
        raise InvalidJob(
            f"{_shown(path)}: a Binary of subtype {value.subtype} is a UUID of 16 bytes, not {len(value)}"
        )
    return json_util.default(value, _JSON)


def _shown(path: str) -> str:
    """Return a path into the data for a message: in one line, and its two ends if it is long."""
    line = repr(path)[1:-1]
    return line if len(line) <= 120 else f"{line[:70]}...{line[-47:]}"


_RELAXED = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
)


def relaxed(value: Any) -> Any:
    """Return a stored value as plain values of JSON, in MongoDB's relaxed extended JSON; see `from_relaxed`.

    A number that JSON has none for, which only others can have stored, is there as a text in its extended form.
    """
    return value if _is_json(value) else json.loads(json_util.dumps(value, json_options=_RELAXED))


def _is_json(value: Any) -> bool:
    """Say whether JSON has a value as it is, as it has most: to find out is ten times as fast as to translate."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return math.isfinite(value)
    if kind is dict:
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    return kind is list and all(map(_is_json, value))


def from_relaxed(text: str) -> Any:
    """Return the value that a text in extended JSON means: ``{"$date": "2026-11-27T12:00:00Z"}`` is an instant.

    Raises:
        ValueError: It is no JSON, or an extended value in it is none.
    """
    try:
        return json_util.loads(text, json_options=_RELAXED)
    except (ArithmeticError, LookupError) as error:  # their texts say nothing
        raise ValueError(f"an extended value in it is none: {type(error).__name__}") from error
    except (TypeError, AttributeError, RecursionError, *ENCODING_ERRORS) as error:
        raise ValueError(str(error)) from error


#: Bytes of a job's data, result and checkpoint together; what is left of MongoDB's 16 MiB is for everything else.
DOCUMENT_LIMIT = 15 * 1024 * 1024 + 512 * 1024


def encoded_size(value: Any, path: str) -> int:
    """Return how many bytes `value` takes as BSON.

    Raises:
        InvalidJob: BSON cannot encode it (a lone surrogate in a text, for example).
    """
    try:
        return len(bson.encode({"v": value}, codec_options=CODEC))
    except ENCODING_ERRORS as error:
        raise InvalidJob(f"{_shown(path)}: cannot be stored: {_shown(str(error))}") from error


def as_stored(value: Any) -> Any:
    """Return a copy of `value` as it comes back from the store: tuples as lists, instants to the millisecond.

    Raises:
        Exception: BSON cannot encode it.
    """
    return bson.decode(bson.encode({"v": value}, codec_options=CODEC), codec_options=CODEC)["v"]


def check_size(value: Any, limit: int, what: str) -> int:
    """Return the encoded size of `value` in bytes if it is within `limit`, else raise `InvalidJob`."""
    size = encoded_size(value, what)
    if size > limit:
        raise InvalidJob(
            f"{what}: {size} bytes as BSON, over the limit of {limit}; store it elsewhere and name it"
        )
    return size
