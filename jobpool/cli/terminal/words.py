"""Numbers, instants and foreign texts as people read them."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime

from ...phrases import duration as duration
from ...phrases import moment as moment
from ...phrases import several as several

#: What a terminal might obey: a stored text must not move the cursor or change the title of a window.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: object, longest: int | None = None) -> str:
    """Return a text in one line that no terminal obeys, control characters escaped; cut at `longest`."""
    line = _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))
    return line if longest is None or len(line) <= longest else f"{line[: longest - 3]}..."


def one_line(text: object) -> str:
    """Return a text without its line breaks, and with single spaces."""
    return " ".join(str(text).split())


def clean_lines(text: str) -> list[str]:
    """Return the lines of a text, such as a traceback, each clean."""
    return [clean(line.expandtabs(4)) for line in text.splitlines()]


def cells(text: str) -> int:
    """Return how many places a terminal needs for a text: two for an ideograph, none for an accent on its own."""
    if text.isascii():
        return len(text)
    return sum(map(_places, text))


def _places(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, longest: int) -> str:
    """Return a text in so many places of a terminal at the most; an ellipsis stands for what is cut."""
    if cells(text) <= longest:
        return text
    kept = text[: max(0, longest - 1)]
    while cells(kept) > max(0, longest - 1):
        kept = kept[:-1]
    return f"{kept}…"


def past(instant: datetime, now: datetime) -> str:
    """Return how long ago something was: ``5m ago``. Clocks differ a little; nothing that was is to come."""
    return f"{ago(min(instant, now), now)} ago"


def ago(instant: datetime | None, now: datetime) -> str:
    """Return how long an instant is past, or ``in 5m`` if it is to come; ``-`` for none."""
    if instant is None:
        return "-"
    seconds = (now - instant).total_seconds()
    return duration(seconds) if seconds >= 0 else f"in {duration(-seconds)}"


def count(number: float) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}"


def rate(per_second: float) -> str:
    """Return a rate per second: ``1,234/s``, ``0.25/s``."""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.2g}/s"


def jobs(number: int) -> str:
    """Return ``1 job`` or ``1,234 jobs``."""
    return several(number, "job")
