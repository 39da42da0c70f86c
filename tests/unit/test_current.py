"""The job in hand."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from jobpool import current_job
from jobpool.current import Alarm, Desk, in_hand
from jobpool.errors import JobpoolError, PoolStateError
from jobpool.progress import Reporter

CREATED = datetime(2024, 1, 1, tzinfo=UTC)


def document() -> dict[str, Any]:
    return {"_id": "an id", "type": "t", "data": {"a": 1}, "created_at": CREATED, "fence": 3}


@dataclass
class Held:
    document: dict[str, Any] = field(default_factory=document)
    pool: str = "p"
    attempt: int = 2
    span: None = None
    lost: bool = False
    deadline: float = math.inf
    told: JobpoolError | None = None
    desk: Desk | None = None
    reporter: Reporter | None = None
    alarm: Alarm | None = None


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    token = in_hand.set(held)
    yield held
    in_hand.reset(token)


def test_outside_of_an_executor_there_is_no_job() -> None:
    with pytest.raises(PoolStateError, match="outside of an executor"):
        current_job()


@pytest.mark.usefixtures("held")
def test_another_thread_has_no_job() -> None:
    seen: list[BaseException] = []

    def look() -> None:
        try:
            current_job()
        except PoolStateError as error:
            seen.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert len(seen) == 1


@pytest.mark.usefixtures("held")
def test_the_job_is_shown() -> None:
    job = current_job()
    assert (job.id, job.type, job.attempt, job.fence) == ("an id", "t", 2, 3)
    assert job.created_at == CREATED


def test_the_data_are_the_executors_own(held: Held) -> None:
    assert current_job().data is held.document["data"]


def test_a_claim_whose_lease_is_not_certain_any_more_is_lost(held: Held) -> None:
    before = current_job().lost
    held.deadline = time.monotonic()
    assert (before, current_job().lost) == (False, True)


def test_a_lost_claim_shows_at_once(held: Held) -> None:
    job = current_job()
    before = job.lost
    held.lost = True
    assert (before, job.lost) == (False, True)


@pytest.mark.usefixtures("held")
def test_its_logger_names_the_job(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="jobpool.job"):
        current_job().logger.info("hello")
    (record,) = caplog.records
    assert {key: vars(record)[key] for key in ("job_id", "job_type", "pool", "attempt")} == {
        "job_id": "an id",
        "job_type": "t",
        "pool": "p",
        "attempt": 2,
    }


@pytest.mark.usefixtures("held")
def test_its_logger_keeps_what_the_caller_adds(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="jobpool.job"):
        current_job().logger.info("hello", extra={"step": 3, "attempt": 9})
    (record,) = caplog.records
    assert (vars(record)["job_id"], vars(record)["step"], vars(record)["attempt"]) == ("an id", 3, 9)


@pytest.mark.usefixtures("held")
def test_in_a_child_process_a_job_cannot_be_completed() -> None:
    with pytest.raises(PoolStateError, match="isolation='process'"):
        current_job().complete(session=None)  # type: ignore[call-overload]
