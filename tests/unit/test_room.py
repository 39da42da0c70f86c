"""How many jobs are asked for, and which begin at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from jobpool.config import PoolConfig
from jobpool.pool.pace import Pace
from jobpool.pool.room import SLOWEST_CLAIM, WORTHWHILE, Room, Rooms

THREADS = 4


@dataclass
class Seats:
    """As much of the workers as matters here; `free` is negative if started jobs wait."""

    free: int = THREADS
    moving: bool = True


class Scene:
    def __init__(self, seconds: float | None, *, types: tuple[str, ...] = ("a",), **options: Any) -> None:
        self.seats = Seats()
        self.queued = 0
        pace = Pace(THREADS)
        if seconds is not None:
            pace.observe("a", seconds)
        config = PoolConfig(threads=THREADS, **options)
        self.rooms = Rooms(
            config,
            lambda: types,
            cast(Any, self.seats),
            pace,
            queued=lambda: self.queued,
            taken=lambda: self.queued,
        )


def test_a_pool_that_knows_nothing_of_its_jobs_fills_its_free_threads() -> None:
    assert Scene(None).rooms.next() == Room(THREADS, starts=True)


def test_long_jobs_are_claimed_for_free_threads_only() -> None:
    scene = Scene(10.0)
    assert scene.rooms.next() == Room(THREADS, starts=True)
    scene.seats.free = 1
    assert scene.rooms.next() == Room(1, starts=True)
    scene.seats.free = 0
    assert scene.rooms.next().jobs == 0


def test_jobs_of_some_milliseconds_are_claimed_ahead_and_started_when_their_turn_comes() -> None:
    room = Scene(0.01).rooms.next()
    assert (room.jobs > 5 * THREADS, room.starts) == (True, False)


def test_very_short_jobs_are_started_by_their_claim_within_the_look_ahead() -> None:
    scene = Scene(0.00001)
    room = scene.rooms.next()
    assert room.jobs >= WORTHWHILE
    assert room.starts
    scene.seats.free = -room.jobs  # so many wait
    assert scene.rooms.next().jobs == 0
    scene.seats.free = -room.jobs // 3
    assert 0 < scene.rooms.next().jobs < room.jobs


@pytest.mark.parametrize("types", [("a", "b"), ("b",)])
def test_a_type_that_was_never_seen_may_be_long(types: tuple[str, ...]) -> None:
    assert not Scene(0.00001, types=types).rooms.next().starts


def test_claims_that_take_long_are_made_ahead() -> None:
    scene = Scene(0.00001)
    for _ in range(50):
        scene.rooms.observe(2 * SLOWEST_CLAIM)
    room = scene.rooms.next()
    assert (room.jobs, room.starts) == (500, False)


def test_what_waits_in_the_queue_comes_first() -> None:
    scene = Scene(0.00001)
    scene.queued = 1
    assert not scene.rooms.next().starts
    assert not scene.rooms.one().starts


def test_threads_that_take_nothing_say_that_what_was_fast_is_not_any_more() -> None:
    scene = Scene(0.00001)
    scene.seats = Seats(free=-3, moving=False)
    scene.rooms._workers = cast(Any, scene.seats)
    assert scene.rooms.next().jobs == 0


def test_a_tiny_pool_asks_for_what_it_may_hold() -> None:
    for seconds in (None, 0.00001, 0.01, 10.0):
        assert Scene(seconds, queue_size=1, batch_size=1).rooms.next().jobs == 1


def test_news_start_their_job_only_if_a_thread_is_free() -> None:
    scene = Scene(0.01)
    assert scene.rooms.one() == Room(1, starts=True)
    scene.seats.free = 0
    assert scene.rooms.one() == Room(1, starts=False)
