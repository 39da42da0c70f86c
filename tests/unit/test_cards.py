"""What a pool says of itself, and when it should have spoken again."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobpool.backlog import PoolCounts
from jobpool.errors import StoreUnavailable
from jobpool.observer import Observer
from jobpool.pool.census import COUNT_TIME, Census
from jobpool.store import Store
from jobpool.store.cards import LONGEST_SILENCE, PATIENCE, PoolCard, pool_of, said_by

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
CARD = PoolCard("id", "p", "host", 1, ("a",), 1)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("heard", "fresh_for", "every", "silent"),
    [
        pytest.param(10 + PATIENCE, 35, 10, False, id="in time"),
        pytest.param(10.1 + PATIENCE, 35, 10, True, id="late"),
        pytest.param(17.5, 35, None, False, id="an older version in time"),
        pytest.param(17.6, 35, None, True, id="an older version late"),
        pytest.param(17.6, 35, LONGEST_SILENCE * 2, True, id="nonsense"),
        pytest.param(36, 35, 10, False, id="dead"),
        pytest.param(-5, 35, 10, False, id="to come"),
    ],
)
def test_a_pool_is_silent_when_its_next_word_is_overdue(
    heard: float, fresh_for: float, every: float | None, silent: bool
) -> None:
    said = {"seen_at": ago(heard), "fresh_until": ago(heard - fresh_for), "speaks_every": every}
    found = pool_of(said, NOW)
    assert (found.silent, found.heard_ago) == (silent, max(0.0, heard))


def test_who_never_said_when_it_spoke_is_not_silent() -> None:
    assert not pool_of({"fresh_until": ago(-30)}, NOW).silent
    assert not pool_of({"seen_at": "then", "fresh_until": ago(-30), "speaks_every": 1}, NOW).silent


def test_what_came_and_went_is_read_as_it_was_said() -> None:
    said = said_by(PoolCard("id", "p", "host", 1, ("a",), 1, counts=PoolCounts(3, 2, 1), start_rates={"a.$": 0.5}))
    found = pool_of(said, NOW)
    assert (found.counts, found.start_rates, found.started_per_second) == (PoolCounts(3, 2, 1), {"a.$": 0.5}, 0.5)
    assert said_by(CARD)["counts"] is None
    assert pool_of(said_by(CARD), NOW).started_per_second is None


def test_a_pool_speaks_before_a_count_that_might_keep_its_word_waiting() -> None:
    said: list[PoolCard] = []

    def refuse(**_: Any) -> None:
        raise StoreUnavailable("took too long")

    store = SimpleNamespace(
        name="jobs",
        trouble=None,
        presence=SimpleNamespace(announce=lambda card, fresh_for: said.append(card)),
        census=SimpleNamespace(backlog=refuse),
    )
    census = Census("p", cast(Store, store), Observer(), card=lambda: CARD, interval=15)
    census.act()
    assert [card.speaks_every for card in said] == [10.0]
    for left, words in ((1000 * COUNT_TIME, 0), (COUNT_TIME - 1, 1)):
        said.clear()
        census._count_at = -math.inf
        census._say_at = time.monotonic() + left
        census.act()
        assert len(said) == words
