"""What nobody should be able to pass for a name."""

from __future__ import annotations

import re
from typing import Any

from bson import Code, Int64, ObjectId, Regex
from bson.son import SON

#: Neither names, nor anything that has a name in it.
NO_NAMES: dict[str, Any] = {
    "ne": {"$ne": ""},
    "gt": {"$gt": ""},
    "regex operator": {"$regex": "."},
    "where": {"$where": "sleep(1000)"},
    "son": SON([("$ne", "")]),
    "list": ["a"],
    "tuple": ("a",),
    "empty": "",
    "bytes": b"a",
    "nul": "a\0b",
    "newline": "a\nb",
    "escape": "\x1b[2J",
    "long": "x" * 10_000,
    "surrogate": "\ud800",
    "true": True,
    "int": 5,
    "int64": Int64(5),
    "float": 0.5,
    "nan": float("nan"),
    "bson regex": Regex("."),
    "python regex": re.compile("."),
    "object id": ObjectId(),
    "object": object(),
    "class": dict,
}


class Liar(str):
    """A text whose methods say something else."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1

    def __str__(self) -> str:
        return "harmless"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("a")


#: Texts by type, and more than texts: only the text may count.
DISGUISED = {"code": Code("a"), "liar": Liar("a")}
