"""What a manager may create of a bounded type between two counts."""

from __future__ import annotations

import pytest

from jobpool.manager import room
from jobpool.manager.room import MOST, Allowance


def taken(allowance: Allowance) -> int:
    """Take all there is, and return how much that was."""
    places = 0
    while allowance.take():
        places += 1
    return places


@pytest.mark.parametrize(
    ("bound", "pending", "portion"),
    [(1, 0, 1), (5, 4, 1), (5, 5, 0), (5, 7, 0), (100, 0, 10), (100, 91, 1), (10_000, 0, MOST), (3000, 2500, 50)],
)
def test_a_count_allows_a_tenth_of_the_room(bound: int, pending: int, portion: int) -> None:
    allowance = Allowance(bound)
    assert not allowance.take(), "nothing before the first count"
    assert allowance.counted(pending, allowance.mark)
    assert allowance.known_full == (portion == 0)
    assert taken(allowance) == portion


def test_of_a_large_bound_a_hundredth_is_allowed_as_counts_take_longer() -> None:
    allowance = Allowance(1_000_000)
    allowance.counted(500_000, allowance.mark, took=1.0)
    assert taken(allowance) == 10_000
    allowance.give_back(10_000)
    allowance.counted(999_990, allowance.mark, took=1.0)
    assert taken(allowance) == 1


def test_what_a_count_says_holds_ten_times_as_long_as_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FRESH", 0.0)
    monkeypatch.setattr(room, "FULL", 0.0)
    allowance = Allowance(100)
    allowance.counted(0, allowance.mark, took=60.0)
    assert taken(allowance) == 10
    allowance.counted(100, allowance.mark, took=0.0)
    assert not allowance.known_full
    allowance.counted(100, allowance.mark, took=60.0)
    assert allowance.known_full


def test_what_is_on_its_way_takes_room() -> None:
    allowance = Allowance(2)
    allowance.counted(0, allowance.mark)
    assert allowance.take()
    assert allowance.counted(0, allowance.mark), "one is left beside the one on its way"
    assert allowance.take()
    assert not allowance.counted(0, allowance.mark), "both may be counted or not: look again"
    assert not allowance.known_full
    assert not allowance.take()
    allowance.give_back(2)
    assert allowance.counted(2, allowance.mark)
    assert allowance.known_full


def test_what_arrived_while_a_count_was_under_way_takes_room() -> None:
    allowance = Allowance(1)
    allowance.counted(0, allowance.mark)
    assert allowance.take()
    mark = allowance.mark
    allowance.give_back(1)
    assert not allowance.counted(0, mark), "the count has not seen it"
    assert not allowance.take()


def test_a_count_that_was_overtaken_allows_nothing() -> None:
    allowance = Allowance(100)
    first, second = allowance.mark, allowance.mark
    allowance.counted(0, first)
    assert taken(allowance) == 10
    assert allowance.counted(0, second), "count again at once"
    assert not allowance.take()
    assert not allowance.known_full


def test_a_portion_does_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FRESH", 0.0)
    allowance = Allowance(100)
    allowance.counted(0, allowance.mark)
    assert not allowance.take()
