"""Checks of names, numbers and instants that come from outside.

Everything is checked by type first: a value that is not what it should be
never reaches a query filter.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from itertools import islice

from .errors import InvalidConfiguration, InvalidJob, JobpoolError

MAX_NAME = 128  # types, pools: they become metric labels and index keys
MAX_ID = 512  # ids: an index key as well, but users put natural keys into them
MAX_SHOWN = 120  # of a name in a message: a default id (67 characters) is shown whole
LISTED = 70  # of one of several

#: Control characters, line and paragraph separators, lone surrogates.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_name(value: object, what: str, *, longest: int = MAX_NAME) -> str:
    """Return `value` as a plain `str` if it is a usable name, else raise `InvalidJob`.

    A name is a `str` of 1 to `longest` characters without control characters.
    """
    if not isinstance(value, str):
        raise InvalidJob(f"{what} must be a str, not {type(value).__name__}")
    # Of a subclass (a StrEnum, say) only the text counts: its methods may say anything, and
    # BSON has a subclass of its own that would be stored as JavaScript.
    name = str.__str__(value)
    if not name or len(name) > longest:
        raise InvalidJob(f"{what} must have 1 to {longest} characters, not {len(name)}")
    if _FORBIDDEN.search(name):
        raise InvalidJob(f"{what} must not hold control characters or line breaks: {name[:40]!r}")
    return name


def shown(name: object, longest: int = MAX_SHOWN) -> str:
    """Return a name for a log line or a message: escaped as `repr` does, and never long.

    An id may have 512 characters, ten times that when each is escaped.
    """
    text = repr(str.__str__(name)[:longest] if isinstance(name, str) else name)
    whole = len(text) <= longest and not (isinstance(name, str) and len(name) > longest)
    return text if whole else f"{text[: longest - 3]}..."


def listed(names: Collection[str]) -> str:
    """Return the first two names for a log line, and how many there are if that is not all."""
    some = ", ".join(shown(name, LISTED) for name in islice(names, 2))
    return some if len(names) <= 2 else f"{some}, ... ({len(names)} in all)"


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


def bounded(text: str, most: int, *, keep_end: bool = False) -> str:
    """Return `text` as storable UTF-8 of at most `most` bytes."""
    raw = text.encode(errors="backslashreplace")
    if len(raw) > most:
        mark = b"..."
        room = most - len(mark)
        raw = mark + raw[-room:] if keep_end else raw[:room] + mark
    return raw.decode(errors="ignore")
