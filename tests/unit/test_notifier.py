"""Who is told by one change stream, and what a waiter hears."""

from __future__ import annotations

import pytest

from jobpool.pool import notifier
from jobpool.pool.notifier import chosen
from jobpool.pool.waiter import Waiter


def waiters(*several: str) -> tuple[Waiter, ...]:
    """Return a waiter for each text, whose letters are ids."""
    return tuple(Waiter(frozenset(ids)) for ids in several)


def test_all_are_chosen_who_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "MOST_IDS", 4)
    assert chosen(waiters("ab", "c", "")) == frozenset("abc")
    assert chosen(()) == frozenset()


def test_those_who_wait_for_few_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "MOST_IDS", 4)
    assert chosen(waiters("abcd", "x", "yz")) == frozenset("xyz")
    assert chosen(waiters("abcde")) == frozenset()


def test_a_waiter_hears_of_its_own_jobs_alone() -> None:
    (waiter,) = waiters("ab")
    for id in "axb":
        waiter.tell(id)
    assert waiter.take() == {"a", "b"}
    assert waiter.take() == set()


def test_who_is_covered_looks_once_and_who_is_not_any_more_looks_around() -> None:
    (waiter,) = waiters("a")
    waiter.cover()
    waiter.cover()
    assert waiter.take() == {None}
    waiter.cover()
    assert waiter.take() == set()
    waiter.uncover()
    assert waiter._woken.is_set()
    assert waiter.take() == set()
    waiter.cover()
    assert waiter.take() == {None}


def test_a_word_before_the_wait_ends_it() -> None:
    (waiter,) = waiters("a")
    waiter.tell("a")
    waiter.wait(1000)
    assert waiter.take() == {"a"}
