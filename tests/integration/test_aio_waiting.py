"""What holds for the waits of a JobManager holds for those of an AsyncJobManager, without push: the same tests."""

from __future__ import annotations

from ..awaited import fixtures_of, make_manager
from . import test_waiting

__all__ = ["make_manager"]

#: All others are of snapshots that wait themselves, of the stream that wakes threads, of forks and of signals.
BORROWED = (
    "test_many_come_in_the_order_given_and_as_often",
    "test_as_completed_yields_each_once_in_the_order_in_which_they_end",
    "test_those_found_in_one_look_come_by_the_time_they_ended",
    "test_thousands_are_waited_for",
    "test_a_timeout_names_how_many_and_which_are_not_final",
    "test_what_ended_before_the_timeout_is_seen_even_by_a_slow_reader",
    "test_unknown_ids_are_told_after_those_that_ended",
    "test_what_names_no_jobs_is_refused_at_once",
    "test_a_timeout_that_is_none_is_refused_at_once",
    "test_on_a_standalone_server_waits_poll",
)
globals().update({name: getattr(test_waiting, name) for name in BORROWED})
globals().update(fixtures_of(test_waiting, "manager", "beside"))
