"""The estimate of the server's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobpool.errors import StoreUnavailable
from jobpool.store.server import ServerClock

START = datetime(2024, 1, 1, tzinfo=UTC)


class World:
    """A server whose clock goes with a monotonic one; its answer takes `way_back` seconds."""

    def __init__(self, way_back: float = 0.0) -> None:
        self.seconds = 1000.0
        self.asked = 0
        self.way_back = way_back
        self.step = timedelta()
        self.away = False

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> datetime:
        return START + timedelta(seconds=self.seconds) + self.step

    def ask(self) -> datetime:
        self.asked += 1
        if self.away:
            raise StoreUnavailable("away")
        answer = self.time()
        self.seconds += self.way_back
        return answer


def clock_in(world: World) -> ServerClock:
    return ServerClock(world.ask, world.monotonic)


def test_nothing_is_asked_before_the_first_use() -> None:
    world = World()
    clock_in(world)
    assert world.asked == 0


def test_the_server_is_asked_once_in_thirty_seconds() -> None:
    world = World()
    clock = clock_in(world)
    for _ in range(31):
        assert clock.now() == world.time()
        world.seconds += 1
    assert world.asked == 1


def test_the_server_is_asked_again_later() -> None:
    world = World()
    clock = clock_in(world)
    clock.now()
    world.seconds += 30.5
    assert clock.now() == world.time()
    assert world.asked == 2


def test_the_time_goes_on_between_two_answers() -> None:
    world = World()
    clock = clock_in(world)
    first = clock.now()
    world.seconds += 12.5
    assert clock.now() - first == timedelta(seconds=12.5)


@pytest.mark.parametrize("later", [0, 1, 29, 31, 100])
def test_the_estimate_is_behind_by_the_way_back(later: float) -> None:
    world = World(way_back=0.25)
    clock = clock_in(world)
    clock.now()
    world.seconds += later
    estimate = clock.now()
    assert world.time() - estimate == timedelta(seconds=0.25)


def test_a_step_of_the_servers_clock_is_noticed_at_the_refresh() -> None:
    world = World()
    clock = clock_in(world)
    clock.now()
    world.step = timedelta(hours=-1)
    world.seconds += 31
    assert clock.now() == world.time()


def test_forgetting_asks_again() -> None:
    world = World()
    clock = clock_in(world)
    clock.now()
    world.step = timedelta(seconds=-5)
    clock.forget()
    assert clock.now() == world.time()
    assert world.asked == 2


def test_a_server_that_is_away_is_said() -> None:
    world = World()
    world.away = True
    with pytest.raises(StoreUnavailable):
        clock_in(world).now()


def test_a_known_time_outlives_an_outage_within_thirty_seconds() -> None:
    world = World()
    clock = clock_in(world)
    clock.now()
    world.away = True
    world.seconds += 29
    assert clock.now() == world.time()
