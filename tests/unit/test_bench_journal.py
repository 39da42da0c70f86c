"""What the recovery and the soak count executions with."""

from __future__ import annotations

import time
from pathlib import Path

from jobpool.bench.journal import Journal, Writer
from jobpool.bench.steady import PAGE, Tally


def test_the_journal_tells_each_execution(tmp_path: Path) -> None:
    before = time.monotonic()
    journal = Journal(tmp_path / "journal")
    assert journal.refresh() == []
    one, other = Writer(journal.path), Writer(journal.path)
    one.enter(7, 1, "a")
    other.enter(8, 1, "b")
    one.enter(7, 2, "b")
    entries = journal.refresh()
    assert [entry[:3] for entry in entries] == [(7, 1, "a"), (8, 1, "b"), (7, 2, "b")]
    assert before - 1e-3 <= entries[0].at <= entries[2].at <= time.monotonic() + 1e-3
    assert journal.times() == {7: 2, 8: 1}
    assert journal.attempts() == {7: [1, 2], 8: [1]}


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with journal.path.open("a") as file:
        file.write("1 1 a 10.5\n2 1 a 1")
        file.flush()
        assert [entry.number for entry in journal.refresh()] == [1]
        file.write("1.5\n")
    assert [(entry.number, entry.at) for entry in journal.refresh()] == [(1, 10.5), (2, 11.5)]


def test_the_tally_knows_who_ran_never_and_who_twice() -> None:
    tally = Tally(3 * PAGE)
    for number in (0, 1, PAGE, PAGE, 3 * PAGE - 1):
        tally.add(number)
    found = tally.report(created=4)
    assert found == {"executions": 5, "once": 3, "more than once": 1, "never": 2}
