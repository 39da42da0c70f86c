"""What is stored of an exception: bounded, storable, about the user's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson
import pytest

from jobpool.job import JobError
from jobpool.outcome import MAX_ERROR_BYTES, Outcome, describe

#: Calls a function as a worker thread of a pool does.
POOL: dict[str, Any] = {"__name__": "jobpool.pool.attempt"}
exec(
    "def call(fn):\n"
    "    try:\n"
    "        fn()\n"
    "    except BaseException as error:\n"
    "        return error\n"
    "    raise AssertionError('it raised nothing')\n",
    POOL,
)


def raised_by(fn: Callable[[], object]) -> BaseException:
    error: BaseException = POOL["call"](fn)
    return error


def size(text: str) -> int:
    return len(text.encode())


def boom() -> None:
    raise ValueError("no")


def test_an_error_is_described() -> None:
    error = describe(raised_by(boom), 3)
    assert (error.type, error.message, error.attempt, error.at) == ("ValueError", "no", 3, None)
    assert error.traceback.endswith("ValueError: no\n")


def test_the_traceback_starts_at_the_users_frame() -> None:
    lines = describe(raised_by(boom), 1).traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in boom")


def test_an_error_that_was_never_raised_has_no_frames() -> None:
    assert describe(ValueError("no"), 1).traceback == "ValueError: no\n"


def test_the_cause_is_told() -> None:
    def fail() -> None:
        raise KeyError("outer") from ValueError("the inner reason")

    assert "the inner reason" in describe(raised_by(fail), 1).traceback


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600", "\ud800"])
def test_ten_megabytes_are_bounded(character: str) -> None:
    error = describe(ValueError(character * 10_000_000), 1)
    assert MAX_ERROR_BYTES - 8 <= size(error.message) <= MAX_ERROR_BYTES
    assert size(error.traceback) <= MAX_ERROR_BYTES


def test_a_long_message_keeps_its_beginning() -> None:
    message = describe(ValueError("begin" + "x" * MAX_ERROR_BYTES), 1).message
    assert message.startswith("begin")
    assert message.endswith("x...")


def test_a_long_traceback_keeps_its_end() -> None:
    traceback = describe(ValueError("x" * MAX_ERROR_BYTES + "end"), 1).traceback
    assert traceback.startswith("...x")
    assert traceback.endswith("xend\n")


def test_a_message_at_the_limit_is_whole() -> None:
    assert describe(ValueError("x" * MAX_ERROR_BYTES), 1).message == "x" * MAX_ERROR_BYTES


def test_a_long_class_name_is_cut() -> None:
    assert describe(type("E" * 1000, (Exception,), {})(), 1).type == "E" * 128


def test_a_hostile_str_costs_only_the_message() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not telling")

    error = describe(raised_by(lambda: (_ for _ in ()).throw(Hostile())), 1)
    assert (error.type, error.message) == ("Hostile", "<no message: str() raised RuntimeError>")


def test_a_str_that_is_no_text_costs_only_the_message() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            return 5  # type: ignore[return-value]

    assert describe(Hostile(), 1).message == "<no message: str() raised TypeError>"


def test_a_cyclic_cause_is_described() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert describe(one, 1).traceback.endswith("ValueError: one\n")


def test_a_deep_traceback_is_bounded() -> None:
    def descend(depth: int) -> None:
        if depth == 0:
            raise ValueError("at the bottom")
        ascend(depth - 1)

    def ascend(depth: int) -> None:
        descend(depth)

    traceback = describe(raised_by(lambda: descend(200)), 1).traceback
    assert traceback.endswith("ValueError: at the bottom\n")
    assert traceback.count("in ascend") <= 20
    assert size(traceback) <= MAX_ERROR_BYTES


def test_endless_recursion_is_described() -> None:
    def descend() -> None:
        descend()

    error = describe(raised_by(descend), 1)
    assert error.type == "RecursionError"
    assert size(error.traceback) <= MAX_ERROR_BYTES


def test_deeply_nested_groups_are_described() -> None:
    group: ExceptionGroup[Exception] = ExceptionGroup("group", [ValueError("no")])
    for _ in range(5000):
        group = ExceptionGroup("group", [group])
    error = describe(group, 1)
    assert error.type == "ExceptionGroup"
    assert size(error.traceback) <= MAX_ERROR_BYTES


def test_a_lone_surrogate_becomes_storable() -> None:
    error = describe(ValueError("a\ud800b"), 1)
    stored = bson.decode(bson.encode({"message": error.message, "traceback": error.traceback}))
    assert stored["message"] == "a\\ud800b"
    assert "a\\ud800b" in stored["traceback"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_is_described(error: BaseException) -> None:
    assert describe(error, 1).type == type(error).__name__


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Outcome(result=1), "succeeded"),
        (Outcome(), "succeeded"),
        (Outcome(error=JobError("E", "", "", 1), retry_after=0.0), "retried"),
        (Outcome(error=JobError("E", "", "", 1)), "failed"),
    ],
)
def test_an_outcome_has_a_name(outcome: Outcome, name: str) -> None:
    assert outcome.name == name
