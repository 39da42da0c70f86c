"""The default id of a job: a stable hash of its type and data."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .data import canonical, encoded_size
from .names import check_name

#: Says how the hash was made, so that another way can be added beside it.
PREFIX = "v1:"
#: Cannot occur in a type (see `names.check_name`), so ("a1", 2) and ("a", 12) differ.
SEPARATOR = "\x1f"

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def job_id(type: str, data: Any) -> str:
    """Return the id under which equal work is done once.

    The SHA-256 of type, a separator, and the data in MongoDB's canonical
    extended JSON with sorted keys. Neither key order nor a round trip through
    MongoDB changes it; 1 and 1.0 are different data, as they are in BSON.

    Raises:
        InvalidJob: `type` is no name, or `data` cannot be stored as it is; the
            message has the path.
    """
    type = check_name(type, "type")
    plain = canonical(data)
    encoded_size(data, "data")  # refuses what only BSON does
    return hash_of(type, plain)


def hash_of(type: str, canonical_data: Any) -> str:
    """Return the id of data that went through `data.canonical` already."""
    text = f"{type}{SEPARATOR}{_encode(canonical_data)}"
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()
