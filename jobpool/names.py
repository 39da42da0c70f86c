"""Checks of names, numbers and instants that come from outside.

Everything is checked by type first: a value that is not what it should be
never reaches a query filter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from .errors import InvalidConfiguration, InvalidJob, JobpoolError

MAX_NAME = 128  # types, pools: they become metric labels and index keys
MAX_ID = 512  # ids: an index key as well, but users put natural keys into them

#: Control characters, line and paragraph separators, lone surrogates.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_name(value: object, what: str, *, longest: int = MAX_NAME) -> str:
    """Return `value` if it is a usable name, else raise `InvalidJob`.

    A name is a `str` of 1 to `longest` characters without control characters.
    """
    if not isinstance(value, str):
        raise InvalidJob(f"{what} must be a str, not {type(value).__name__}")
    if not value or len(value) > longest:
        raise InvalidJob(f"{what} must have 1 to {longest} characters, not {len(value)}")
    if _FORBIDDEN.search(value):
        raise InvalidJob(f"{what} must not hold control characters or line breaks: {value[:40]!r}")
    return value


def check_int(
    value: object, what: str, least: int, most: int, *, error: type[JobpoolError] = InvalidConfiguration
) -> int:
    """Return `value` if it is an int (not a bool) between `least` and `most`, both included."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise error(f"{what} must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        raise error(f"{what} must be between {least} and {most}, not {_shown(value)}")
    return value


def _shown(value: float) -> str:
    """Return a number for a message; Python refuses to print an int of thousands of digits."""
    try:
        return str(value)[:40]
    except ValueError:
        return "a number of thousands of digits"


def check_seconds(
    value: object, what: str, least: float, most: float, *, error: type[JobpoolError] = InvalidConfiguration
) -> float:
    """Return `value` as float seconds if it is a finite number between `least` and `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error(f"{what} must be a number of seconds, not {type(value).__name__}")
    if not least <= value <= most:  # false for NaN as well
        raise error(f"{what} must be between {least:g} and {most:g} seconds, not {_shown(value)}")
    return float(value)


def check_instant(value: object, what: str) -> datetime:
    """Return `value` in UTC if it is an aware datetime, else raise `InvalidJob`."""
    if not isinstance(value, datetime):
        raise InvalidJob(f"{what} must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidJob(f"{what} must be timezone-aware, such as datetime.now(UTC); got the naive {value}")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidJob(f"{what} is outside of the years 1 to 9999 in UTC: {value}") from None
