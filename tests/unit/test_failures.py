"""What an error of the driver lets the caller conclude."""

from __future__ import annotations

from typing import Any

import pymongo.errors as driver
import pytest

from jobpool.errors import OutcomeRefused, StoreRefused, StoreUnavailable
from jobpool.store.failures import kind_of, translate


def bulk(*codes: int, concern: int | None = None) -> driver.BulkWriteError:
    details: dict[str, Any] = {"writeErrors": [{"index": 0, "code": code, "errmsg": "no"} for code in codes]}
    details["writeConcernErrors"] = [] if concern is None else [{"code": concern, "errmsg": "no"}]
    return driver.BulkWriteError(details)


@pytest.mark.parametrize(
    "error",
    [
        driver.NetworkTimeout("timed out"),
        driver.AutoReconnect("closed"),
        driver.ConnectionFailure("refused"),
        driver.NotPrimaryError("not primary"),
        driver.ServerSelectionTimeoutError("nobody"),
        driver.WaitQueueTimeoutError("no connection"),
        driver.ExecutionTimeout("too long", 50),
        driver.WriteConcernError("not replicated", 100),
        driver.WTimeoutError("not replicated", 64),
        *(
            driver.OperationFailure("passing", code)
            for code in (6, 7, 50, 64, 89, 91, 112, 189, 262, 10107, 11600, 11602)
        ),
        ConnectionResetError("reset"),
        TimeoutError("timed out"),
        bulk(concern=64),
        bulk(121, concern=64),
        bulk(91),
        bulk(112, 189),
    ],
    ids=repr,
)
def test_what_may_have_been_applied_is_unavailable(error: Exception) -> None:
    translated = translate(error, "creating a job")
    assert type(translated) is StoreUnavailable
    assert "may or may not have been applied" in str(translated)


@pytest.mark.parametrize(
    "error",
    [
        driver.OperationFailure("not authorized", 13),
        driver.OperationFailure("bad command", 59),
        driver.OperationFailure("no code"),
        driver.DuplicateKeyError("twice", 11000),
        driver.ConfigurationError("nonsense"),
        driver.InvalidOperation("closed client"),
        driver.DocumentTooLarge("17 MB"),
        bulk(121),
    ],
    ids=repr,
)
def test_what_was_not_applied_is_refused(error: Exception) -> None:
    translated = translate(error, "creating a job")
    assert isinstance(translated, StoreRefused)
    assert str(translated).endswith("; it was refused")


def test_the_message_names_the_operation_and_the_error() -> None:
    text = str(translate(driver.OperationFailure("not authorized", 13), "creating a job"))
    assert text == "creating a job: OperationFailure: not authorized; it was refused"


@pytest.mark.parametrize(
    "dump", [", full error: {'ok': 0}", ", Timeout: 30s, Topology Description: <...>", "\nmore"]
)
def test_the_drivers_dumps_are_left_out(dump: str) -> None:
    text = str(translate(driver.OperationFailure(f"short{dump}", 13), "x"))
    assert text == "x: OperationFailure: short; it was refused"


def test_a_long_message_is_cut() -> None:
    assert len(str(translate(driver.OperationFailure("x" * 10_000, 13), "x"))) < 400


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (driver.NetworkTimeout("timed out"), "timeout"),
        (driver.ServerSelectionTimeoutError("nobody"), "timeout"),
        (driver.ExecutionTimeout("too long", 50), "timeout"),
        (driver.WTimeoutError("not replicated", 64), "timeout"),
        (driver.OperationFailure("too long", 262), "timeout"),
        (driver.NotPrimaryError("not primary"), "not_primary"),
        (driver.OperationFailure("stepped down", 189), "not_primary"),
        (driver.AutoReconnect("closed"), "network"),
        (driver.ConnectionFailure("refused"), "network"),
        (ConnectionResetError("reset"), "network"),
        (driver.OperationFailure("conflict", 112), "write_conflict"),
        (driver.OperationFailure("not authorized", 13), "other"),
        (driver.DuplicateKeyError("twice", 11000), "other"),
        (bulk(121), "other"),
        (ValueError("no"), "other"),
    ],
    ids=repr,
)
def test_an_error_has_a_kind(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind


def test_what_part_of_a_group_may_stand_is_not_called_refused() -> None:
    assert type(translate(bulk(91, 121), "creating jobs")) is StoreUnavailable


def test_what_cannot_be_stored_is_told_from_what_is_not_allowed() -> None:
    assert type(translate(bulk(121), "finish")) is OutcomeRefused
    assert type(translate(driver.OperationFailure("not authorized", 13), "finish")) is StoreRefused
