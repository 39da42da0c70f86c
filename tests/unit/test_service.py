"""A background thread survives whatever its step raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from jobpool.errors import StoreUnavailable
from jobpool.observer import Observer
from jobpool.pool.service import Service, jitter
from jobpool.trouble import Trouble

FORESEEN = StoreUnavailable("away")
UNFORESEEN = [ValueError("bug"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()]


class Counting(Observer):
    def __init__(self) -> None:
        self.errors: list[str] = []

    def internal_error(self, component: str) -> None:
        self.errors.append(component)


class Scripted(Service):
    """Does what it is told; told to stop already, so that an error makes it wait for nothing."""

    def __init__(self, *script: BaseException | None) -> None:
        self.heard = Counting()
        super().__init__("pool-scripted", self.heard, Trouble("db.jobs"))
        self._script = list(script)
        self.stop()

    def run_once(self) -> None:
        error = self._script.pop(0)
        if error is not None:
            raise error


class Looping(Service):
    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__("pool-looping", Observer(), Trouble("db.jobs"))
        self._work = work

    def run_once(self) -> None:
        self._work()


def test_a_step_that_works_says_so() -> None:
    service = Scripted(None)
    assert service.step() is True
    assert (service.failing, service.heard.errors) == (False, [])


@pytest.mark.parametrize("error", UNFORESEEN, ids=repr)
def test_an_unforeseen_error_is_survived_and_counted(error: BaseException) -> None:
    service = Scripted(error)
    assert service.step() is False
    assert (service.failing, service.heard.errors) == (True, ["scripted"])


def test_a_store_error_is_survived_and_no_bug() -> None:
    service = Scripted(FORESEEN)
    assert service.step() is False
    assert (service.failing, service.heard.errors) == (True, [])


def test_a_step_that_works_again_clears_the_failure() -> None:
    service = Scripted(FORESEEN, None)
    assert [service.step(), service.step()] == [False, True]
    assert service.failing is False


def test_only_a_step_that_works_advances() -> None:
    service = Scripted(FORESEEN, None)
    service.advanced_at = before = -1.0
    service.step()
    assert service.advanced_at == before
    service.step()
    assert service.advanced_at > before


def test_a_lasting_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    service = Scripted(FORESEEN, FORESEEN, FORESEEN, None)
    with caplog.at_level(logging.INFO, logger="jobpool"):
        for _ in range(4):
            service.step()
    first, last = caplog.records
    assert first.levelname == "WARNING"
    assert first.getMessage().startswith("MongoDB for 'db.jobs' does not confirm")
    assert first.exc_info is None
    assert (last.levelname, "answers again" in last.getMessage()) == ("INFO", True)


def test_every_failure_of_a_service_is_told_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    service = Scripted(FORESEEN, FORESEEN)
    with caplog.at_level(logging.DEBUG, logger="jobpool.pool.service"):
        service.step()
        service.step()
    texts = [record.getMessage() for record in caplog.records if record.levelname == "DEBUG"]
    assert texts == ["pool-scripted: away; retrying"] * 2


def test_an_error_that_nobody_foresaw_is_not_logged_at_every_step(caplog: pytest.LogCaptureFixture) -> None:
    service = Scripted(*[ValueError("bug")] * 20)
    for _ in range(20):
        service.step()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_an_unforeseen_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("bug")
    Scripted(error).step()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_thread_goes_on_after_an_error() -> None:
    steps: list[int] = []
    again = threading.Event()

    def work() -> None:
        steps.append(1)
        if len(steps) == 1:
            raise SystemExit(1)
        again.set()
        service.stop()

    service = Looping(work)
    service.start()
    assert again.wait(30)
    assert service.join(30) is True
    assert (service.alive, len(steps)) == (False, 2)


def test_a_stop_ends_the_thread() -> None:
    idle = threading.Event()
    service = Looping(lambda: idle.wait(0.01))
    service.start()
    assert (service.alive, service.stopping) == (True, False)
    service.stop()
    assert service.join(30) is True
    assert (service.alive, service.stopping) == (False, True)


def test_a_stop_wakes_the_step() -> None:
    woken: list[bool] = []

    class Waiting(Scripted):
        def wake(self) -> None:
            woken.append(self.stopping)

    Waiting()
    assert woken == [True]


def test_a_service_that_was_not_started_can_be_joined() -> None:
    assert Scripted().join() is True


def test_the_jitter_is_a_quarter_to_either_side() -> None:
    draws = [jitter() for _ in range(1000)]
    assert min(draws) >= 0.75
    assert max(draws) <= 1.25
    assert len(set(draws)) > 1


class Ending(Service):
    """Stops within its first step, which then raises `error`; its end raises as well."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__("pool-ending", Observer(), Trouble("db.jobs"))
        self.closed = 0
        self._error = error

    def run_once(self) -> None:
        self.stop()
        if self._error is not None:
            raise self._error

    def at_end(self) -> None:
        self.closed += 1
        raise ValueError("even then it ends")


@pytest.mark.parametrize("error", [None, FORESEEN, ValueError("bug")], ids=repr)
def test_a_thread_cleans_up_after_its_last_step_whatever_that_was(error: BaseException | None) -> None:
    service = Ending(error)
    service.start()
    assert service.join(30)
    assert service.closed == 1
