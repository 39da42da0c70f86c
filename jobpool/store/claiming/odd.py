"""What a claim won, as the pool that holds it works with it: whoever wrote the job."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from typing import Any

from ..documents import Document
from ..fields import instant, number, text, whole

#: Of `documents.CLAIM_FIELDS`, the types that the fields have of all jobs that we wrote, those alone.
_USUAL = {
    "_id": (str,),
    "type": (str,),
    "run_at": (datetime,),
    "due_at": (type(None), datetime),
    "priority": (int,),
    "attempts": (int,),
    "max_attempts": (type(None), int),
    "fence": (int,),
    "created_at": (datetime,),
    "trace": (type(None), dict),
    "timeout": (type(None), float, int),
    "snoozes": (type(None), int),
    "key": (type(None), str),
}
_KINDS = tuple(_USUAL.items())


def as_claimed(document: Document) -> Document | None:
    """Return a claimed document with fields of the kinds that jobs have; None if it is no job at all.

    Where somebody else wrote something else, it is as if it was not there, or what it means as a number or an
    instant. A list as a type or an instant was found by what is in it, and is neither.
    """
    get = document.get
    for name, kinds in _KINDS:
        if type(get(name)) not in kinds:
            return _mended(document)
    return document


def _mended(document: Document) -> Document | None:
    run_at = instant(document.get("run_at"))
    if not isinstance(document.get("type"), str) or run_at is None or not isinstance(document["_id"], Hashable):
        return None
    allowed, timeout, trace = (
        number(document.get("max_attempts")),
        number(document.get("timeout")),
        document.get("trace"),
    )
    mended: dict[str, Any] = {
        "run_at": run_at,
        "due_at": instant(document.get("due_at")),
        "priority": whole(document.get("priority")),
        "attempts": whole(document.get("attempts")),
        "max_attempts": None if allowed is None else whole(allowed),
        "fence": whole(document.get("fence")),
        "created_at": instant(document.get("created_at")) or run_at,
        "trace": trace if isinstance(trace, dict) else None,
        "timeout": timeout if timeout is not None and timeout > 0 else None,
        "snoozes": whole(document.get("snoozes")),
        "key": text(document.get("key")),
    }
    kept = {name: value for name, value in document.items() if name not in mended}
    return kept | {name: value for name, value in mended.items() if value is not None or name == "max_attempts"}
