"""The event loop of a pool: what is cancelled, and when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from jobpool.pool.coroutines import Coroutines

from ..waiting import PATIENCE


@pytest.fixture
def coroutines() -> Iterator[Coroutines]:
    coroutines = Coroutines("unit")
    yield coroutines
    assert coroutines.close(PATIENCE)


async def for_ever() -> None:
    await asyncio.sleep(PATIENCE * 10)


def test_one_that_is_cancelled_before_its_first_step_ends(coroutines: Coroutines) -> None:
    """The loop is held up until both the coroutine and the word are there."""
    gate, blocked = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        assert gate.wait(PATIENCE)

    blocker = threading.Thread(target=lambda: coroutines.run(block()))
    blocker.start()
    assert blocked.wait(PATIENCE)
    coroutine = for_ever()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            coroutines.run(coroutine)
        except BaseException as error:
            raised.append(error)

    waiter = threading.Thread(target=run)
    waiter.start()
    while coroutines.awaited_by(waiter) is None:
        threading.Event().wait(0.001)
    coroutines.cancel(coroutine)
    gate.set()
    waiter.join(PATIENCE)
    blocker.join(PATIENCE)
    assert [type(error) for error in raised] == [asyncio.CancelledError]


def test_one_that_was_to_end_before_it_came_ends(coroutines: Coroutines) -> None:
    with pytest.raises(asyncio.CancelledError):
        coroutines.run(for_ever(), lambda: True)


def test_a_second_word_does_not_disturb_its_cleaning_up(coroutines: Coroutines) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    async def careful() -> None:
        begun.set()
        try:
            await for_ever()
        finally:
            coroutines.cancel(coroutine)
            await asyncio.sleep(0.05)
            cleaned.set()

    coroutine = careful()

    def cancel() -> None:
        assert begun.wait(PATIENCE)
        coroutines.cancel(coroutine)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(asyncio.CancelledError):
        coroutines.run(coroutine)
    canceller.join()
    assert cleaned.is_set()


def test_one_that_has_ended_is_left_alone(coroutines: Coroutines) -> None:
    async def short() -> int:
        return 1

    coroutine = short()
    assert coroutines.run(coroutine) == 1
    coroutines.cancel(coroutine)
    assert coroutines.run(short()) == 1
