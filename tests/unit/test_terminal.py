"""What commands show: words, tables, JSON and questions."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.cli.terminal import confirm, jsons
from jobpool.cli.terminal.progress import Progress
from jobpool.cli.terminal.screen import Column, fields, fitting, plain_rows, rich_table, table
from jobpool.cli.terminal.words import ago, cells, clean, clean_lines, count, cut, duration, jobs, moment, rate
from jobpool.errors import InvalidConfiguration
from jobpool.job import State

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (0.25, "0.25s"),
        (2.0, "2s"),
        (2.54, "2.5s"),
        (12, "12s"),
        (59.6, "1m"),
        (60, "1m"),
        (61, "1m 1s"),
        (3600, "1h"),
        (7500, "2h 5m"),
        (86400, "1d"),
        (86400 + 59, "1d"),
        (400 * 86400, "1y 35d"),
        (-90, "-1m 30s"),
    ],
    ids=str,
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(st.floats(0, 1e12))
def test_every_duration_can_be_said(seconds: float) -> None:
    assert clean(duration(seconds)) == duration(seconds) != ""


def test_an_instant_is_past_or_to_come() -> None:
    assert ago(NOW - timedelta(minutes=5), NOW) == "5m"
    assert ago(NOW + timedelta(minutes=5), NOW) == "in 5m"
    assert (ago(None, NOW), moment(None)) == ("-", "-")
    assert moment(NOW) == "2026-11-27 12:00:00Z"


def test_numbers_are_read_at_a_glance() -> None:
    assert (count(1234567), rate(1234.4), rate(0.253)) == ("1,234,567", "1,234/s", "0.25/s")
    assert (jobs(1), jobs(2000)) == ("1 job", "2,000 jobs")


@given(st.text())
def test_no_terminal_obeys_a_foreign_text(text: str) -> None:
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in clean(text))
    assert not {"\u2028", "\u202e", "\u2066", "\u200f", "\u061c"} & set(clean(text))


def test_a_text_has_as_many_places_as_a_terminal_gives_it() -> None:
    assert [cells(text) for text in ("mail", "日本語", "e\u0301te\u0301", "", "עברית")] == [4, 6, 3, 0, 5]
    assert [cut("日本語", longest) for longest in (6, 5, 4, 1, 0)] == ["日本語", "日本…", "日…", "…", "…"]
    assert cut("mail", 4) == "mail"


def test_tables_are_aligned_whatever_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is cut for which there is room."""
    from rich.console import Console

    table([Column("type"), Column("due", right=True)], [["日本語", "1"], ["e\u0301te\u0301", "10"], ["mail", "2"]])
    lines = capsys.readouterr().out.splitlines()
    assert {cells(line) for line in lines} == {len("TYPE") + 2 + 2 + len("DUE")}
    written = io.StringIO()
    Console(file=written, width=20).print(rich_table([Column("type")], [["日本語の種類"]], 20))
    assert "日本語の種類" in written.getvalue()


def test_a_text_is_cut_where_there_is_no_room() -> None:
    assert clean("x" * 50, 10) == "xxxxxxx..."
    assert clean_lines("one\n\ttwo\x1b[2J") == ["one", "    two\\x1b[2J"]


COLUMNS = [Column("id"), Column("jobs", right=True), Column("error", optional=True), Column("note", optional=True)]
ROWS = [["a" * 20, "1,000", "e" * 30, "n" * 30], ["b", "2", "", ""]]


def test_a_plain_table_is_aligned_and_whole() -> None:
    lines = plain_rows(COLUMNS, ROWS)
    assert lines[0].split() == ["ID", "JOBS", "ERROR", "NOTE"]
    assert lines[1] == f"{'a' * 20}  1,000  {'e' * 30}  {'n' * 30}"
    assert lines[2] == f"b{' ' * 19}      2"


@pytest.mark.parametrize(("width", "left"), [(200, 4), (60, 3), (40, 2), (10, 2)])
def test_a_narrow_terminal_leaves_out_the_optional_columns_from_the_right(width: int, left: int) -> None:
    columns, cells, widths = fitting(COLUMNS, ROWS, width)
    assert columns == COLUMNS[:left]
    assert cells == [row[:left] for row in ROWS]
    assert len(widths) == left


def test_a_rich_table_fits_the_terminal() -> None:
    from rich.console import Console

    for width in (20, 40, 60, 100):
        out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        out.print(rich_table(COLUMNS, ROWS, width))
        lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert len(lines) == 3
        assert max(map(len, lines)) <= width


def test_in_a_pipe_a_table_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    table(["type", Column("state")], [("mail\x1b", "failed")])
    assert capsys.readouterr().out == "TYPE      STATE\nmail\\x1b  failed\n"


def test_what_is_none_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fields([("id", "a"), ("pool", None), ("attempts", 0)])
    assert capsys.readouterr().out == "id        a\nattempts  0\n"


@dataclass(frozen=True, slots=True)
class Thing:
    state: State
    at: datetime
    data: Any
    names: frozenset[str] = frozenset()
    _own: int = field(default=1)


def test_json_has_instants_as_texts_and_what_users_stored_as_extended_json() -> None:
    data = {"at": NOW, "id": UUID(int=1), "bytes": b"x", "big": 2**40, "list": [1.5, None]}
    shown = json.loads(jsons.line(Thing(State.FAILED, NOW, data, frozenset("ba"))))
    assert list(shown) == ["state", "at", "data", "names"]
    assert (shown["state"], shown["at"], shown["names"]) == ("failed", "2026-11-27T12:00:00.000Z", ["a", "b"])
    assert shown["data"]["at"] == {"$date": "2026-11-27T12:00:00Z"}
    assert shown["data"]["big"] == 2**40
    assert json.loads(jsons.whole(Thing(State.FAILED, NOW, data))) == shown | {"names": []}


def test_json_never_holds_what_is_no_json() -> None:
    shown = json.loads(jsons.line({"endless": float("inf"), "tuple": (1, 2)}), parse_constant=pytest.fail)
    assert shown == {"endless": None, "tuple": [1, 2]}


def test_progress_says_how_much_of_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("retrying", 2000) as progress:
        progress.advance(1500)
        assert progress.line().startswith("retrying: 1,500 of 2,000, ")
    assert capsys.readouterr().out == ""


def test_who_cannot_be_asked_has_to_say_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert confirm.confirmed("Remove 5 jobs?", yes=True)
    with pytest.raises(InvalidConfiguration, match=r"^Remove 5 jobs\? Nobody can be asked here: say --yes"):
        confirm.confirmed("Remove 5 jobs?", yes=False)


@pytest.mark.parametrize(
    ("typed", "meant"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_only_yes_is_yes(monkeypatch: pytest.MonkeyPatch, typed: str, meant: bool) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert confirm.confirmed("Remove 5 jobs?", yes=False) is meant


def test_json_moves_no_cursor_and_means_the_same() -> None:
    value = {"text": "\x1b[2J\x9b2J\x7f\u202e\u2028ä😀"}
    for text in (jsons.line(value), jsons.whole(value)):
        assert not {"\x1b", "\x9b", "\x7f", "\u202e", "\u2028"} & set(text)
        assert "ä😀" in text
        assert json.loads(text) == value
