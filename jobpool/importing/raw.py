"""BSON as it is: ids, and what the decoder would change without a word (undefined to None, a symbol to a text)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from
from typing import Any

import bson

from ..data import ENCODING_ERRORS, LENIENT

_ODD = {0x06: "undefined", 0x0C: "a DBPointer", 0x0E: "a Symbol"}
_DOCUMENT, _ARRAY = 0x03, 0x04
#: Bytes of the kinds that always take as many.
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
MAX_KEY, _MIN_KEY = 0x7F, 0xFF
_FIXED |= {MAX_KEY: 0, _MIN_KEY: 0}
_TEXTS = frozenset((0x02, 0x0D, 0x0E))


def odd_values(raw: bytes) -> list[tuple[str, str]]:
    """Return path and kind of the values in a BSON document that have no counterpart in Python."""
    if not any(kind in raw for kind in _ODD):  # of most documents that is all
        return []
    return list(_odd(raw, 0, ""))


def as_far_as_readable(raw: bytes) -> dict[str, Any] | None:
    """Return a BSON document to be shown, what Python has no value for replaced; None if that does not do."""
    try:
        document: dict[str, Any] = bson.decode(raw, LENIENT)
    except (*ENCODING_ERRORS, RecursionError):
        return None
    return document


def id_alone(raw: bytes) -> bytes:
    """Return the BSON document that has only the ``_id`` of another, byte for byte: no value of it is decoded.

    So it is the one that it is, though Python have no value for it, or one that is not equal to itself.
    """
    at = 4
    while raw[at]:
        kind, stop = raw[at], raw.index(0, at + 1) + 1
        end = stop + _size(raw, stop, kind)
        if raw[at + 1 : stop] == b"_id\0":
            return (end - at + 5).to_bytes(4, "little") + raw[at:end] + b"\0"
        at = end
    raise ValueError("a document without _id")  # MongoDB keeps none


def _odd(raw: bytes, start: int, path: str, *, array: bool = False) -> Iterator[tuple[str, str]]:
    """Walk through the document that begins at `start`. The server has checked that it is one."""
    end = start + unpack_from("<i", raw, start)[0] - 1
    at = start + 4
    while at < end:
        kind = raw[at]
        stop = raw.index(0, at + 1)
        name = raw[at + 1 : stop].decode("utf-8", "replace")
        here = f"{path}[{name}]" if array else f"{path}.{name}" if path else name
        at = stop + 1
        if kind in _ODD:
            yield here, _ODD[kind]
        if kind in (_DOCUMENT, _ARRAY):
            yield from _odd(raw, at, here, array=kind == _ARRAY)
        at += _size(raw, at, kind)


def _size(raw: bytes, at: int, kind: int) -> int:
    """Return how many bytes a value of that kind takes that begins at `at`."""
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == 0x0B:  # an expression and its options, both ending in a zero
        return raw.index(0, raw.index(0, at) + 1) + 1 - at
    length: int = unpack_from("<i", raw, at)[0]
    if kind in _TEXTS:
        return 4 + length
    return {0x05: 5 + length, 0x0C: 16 + length}.get(kind, length)
