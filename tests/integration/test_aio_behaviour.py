"""What holds for the creates and looks of a JobManager holds for an AsyncJobManager: the same tests, once more."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..awaited import borrowed_tests, fixtures_of, make_manager
from . import (
    test_after,
    test_again,
    test_cancelling,
    test_create,
    test_overseeing,
    test_pauses,
    test_queries,
    test_retention,
)

__all__ = ["make_manager"]

#: Their transactions are those of a blocking client; `test_aio` has them for the other.
BLOCKING_SESSIONS = {
    "test_a_job_in_a_transaction_exists_when_it_commits",
    "test_a_job_in_an_aborted_transaction_never_was",
    "test_a_duplicate_does_not_end_the_transaction",
    "test_two_transactions_with_one_id_make_one_job",
    "test_in_a_transaction_all_of_it_commits_or_nothing",
}


#: Fixtures that come along.
FIXTURES = ("family", "gate", "manager", "overseen", "running", "scene")


def borrowed(module: ModuleType, word: str = "") -> dict[str, Any]:
    """Return tests of another module whose names have that word, and fixtures; here they get those of this one."""
    return borrowed_tests(module, word) | fixtures_of(module, *FIXTURES)


BORROWED = (
    borrowed(test_pauses)  # its fixtures are those of the next
    | borrowed(test_create)
    | borrowed(test_after)
    | borrowed(test_queries)
    | borrowed(test_cancelling)
    | borrowed(test_again)
    | borrowed(test_retention, "purge")
    | borrowed(test_overseeing)
)
globals().update({name: value for name, value in BORROWED.items() if name not in BLOCKING_SESSIONS})


def test_all_that_were_borrowed_are_known() -> None:
    """Or a renamed test would be left out, or taken in, unseen."""
    assert set(BORROWED) > BLOCKING_SESSIONS
    assert len(BORROWED) > 60
