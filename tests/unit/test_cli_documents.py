"""Data as people hand them in: one value, or one a line, however the bytes come."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from jobpool.cli.options import documents
from jobpool.cli.options.documents import Line, Source
from jobpool.cli.sending import BATCH, BATCH_BYTES, _batches
from jobpool.data import from_relaxed
from jobpool.errors import InvalidConfiguration

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=5,
)


def values(given: str, *, lines: bool = False) -> list[Line]:
    return [line for line in Source(given).values(lines=lines) if line is not None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', [Line(None, {"a": 1})]),
        ('\n  {"a": 1}  \n\n', [Line(None, {"a": 1})]),
        ('{\n"a":\n1}', [Line(None, {"a": 1})]),
        ("[1,\n\n\n2]", [Line(None, [1, 2])]),
        ("1\n2", [Line(1, 1), Line(2, 2)]),
        ("\n1\n\n2\n", [Line(2, 1), Line(4, 2)]),
        (
            '"a"\n{\n',
            [
                Line(1, "a"),
                Line(2, None, "no JSON"),
            ],
        ),
        ("", [Line(None, None, "it is empty")]),
        (" \n ", [Line(None, None, "it is empty")]),
    ],
    ids=["one", "blank lines", "over lines", "blank in between", "two", "numbered", "a bad one", "empty", "blank"],
)
def test_one_value_or_one_a_line(text: str, expected: list[Line]) -> None:
    found = values(text)
    assert [(line.number, line.value, bool(line.error)) for line in found] == [
        (line.number, line.value, bool(line.error)) for line in expected
    ]


def test_each_line_is_one_if_that_is_said() -> None:
    assert values("1", lines=True) == [Line(1, 1)]
    assert values("", lines=True) == []
    assert [line.error is None for line in values("{\n1", lines=True)] == [False, True]


def test_an_error_in_a_document_says_its_line() -> None:
    (line,) = values('{\n"a": [1,\n2}\n')
    assert line.error == "no JSON: Expecting ',' delimiter at line 3, column 2"


def test_a_bad_first_line_is_said_if_others_follow() -> None:
    (line,) = values('{"n": 1\n{"n": 2}\n')
    assert line.error is not None
    assert line.error.startswith("line 1 is no value, as line 2 is, and both together are none: no JSON: ")
    (only,) = values('{"n": 1\n')
    assert only.error is not None
    assert "together" not in only.error


@pytest.mark.parametrize(
    "text",
    ['{"$numberDecimal": "zz"}', '{"$timestamp": {}}', '{"$binary": {}}', '{"$dbPointer": {}}', '{"$code": 5}'],
    ids=["decimal", "timestamp", "binary", "pointer", "code"],
)
def test_what_is_no_extended_json_is_an_error_of_its_line(text: str) -> None:
    (line,) = values(text)
    assert line.error


def test_large_lines_are_sent_a_few_at_a_time() -> None:
    lines = [Line(number, size=BATCH_BYTES // 3) for number in range(1, 8)]
    assert [len(batch) for batch in _batches(lines)] == [4, 3]
    assert [len(batch) for batch in _batches([Line(1), None, None, *(Line(n) for n in range(BATCH + 1))])] == [
        *(1, BATCH, 1),
    ]


def test_extended_json_is_read_as_such_however_it_is_written() -> None:
    (one,) = values('{"at": {"$date": "2026-11-27T12:00:00Z"}}')
    (other,) = values('{"at": {"\\u0024date": "2026-11-27T12:00:00Z"}}')
    assert one.value == other.value == from_relaxed('{"at": {"$date": "2026-11-27T12:00:00Z"}}')


@given(value=VALUES)
def test_the_short_way_reads_what_the_long_one_does(value: Any) -> None:
    text = json.dumps(value)
    (line,) = values(text)
    if line.error is None:
        assert line.value == from_relaxed(text)
    else:  # a key with a dollar that is no extended JSON
        assert '"$' in text or "\\u0024" in text


@given(items=some.lists(VALUES.filter(lambda value: "$" not in json.dumps(value)), min_size=2, max_size=8))
def test_what_is_written_one_a_line_is_read_one_a_line(items: list[Any]) -> None:
    found = values("\n".join(map(json.dumps, items)))
    assert [line.value for line in found] == items
    assert [line.number for line in found] == list(range(1, len(items) + 1))


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 17], ids="chunks of {}".format)
def test_lines_are_put_together_from_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(documents, "CHUNK", chunk)
    path = tmp_path / "lines"
    path.write_text('{"a": "ä€😀"}\r\n\n"b"\n3', encoding="utf-8")
    assert values(f"@{path}") == [Line(1, {"a": "ä€😀"}), Line(3, "b"), Line(4, 3)]


def test_a_mark_of_windows_at_the_start_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\xef\xbb\xbf1\n2\n")
    assert [line.value for line in values(f"@{path}")] == [1, 2]


def test_what_is_no_text_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b'1\n"\xff"\n')
    assert [line.error for line in values(f"@{path}")] == [
        None,
        "it is not in UTF-8: invalid start byte at byte 1",
    ]


def test_a_line_that_is_too_long_is_refused_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONGEST", 100)
    monkeypatch.setattr(documents, "CHUNK", 30)
    path = tmp_path / "lines"
    path.write_text(f'1\n"{"x" * 1000}"\n2\n"{"x" * 1000}"')
    found = values(f"@{path}")
    assert [(line.number, line.value, bool(line.error)) for line in found] == [
        (1, 1, False),
        (2, None, True),
        (3, 2, False),
        (4, None, True),
    ]


def test_how_much_of_a_file_is_read_is_known(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("1\n2\n3\n")
    source = Source(f"@{path}")
    assert source.share == 0
    list(source.values(lines=True))
    assert source.share == 1
    assert Source("1\n2").share is None


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Source, int]]:
    """A source that reads a pipe, and the end that writes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    ends: list[int] = []
    thread = threading.Thread(target=lambda: ends.append(os.open(path, os.O_WRONLY)))
    thread.start()
    source = Source(f"@{path}")
    thread.join()
    yield source, ends[0]
    os.close(ends[0])


def test_a_pause_in_what_comes_is_told(pipe: tuple[Source, int]) -> None:
    source, end = pipe
    assert source.size is None
    os.write(end, b"1\n2\n")
    found = source.values(lines=True)
    assert [next(found), next(found), next(found)] == [Line(1, 1), Line(2, 2), None]
    os.write(end, b"3\n")
    assert next(line for line in found if line is not None) == Line(3, 3)


@pytest.mark.parametrize("name", ["nowhere", "."], ids=["missing", "a directory"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot read"):
        Source(f"@{tmp_path / name}")
