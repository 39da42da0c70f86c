"""Ids of other systems: which are made of type and data, and how the others look as text."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime
from typing import Any
from uuid import UUID

from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from ..names import shown
from .carried import Unfit
from .javascript import iso, number, stable_json


def made_of(id: str, type: str, data: Any) -> bool:
    """Say whether the package made that id of that type and these data.

    The driver stores undefined as null: such an id was made without the key.
    """
    if len(id) != 40:
        return False
    try:
        text = stable_json(data)
        if id == _sha1(type + text):
            return True
        if data is None:
            return id == _sha1(f"{type}undefined")
        return "null" in text and id == _sha1(type + stable_json(data, without_nulls=True))
    except TypeError:
        return False


def id_text(id: Any) -> str:
    """Return an id as text: of an ObjectId its 24 digits, of a number its digits, of an instant ISO 8601.

    Raises:
        Unfit: It has none that is certain.
    """
    if isinstance(id, str):
        return id
    certain = isinstance(id, int | float | ObjectId | datetime | Decimal128 | UUID) and not isinstance(id, bool)
    if not certain or (isinstance(id, float) and not math.isfinite(id)):
        raise Unfit("id", f"_id: {shown(id, 60)} has no text that is certain to be an id of its own")
    if isinstance(id, int | float):
        return str(int(id)) if isinstance(id, int) else number(id)
    return iso(id) if isinstance(id, datetime) else str(id)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()
