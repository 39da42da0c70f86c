"""JSON as JavaScript writes it, keys sorted: what the npm package json-stable-stringify makes of stored data.

It leaves out what is undefined, and asks objects for their own form: instants
are texts, buffers lists of bytes. The tests compare with Node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

#: The largest whole number up to which all are exact in a double.
MAX_SAFE = 2**53 - 1


def stable_json(value: Any, *, without_nulls: bool = False) -> str:
    """Return the text that a value stored in MongoDB had in JavaScript.

    Args:
        without_nulls: Take a null in an object for undefined: the driver stores both as null.

    Raises:
        TypeError: It is of a kind that is not known to have one.
    """
    if type(value) is str:  # as most are
        return encode_basestring(value)
    if isinstance(value, dict):
        keys = sorted(value) if all(map(str.isascii, value)) else sorted(value, key=_units)
        kept = [key for key in keys if not (without_nulls and value[key] is None)]
        pairs = (
            f"{encode_basestring(key)}:{stable_json(value[key], without_nulls=without_nulls)}" for key in kept
        )
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(stable_json(item, without_nulls=without_nulls) for item in value)}]"
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value)
    raise TypeError(type(value).__name__)


def number(value: float) -> str:
    """Return a number as JavaScript shows it: the fewest digits that mean it, an exponent from 1e21 on."""
    if -MAX_SAFE <= value <= MAX_SAFE and value == (nearest := int(value)):
        return str(nearest)
    value = float(value)
    if not math.isfinite(value):
        return "null"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    return ("-" if sign else "") + _placed(text, len(text) + int(exponent))


def _placed(digits: str, point: int) -> str:
    """Return digits with a decimal point before the one at `point`; the rules of ECMAScript's Number::toString."""
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if count > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"


def iso(value: datetime) -> str:
    """Return an instant as `Date.prototype.toISOString` does."""
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def whole(value: Any) -> tuple[Any, bool]:
    """Return a value with whole numbers as ints that were stored as floats, and whether there were any.

    JavaScript has one kind of number, and its driver stores what has no 32
    bits as a double. Negative zero stays a float.
    """
    if isinstance(value, float):
        fits = value.is_integer() and abs(value) <= MAX_SAFE and (value != 0 or math.copysign(1, value) > 0)
        return (int(value), True) if fits else (value, False)
    if isinstance(value, dict):
        items = {key: whole(item) for key, item in value.items()}
        changed = any(one for _, one in items.values())
        return ({key: item for key, (item, _) in items.items()}, True) if changed else (value, False)
    if isinstance(value, list):
        listed = [whole(item) for item in value]
        changed = any(one for _, one in listed)
        return ([item for item, _ in listed], True) if changed else (value, False)
    return value, False


def _units(key: str) -> bytes:
    """Return what JavaScript sorts by: units of UTF-16."""
    return key.encode("utf-16-be", "surrogatepass")


def _buffer(value: bytes) -> str:
    return f'{{"data":[{",".join(map(str, value))}],"type":"Buffer"}}'


_FORMS: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
    (type(None), lambda _: "null"),
    (bool, lambda value: "true" if value else "false"),
    ((int, float), number),
    (str, encode_basestring),
    (datetime, lambda value: f'"{iso(value)}"'),
    (bytes, _buffer),
    ((ObjectId, UUID), lambda value: f'"{value}"'),
    (Decimal128, lambda value: f'{{"$numberDecimal":"{value}"}}'),
)
