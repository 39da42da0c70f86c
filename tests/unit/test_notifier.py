"""Who is told by one change stream, and what a waiter hears."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from jobpool.errors import StoreUnavailable
from jobpool.observer import Observer
from jobpool.pool import notifier
from jobpool.pool.notifier import Notifier, chosen
from jobpool.pool.waiter import Waiter
from jobpool.trouble import Trouble


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


class Stream:
    """A stream that tells what is put into `ended`."""

    def __init__(self, ids: frozenset[str], after: Stream | None) -> None:
        self.ids = ids
        self.after = after
        self.opened_at = -inf  # old enough to be replaced
        self.writes = 0.0
        self.ended: list[str | Exception] = []
        self.closed = False

    def next(self) -> str | None:
        end = self.ended.pop(0) if self.ended else None
        if isinstance(end, Exception):
            raise end
        return end

    def close(self) -> None:
        self.closed = True


class Streams:
    """A store that opens them, and those who wait."""

    def __init__(self) -> None:
        self.trouble = Trouble("test")
        self.waiters: tuple[Waiter, ...] = ()
        self.opened: list[Stream] = []

    def watch_finals(self, ids: frozenset[str], max_await: float, after: Stream | None) -> Stream:
        assert max_await < 1
        self.opened.append(Stream(ids, after))
        return self.opened[-1]

    def unused(self, notifier: Notifier) -> bool:
        assert notifier is not None
        return not self.waiters


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.fixture
def one(streams: Streams) -> Notifier:
    store: Any = streams
    return Notifier("test", store, Observer(), streams)


def test_a_stream_of_more_ids_goes_on_where_the_one_before_was(streams: Streams, one: Notifier) -> None:
    first, second = streams.waiters = waiters("a", "b")
    streams.waiters = (first,)
    one.run_once()
    assert first.take() == {None}
    streams.waiters = (first, second)
    one.run_once()
    before, now = streams.opened
    assert (now.after, now.ids) == (before, frozenset("ab"))
    assert first.take() == set(), "nothing of it was left out, so it need not look"
    assert second.take() == {None}


def test_a_stream_that_has_the_ids_is_kept(streams: Streams, one: Notifier) -> None:
    first, second = waiters("ab", "b")
    for streams.waiters in ((first,), (first, second), (second,)):
        one.run_once()
    assert len(streams.opened) == 1
    streams.opened[0].ended.append("b")
    one.run_once()
    assert second.take() == {None, "b"}


def test_a_young_stream_is_kept_for_a_moment(streams: Streams, one: Notifier) -> None:
    first, second = waiters("a", "b")
    streams.waiters = (first,)
    one.run_once()
    streams.opened[0].opened_at = inf
    streams.waiters = (first, second)
    one.run_once()
    assert len(streams.opened) == 1
    assert (first.covered, second.covered) == (True, False)


def test_a_broken_stream_covers_nobody_and_the_next_begins_anew(streams: Streams, one: Notifier) -> None:
    (first,) = streams.waiters = waiters("a")
    one.run_once()
    first.take()
    streams.opened[0].ended.append(StoreUnavailable("broken"))
    with pytest.raises(StoreUnavailable):
        one.run_once()
    assert (first.covered, streams.opened[0].closed) == (False, True)
    one.run_once()
    assert streams.opened[1].after is None
    assert first.take() == {None}


def test_a_server_busy_with_writes_has_no_stream_to_read(streams: Streams, one: Notifier) -> None:
    (first,) = streams.waiters = waiters("a")
    one.run_once()
    streams.opened[0].writes = notifier.BUSY + 1
    streams.opened[0].ended.append("a")
    one.run_once()
    assert (first.covered, streams.opened[0].closed) == (False, True)
    assert first.take() == {None, "a"}, "what it told last counts"
    one.stop()  # or it waits a moment
    one.run_once()
    assert len(streams.opened) == 1


def test_an_idle_notifier_has_no_stream_and_ends(
    streams: Streams, one: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams.waiters = waiters("a")
    one.run_once()
    streams.waiters = ()
    monkeypatch.setattr(notifier, "IDLE", 0.0)
    one.run_once()
    assert streams.opened[0].closed
    assert one.stopping
