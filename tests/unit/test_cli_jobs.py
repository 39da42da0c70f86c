"""Jobs and their changes in words, as ``ls`` and ``tail`` show them; and how tables share a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from jobpool import Job, JobError, Progress, State
from jobpool.changes import KINDS, Change
from jobpool.cli.tail import Shown
from jobpool.cli.terminal import changes
from jobpool.cli.terminal.changes import said
from jobpool.cli.terminal.jobs import COLUMNS, FEW, USUAL, attempts, detail, row, short, when
from jobpool.cli.terminal.screen import GAP, Column, fitting
from jobpool.cli.terminal.words import cells

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ERROR = JobError("ValueError", "no\n  way", "", 2, NOW)
EARLIER = NOW - timedelta(seconds=100)


def job(state: str = "pending", **fields: Any) -> Job:
    given: dict[str, Any] = {
        "id": "one",
        "type": "mail",
        "data": None,
        "state": State(state),
        "priority": 0,
        "run_at": EARLIER,
        "attempts": 0,
        "max_attempts": None,
        "fence": 0,
        "created_at": EARLIER,
    }
    return Job(**{**given, **fields})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (job(), "due 1m 40s ago"),
        (job(run_at=NOW + timedelta(hours=1)), "in 1h"),
        (job("waiting"), "-"),
        (job("claimed"), "-"),
        (job("running", started_at=NOW - timedelta(seconds=5)), "for 5s"),
        (job("succeeded", started_at=NOW - timedelta(seconds=7), finished_at=NOW), "took 7s"),
        (job("failed", finished_at=NOW - timedelta(seconds=7)), "7s ago"),
        (job("cancelled", started_at=EARLIER, finished_at=NOW - timedelta(seconds=7)), "7s ago"),
        (job("cancelled", finished_at=NOW + timedelta(seconds=7)), "0s ago"),
        (job("failed", started_at=NOW, finished_at=EARLIER), "took 0s"),
    ],
    ids=[
        "due",
        "later",
        "waiting",
        "claimed",
        "running",
        "succeeded",
        "never started",
        "cancelled",
        "clocks",
        "back",
    ],
)
def test_when_is_what_matters_in_its_state(found: Job, expected: str) -> None:
    assert when(found, NOW) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (job(), ""),
        (job("failed", error=ERROR), "ValueError: no way"),
        (job(errors=(ERROR,)), "after ValueError: no way"),
        (job("running", pool="p"), "by p"),
        (job("running", pool="p", progress=Progress(4, 10, "reading")), "40% (4 of 10) reading"),
        (job("running", progress=Progress(4)), "4"),
        (job("waiting", waits_for=("a", "b")), "waits for 2"),
        (job("cancelled", cancel_reason="by hand"), "by hand"),
    ],
    ids=["nothing", "failed", "again", "running", "progress", "no total", "waiting", "cancelled"],
)
def test_detail_is_what_is_special(found: Job, expected: str) -> None:
    assert detail(found) == expected


def test_attempts_say_of_how_many() -> None:
    assert attempts(job(attempts=1)) == "1"
    assert attempts(job(attempts=1, max_attempts=3)) == "1/3"


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        (f"v1:{'0123456789abcdef' * 4}", "v1:01234567…"),
        ("v1:short", "v1:short"),
        ("x" * 37, "x" * 37),
        ("x" * 38, f"{'x' * 36}…"),
    ],
    ids=["hash", "no hash", "fits", "long"],
)
def test_long_ids_have_a_short_form_that_is_marked(id: str, expected: str) -> None:
    assert short(id) == expected


def test_every_column_says_something_of_every_job() -> None:
    for state in State:
        cells = row(job(state, started_at=EARLIER, finished_at=NOW), list(COLUMNS), NOW, whole=True)
        assert all(cells)
        assert len(cells) == len(COLUMNS)
    assert set(FEW) < set(USUAL) < set(COLUMNS)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "created"}, ""),
        ({"kind": "created", "run_at": NOW + timedelta(minutes=1)}, "due in 1m"),
        ({"kind": "claimed", "pool": "p"}, "by p"),
        ({"kind": "started", "pool": "p", "attempt": 1}, "by p"),
        ({"kind": "started", "pool": "p", "attempt": 2}, "attempt 2 by p"),
        ({"kind": "succeeded", "seconds": 2.5}, "took 2.5s"),
        (
            {"kind": "retry", "seconds": 1, "error": ERROR, "run_at": NOW + timedelta(seconds=5)},
            "took 1s, again in 5s, ValueError: no way",
        ),
        ({"kind": "failed", "error": ERROR}, "ValueError: no way"),
        ({"kind": "cancelled", "reason": "by hand"}, "by hand"),
        ({"kind": "progress", "progress": Progress(1, 2)}, "50% (1 of 2)"),
        ({"kind": "removed"}, ""),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_a_change_says_what_is_new(fields: dict[str, Any], expected: str) -> None:
    assert fields["kind"] in KINDS
    assert said(Change(id="one", at=NOW, **fields)) == expected


def test_a_change_that_was_shown_as_the_last_one_is_not_shown_again() -> None:
    def at(kind: str, id: str, milliseconds: int, attempt: int | None = None) -> Change:
        return Change(kind, id, NOW + timedelta(milliseconds=milliseconds), attempt=attempt)

    shown = Shown([at("created", "old", -60_000), at("failed", "one", 7, 1), at("created", "two", 3)], NOW)
    came = [
        at("created", "one", 1),
        at("started", "one", 2, 1),
        at("created", "two", 4),
        at("failed", "one", 8, 1),
    ]
    new = [at("created", "old", 9), at("revived", "one", 9), at("failed", "one", 10, 1), at("started", "two", 9)]
    assert shown.without(came + new) == new
    shown = Shown([at("created", "one", 500)], NOW)
    second = Change("started", "one", NOW)  # cut, as an older server does
    assert shown.without([second]) == [second]


@pytest.mark.parametrize("width", [60, 100, 20])
def test_a_line_of_wide_texts_has_one_row_on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(changes, "width", lambda: width)
    monkeypatch.setattr(changes, "console", lambda: None)
    lines = changes.Lines(data=True)
    made = [
        lines.line(
            Change("created", "\u8a2d\u5b9a" * n, NOW, type=type, state=State.PENDING, data="\U0001f600" * 90)
        )
        for n, type in ((1, "mail"), (30, "\u90f5\u4fbf\u7269"), (2, "\u90f5"))
    ]
    assert max(map(cells, made)) <= max(width, 25)
    if width == 100:
        assert [cells(line[: line.index("\u8a2d")]) for line in made[1:]] == [32, 32]


CELLS = some.lists(some.text("ab", max_size=60), min_size=4, max_size=4)


@given(rows=some.lists(CELLS, min_size=1, max_size=5), width=some.integers(40, 200))
def test_a_table_fits_its_line_and_keeps_what_must_stay(rows: list[list[str]], width: int) -> None:
    columns = [
        Column("id", least=8),
        Column("state"),
        Column("a", optional=True),
        Column("b", optional=True, room=10),
    ]
    kept, cells, widths = fitting(columns, rows, width)
    assert [one.name for one in kept][:2] == ["id", "state"]
    assert sum(widths) + GAP * (len(widths) - 1) <= width
    assert all(len(row) == len(kept) == len(widths) for row in cells)
    needed = [max([len(one.name), *(len(row[n]) for row in cells)]) for n, one in enumerate(kept)]
    assert all(given <= need for given, need in zip(widths, needed, strict=True))
