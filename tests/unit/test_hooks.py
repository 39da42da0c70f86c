"""What the host hangs in cannot hurt."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from jobpool.hooks import Guarded, logger_of
from jobpool.observer import Observer

HOSTILE = [ValueError("hook"), SystemExit(1), GeneratorExit(), BaseException("own")]


class Raising(logging.Handler):
    """A handler of a host that went wrong."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def handle(self, record: logging.LogRecord) -> bool:
        raise self.error


class Hostile(Observer):
    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.heard = 0

    def internal_error(self, component: str) -> None:
        self.heard += 1
        raise self.error


@pytest.fixture
def handler(request: pytest.FixtureRequest) -> Iterator[logging.Handler]:
    handler = Raising(request.param)
    logging.getLogger("jobpool.test").addHandler(handler)
    yield handler
    logging.getLogger("jobpool.test").removeHandler(handler)


@pytest.mark.parametrize("handler", HOSTILE, indirect=True, ids=repr)
def test_a_handler_that_raises_is_not_heard_of(handler: Raising) -> None:
    logger = logger_of("jobpool.test")
    logger.warning("one %s", "line")
    try:
        raise ValueError("ours")
    except ValueError:
        logger.exception("another")


@pytest.mark.parametrize("handler", [KeyboardInterrupt()], indirect=True)
def test_ctrl_c_in_the_main_thread_passes_through_both(handler: Raising) -> None:
    with pytest.raises(KeyboardInterrupt):
        logger_of("jobpool.test").warning("line")
    with pytest.raises(KeyboardInterrupt):
        Guarded(Hostile(KeyboardInterrupt())).internal_error("x")


def test_elsewhere_it_was_not_the_user() -> None:
    def tell() -> None:
        Guarded(Hostile(KeyboardInterrupt())).internal_error("x")
        survived.set()

    survived = threading.Event()
    thread = threading.Thread(target=tell)
    thread.start()
    thread.join()
    assert survived.is_set()


def test_a_line_is_said_by_the_one_who_logged_it(caplog: pytest.LogCaptureFixture) -> None:
    logger_of("jobpool.test").warning("%s of it", "all")
    (record,) = caplog.records
    assert (record.funcName, record.name) == (
        "test_a_line_is_said_by_the_one_who_logged_it",
        "jobpool.test",
    )
    assert record.getMessage() == "all of it"


@pytest.mark.parametrize("error", HOSTILE, ids=repr)
def test_an_observer_that_raises_is_named_once(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    hostile = Hostile(error)
    guarded = Guarded(hostile)
    guarded.internal_error("x")
    guarded.internal_error("x")
    guarded.leases_lost("pool", "queued", 1)
    assert hostile.heard == 2
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the metrics refuse internal_error"
    ]
