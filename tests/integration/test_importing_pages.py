"""The source of an import is read page by page, in the order of its ids."""

from __future__ import annotations

import math
import struct
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from jobpool import JobManager
from jobpool.importing import Imported, Skipped
from jobpool.store import importing

from ..conftest import Jobs
from ..togedo import NOW, document, source
from .test_importing import carry, manager

__all__ = ["manager", "source"]


def test_ids_of_all_kinds_are_read_page_by_page(
    manager: JobManager, source: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their order goes through all kinds, so a page may begin anywhere; no document is read twice."""
    monkeypatch.setattr(importing, "PAGE", 3)
    ids = [*range(5), 2.5, 10**15, "a", "b", "ü", *(bson.ObjectId() for _ in range(5)), NOW, {"a": 1}, True, None]
    source.insert_many([document(id) for id in ids])
    skipped: list[Skipped] = []
    report = carry(manager, source, on_skipped=skipped.append)
    assert (report.read, report.inserted, report.skipped) == (len(ids), len(ids) - 3, 3)
    assert {one.problem for one in skipped} == {"id"}
    assert manager.get("2.5").data == {"to": "2.5"}


def test_a_page_of_large_documents_is_smaller(
    manager: JobManager, source: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PAGE_BYTES", 100_000)
    source.insert_many([document(n, data="x" * 10_000) for n in range(120)])
    rounds: list[int] = []
    carry(manager, source, on_round=lambda report: rounds.append(report.read))
    assert rounds == [0, *range(10, 120, 10), 120]


def test_a_document_larger_than_a_page_is_a_page_of_its_own(
    manager: JobManager, source: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each begins where the one before ended, which alone would fill it."""
    monkeypatch.setattr(importing, "PAGE_BYTES", 5_000)
    source.insert_many([document(n, data="x" * (10_000 if n % 3 else 10)) for n in range(12)])
    assert carry(manager, source).inserted == 12


def raw(id: bytes, type: bytes = b"mail") -> RawBSONDocument:
    """A document with an id (its kind, and its value as BSON), as others may have stored it."""
    text = (len(type) + 1).to_bytes(4, "little") + type + b"\0"
    known = bson.encode({"status": "queued", "data": 1})[4:-1]
    body = id[:1] + b"_id\0" + id[1:] + b"\x02type\0" + text + known + b"\0"
    return RawBSONDocument((4 + len(body)).to_bytes(4, "little") + body)


@pytest.mark.parametrize(
    ("last", "inserted", "problem"),
    [
        (raw(b"\x02\x03\0\0\0\xff\xfe\0"), 2, {"unreadable": 1}),
        (raw(b"\x02\x02\0\0\0z\0", b"\xff\xfe"), 2, {"unreadable": 1}),
        (raw(b"\x01" + struct.pack("<d", math.nan)), 2, {"id": 1}),
        (raw(b"\x0e\x02\0\0\0z\0"), 3, {}),
    ],
    ids=["id no text", "type no text", "nan", "symbol"],
)
@pytest.mark.parametrize("others", [["a", "b"], [-1, -2]], ids=["texts", "numbers"])
def test_a_page_may_end_with_what_nobody_else_reads(
    manager: JobManager,
    source: Jobs,
    monkeypatch: pytest.MonkeyPatch,
    last: RawBSONDocument,
    inserted: int,
    problem: dict[str, int],
    others: list[Any],
) -> None:
    """And the next one begins behind it: nothing stands still, nothing is read twice."""
    monkeypatch.setattr(importing, "PAGE", 1)
    source.insert_many([last, *(document(id) for id in others)])
    pages: list[int] = []

    def turn(report: Imported) -> None:
        pages.append(report.read)
        assert len(pages) < 10

    report = carry(manager, source, on_round=turn)
    assert (report.read, report.inserted, report.problems) == (3, inserted, problem)


def test_behind_the_greatest_of_all_keys_there_is_nothing(manager: JobManager, source: Jobs) -> None:
    source.insert_many([document("a"), document(bson.MaxKey())])
    report = carry(manager, source)
    assert (report.read, report.inserted, report.problems) == (2, 1, {"id": 1})
