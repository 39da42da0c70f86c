"""Data that a job may hold, drawn at random, and its way through BSON."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import bson
from bson import Decimal128, ObjectId
from hypothesis import strategies as st

from jobpool.data import CODEC, MAX_INT, MIN_INT

_ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=_ZONES)
_DECIMALS = st.decimals(-(10**20), 10**20, allow_nan=False, allow_infinity=False, places=3).map(Decimal128)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(MIN_INT, MAX_INT)
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | _INSTANTS
    | st.uuids()
    | st.binary(min_size=12, max_size=12).map(ObjectId)
    | _DECIMALS
)
_NAMES = st.text().filter(lambda key: "\0" not in key)


def _data(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


#: Anything that may be stored; some keys look like MongoDB's own.
DATA = _data(_NAMES | st.sampled_from(["$numberInt", "$literal", "$oid", "$a"]))
#: The same without keys that begin with a dollar sign.
PLAIN_DATA = _data(_NAMES.filter(lambda key: not key.startswith("$")))


def round_trip(data: Any) -> Any:
    """Return `data` as MongoDB gives it back."""
    return bson.decode(bson.encode({"v": data}, codec_options=CODEC), codec_options=CODEC)["v"]


def shuffled(data: Any, chance: random.Random) -> Any:
    """Return `data` with the keys of every dict in another order."""
    if isinstance(data, list):
        return [shuffled(item, chance) for item in data]
    if not isinstance(data, dict):
        return data
    keys = list(data)
    chance.shuffle(keys)
    return {key: shuffled(data[key], chance) for key in keys}
