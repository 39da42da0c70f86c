"""Ids as people copy them: whole, or the beginning of one that is long."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...manager import JobManager

#: Of an id that is a hash, with or without what says so.
_HASH = re.compile(r"(?:v1:)?([0-9a-f]{6,64})")
#: What a terminal, or a person, puts where the rest was.
_CUT = ("…", "...")
#: Ids that are named if several begin so.
LISTED = 10


def resolve(manager: JobManager, text: str) -> str:
    """Return the id that a user means: that very one, else the only one that begins so.

    The beginning may be given of ids that are hashes, 6 digits or more, ``v1:`` or not before
    them; and of any other if it ends in ``...``. For commands that look: what changes jobs
    takes whole ids.

    Raises:
        JobNotFound: There is none.
        InvalidConfiguration: Several begin so; the message has the first ten.
    """
    from ...errors import InvalidConfiguration, JobNotFound

    beginning = _beginning(text)
    if beginning is None:
        return text  # whoever asks for it hears whether it is there
    if manager.count(ids=[text]):
        return text
    found = manager.ids_beginning(beginning, limit=LISTED + 1)
    if len(found) == 1:
        return found[0]
    if not found:
        raise JobNotFound(f"no job {text!r:.120} in {manager.store.name}, and none whose id begins so")
    some = ", ".join(found[:LISTED]) + (", ..." if len(found) > LISTED else "")
    raise InvalidConfiguration(f"several ids begin with {text!r:.120}, say more of it: {some}")


def _beginning(text: str) -> str | None:
    """Return what the ids meant begin with; None if a whole one is meant."""
    for mark in _CUT:
        if text.endswith(mark) and text != mark:
            return text.removesuffix(mark)
    found = _HASH.fullmatch(text)
    return f"v1:{found[1]}" if found and text != f"v1:{found[1]:_<64}" else None
