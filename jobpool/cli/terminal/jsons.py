"""Answers as JSON, for ``--json``: one object a line for lists, an indented object for one thing.

Field names are those of the dataclasses that `JobManager` returns. Instants are
texts in ISO 8601 (UTC, milliseconds), durations seconds. What users stored (data,
result, checkpoint) is in MongoDB's relaxed extended JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any

#: Fields that hold what users stored: they may look like anything.
STORED = frozenset(("data", "result", "checkpoint", "document"))
_AS_IT_IS = frozenset((str, int, bool))
#: What JSON allows in a text and a terminal might obey.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(value: Any) -> Any:
    """Return a value of ours as JSON has it. Private fields of dataclasses are left out."""
    if value is None or type(value) in _AS_IT_IS:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _field(name, getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Set):
        return sorted(map(plain, value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind) if not one.name.startswith("_"))


def _field(name: str, value: Any) -> Any:
    from ...data import relaxed

    return relaxed(value) if name in STORED else plain(value)


def line(value: Any) -> str:
    """Return a value as one line of JSON."""
    return _clean(json.dumps(plain(value), ensure_ascii=False, separators=(", ", ": ")))


def whole(value: Any) -> str:
    """Return a value as indented JSON."""
    return _clean(json.dumps(plain(value), ensure_ascii=False, indent=2))


def _clean(text: str) -> str:
    """Return JSON that moves no cursor: what terminals obey is spelled out, which means the same."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
