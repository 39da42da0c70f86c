"""What an error of the driver lets the caller conclude."""

from __future__ import annotations

from typing import Any

import pymongo.errors as driver
import pytest

from jobpool.errors import OutcomeRefused, StoreRefused, StoreUnavailable
from jobpool.store.failures import cause_of, kind_of, translate


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


@pytest.mark.parametrize(
    "error",
    [
        driver.OperationFailure("x" * 10_000, 13),
        driver.AutoReconnect("word\r\n " * 1000),
        driver.ServerSelectionTimeoutError("connection closed " * 1000),
        driver.OperationFailure(f'not authorized on {"d" * 300} to execute command {{ find: "{"c" * 300}" }}', 13),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("writes", [True, False])
def test_a_message_is_one_short_line_whatever_the_server_says(error: Exception, writes: bool) -> None:
    text = str(translate(error, "creating job " + "i" * 1000, writes=writes))
    assert len(text) < 300
    assert len(text.splitlines()) == 1


#: What MongoDB said, the kind it is, and what the user has to read.
REFUSALS = [
    (
        driver.OperationFailure("Authentication failed.", 18),
        "authentication",
        "look at user, password and authSource",
    ),
    (driver.OperationFailure("command find requires authentication", 13), "authentication", "give a user"),
    (
        driver.OperationFailure('not authorized on shop to execute command { update: "jobs", $db: "shop" }', 13),
        "rights",
        "the right missing is update",
    ),
    (driver.OperationFailure("available disk space is too small", 14031), "disk", "free some on the server"),
    (
        driver.OperationFailure("hint provided does not correspond to an existing index", 2),
        "index",
        "the next try makes it again, if this user has the right createIndex",
    ),
    (bulk(121), "unstorable", "refused"),
    (bulk(14031), "disk", "free some"),
    (driver.DocumentTooLarge("17 MB"), "unstorable", "17 MB"),
    (driver.OperationFailure("bad value", 2), "other", "bad value"),
]


@pytest.mark.parametrize(("error", "kind", "text"), REFUSALS, ids=[kind for _, kind, _ in REFUSALS])
def test_a_refusal_says_why_and_what_to_do(error: Exception, kind: str, text: str) -> None:
    translated = translate(error, "claiming", operation="claim")
    assert (translated.kind, translated.operation) == (kind, "claim")
    assert text in str(translated)
    assert isinstance(translated, OutcomeRefused) == (kind == "unstorable")


def test_the_reason_for_the_log_holds_nothing_that_the_server_quotes() -> None:
    details = {"codeName": "DocumentValidationFailure", "errmsg": "secret"}
    for error in (
        driver.OperationFailure("failed: secret", 121, details),
        driver.DuplicateKeyError('dup key: { email: "secret" }', 11000, {"errmsg": "secret"}),
        driver.OperationFailure('not authorized on d to execute command { find: "jobs", q: "secret" }', 13),
    ):
        reason = translate(error, "finish").reason
        assert reason
        assert "secret" not in reason


def test_who_cannot_be_reached_may_be_down() -> None:
    assert str(translate(driver.AutoReconnect("closed"), "x")).endswith("; is the server up and reachable?")
    assert "reachable" not in str(translate(driver.NotPrimaryError("not primary"), "x"))


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


def test_a_driver_that_repeated_too_often_means_what_it_repeated_for() -> None:
    """PyMongo computes a pause of 2.0 to the power of its repeats, and fails at that after a thousand."""
    lost = driver.AutoReconnect("closed")

    def repeat() -> None:
        try:
            raise lost
        except driver.AutoReconnect:
            _ = 2.0 * 2**2000

    with pytest.raises(OverflowError) as caught:
        repeat()
    assert cause_of(caught.value) is lost


def test_an_overflow_of_the_encoder_is_no_error_of_the_driver() -> None:
    assert cause_of(OverflowError("MongoDB can only handle up to 8-byte ints")) is None
