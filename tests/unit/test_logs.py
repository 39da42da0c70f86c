"""Lines about trouble are few, whoever writes them."""

from __future__ import annotations

import logging
import os
import threading

import pytest

from jobpool.logs import BUDGET, KEPT, LINES, Budget, bounded_logger_of


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_minute_has_more_lines_than_the_budget() -> None:
    clock = Clock()
    budget = Budget(3, 60.0, clock)
    taken: list[float] = []
    for tenth in range(6000):
        clock.now = tenth / 10
        if budget.take() is not None:
            taken.append(clock.now)
    assert len(taken) == 30
    assert all(later - earlier >= 60 for earlier, later in zip(taken, taken[3:], strict=False))


def test_the_next_line_says_how_many_were_left_out() -> None:
    clock = Clock()
    budget = Budget(2, 60.0, clock)
    assert [budget.take() for _ in range(5)] == [0, 0, None, None, None]
    assert not budget.has_room()
    clock.now = 60.0
    assert [budget.take() for _ in range(2)] == [3, 0]


def test_a_line_that_is_kept_for_later_is_not_left_out() -> None:
    clock = Clock()
    budget = Budget(1, 60.0, clock)
    assert [budget.take(), budget.take(again=True), budget.take(again=True)] == [0, None, None]
    clock.now = 60.0
    assert budget.take() == 0


def test_some_lines_are_kept_for_what_explains_the_others() -> None:
    clock = Clock()
    budget = Budget(3, 60.0, clock)
    assert [budget.take(keep=1) for _ in range(4)] == [0, 0, None, None]
    assert budget.has_room()
    assert budget.take() == 2
    assert budget.take() is None
    clock.now = 60.0
    assert budget.take(keep=1) == 1


def test_the_loggers_of_all_modules_share_one_budget(caplog: pytest.LogCaptureFixture) -> None:
    one, other = bounded_logger_of("jobpool.one"), bounded_logger_of("jobpool.other")
    for number in range(100):
        one.warning("line %d", number)
        other.info("line %d", number)
        other.error("line %d", number)
    assert len([record for record in caplog.records if record.levelno >= logging.INFO]) <= LINES
    assert caplog.records[0].getMessage() == "line 0"


def test_a_line_after_others_were_left_out_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("jobpool.logs.BUDGET", Budget(KEPT + 1, 60.0, clock))
    logger = bounded_logger_of("jobpool.test")
    for number in range(3):
        logger.warning("line %s", f"{number}%")
    clock.now = 100.0
    logger.warning("the last of %d", 4)
    assert [record.getMessage() for record in caplog.records] == [
        "line 0%",
        "the last of 4 (2 lines left out before)",
    ]


def test_details_are_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    logger = bounded_logger_of("jobpool.test")
    with caplog.at_level(logging.DEBUG, "jobpool.test"):
        for _ in range(50):
            logger.debug("a detail")
    assert len(caplog.records) == 50


def test_a_line_nobody_listens_to_costs_no_room(caplog: pytest.LogCaptureFixture) -> None:
    logger = bounded_logger_of("jobpool.test")
    with caplog.at_level(logging.ERROR, "jobpool.test"):
        for _ in range(50):
            logger.warning("unheard")
        logger.error("heard")
    assert [record.getMessage() for record in caplog.records] == ["heard"]


def test_a_line_names_its_writer(caplog: pytest.LogCaptureFixture) -> None:
    logger = bounded_logger_of("jobpool.test")
    logger.warning("here")
    assert caplog.records[0].funcName == "test_a_line_names_its_writer"


def test_many_threads_share_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    logger = bounded_logger_of("jobpool.test")

    def write() -> None:
        for _ in range(100):
            logger.warning("x")

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == LINES - KEPT


def test_a_fork_while_the_lock_is_held_can_still_write() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with BUDGET._lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if BUDGET.take() is not None else 1)
    done.set()
    holder.join()
    assert os.waitpid(child, 0)[1] == 0
