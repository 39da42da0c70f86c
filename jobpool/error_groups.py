"""Failures that are alike: a message without what differs from job to job, and the groups made by it.

Numbers, hex, UUIDs, quoted values, paths and URLs are replaced, so that
``user 17 not found in /tmp/a7`` and ``user 4 not found in /tmp/x`` are one failure.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from .errors import InvalidConfiguration

#: Characters of a message that count before what differs is replaced, and after it. The first bound is larger, so
#: that what it cuts through is mostly beyond the second.
PREFIX, LONGEST = 400, 200
#: Of the sign of a group.
SIGN = 8

#: First of all every digit becomes a 0: MongoDB can do that too, and a million messages become a few.
_DIGITS = str.maketrans(dict.fromkeys("123456789", "0"))
_QUOTED = r"""(?<!\w)(?:'(?:\\.|[^'\\])*(?:'(?!\w)|\Z)|"(?:\\.|[^"\\])*(?:"|\Z)|`[^`]*(?:`|\Z))"""
_URL = r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s,;)\]}>'\"]*"
_PATH = r"(?<![\w.<~/\\])(?:~|\.\.?|[A-Za-z]:)?(?:[/\\]+[\w.@+~=%-]+)+[/\\]?"
_NUMBERS = (
    r"(?<!\w)[0a-fA-F]{8}-(?:[0a-fA-F]{4}-){3}[0a-fA-F]{12}(?!\w)",  # UUIDs
    r"\b0[xX][0a-fA-F]+",
    r"(?<!\w)(?=[a-fA-F]*0)[0a-fA-F]{8,}(?!\w)",
    r"(?<!\w)(?=\w*?0\w*?0)\w{16,}",  # an id of letters and digits, at least two of them: else a long word
    r"(?:(?<![\w)\]])[-+])?0+(?:[.,]0+)*(?:[eE][-+]?0+)?",
)
_DIFFERS = re.compile(
    f"(?P<quoted>{_QUOTED})|(?P<url>{_URL})|(?P<path>{_PATH})|(?P<number>{'|'.join(_NUMBERS)})", re.DOTALL
)
_MARKS = {"quoted": "'*'", "url": "*://*", "path": "/*", "number": "#"}
_SIGN = re.compile(f"[0-9a-f]{{{SIGN}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """Failed jobs of one type that failed alike.

    Attributes:
        group: The sign of the group: eight hexadecimal digits, made of the next three; the same
            everywhere and at any time. ``find(group=)`` and the like take it.
        type: Of the jobs.
        error: The exception class.
        pattern: Their messages without what differs: ``user # not found in /*``.
        count: How many there are.
        first_at: When the first of them failed.
        last_at: When the last of them did.
        example: The id of the one that failed last.
        message: Its message.
    """

    group: str
    type: str
    error: str
    pattern: str
    count: int
    first_at: datetime
    last_at: datetime
    example: str
    message: str


def pattern_of(message: str) -> str:
    """Return a message without what differs from job to job, in one line."""
    return _pattern_of(message[:PREFIX].translate(_DIGITS))


@lru_cache(4096)  # many messages are alike up to here
def _pattern_of(masked: str) -> str:
    if masked[:1] in ("'", '"') and masked[-1] == masked[0] and " " in masked:  # the message of a KeyError, say
        masked = masked[1:-1]
    plain = _DIFFERS.sub(lambda found: _MARKS[found.lastgroup or "number"], masked)
    return " ".join(plain.split())[:LONGEST]


def sign_of(type: str, error: str, pattern: str) -> str:
    """Return the sign of the group."""
    return hashlib.sha256("\0".join((type, error, pattern)).encode(errors="replace")).hexdigest()[:SIGN]


def check_sign(value: object) -> str:
    """Return a sign as it is compared; raise `InvalidConfiguration` if it cannot be one."""
    if isinstance(value, str) and _SIGN.fullmatch(sign := str.__str__(value).lower()):
        return sign
    raise InvalidConfiguration(f"{str(value)!r:.60} is no group of errors: one is {SIGN} hexadecimal digits")
