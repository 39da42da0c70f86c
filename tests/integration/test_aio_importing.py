"""What holds for the imports of a JobManager holds for those of an AsyncJobManager: the same tests, once more."""

from __future__ import annotations

from ..awaited import borrowed_tests, fixtures_of, make_manager
from . import test_importing

__all__ = ["make_manager"]

#: An event loop ends with a KeyboardInterrupt in it, waits for nothing within a call of its own, and who has no
#: executors gives no keys. `test_aio` has the first two for event loops.
OTHERS = {
    "test_of_two_imports_at_once_each_job_is_the_work_of_one",
    "test_an_import_that_breaks_off_goes_on",
    "test_what_waits_has_the_key_that_its_executor_gives_it",
}

BORROWED = borrowed_tests(test_importing)
globals().update({name: test for name, test in BORROWED.items() if name not in OTHERS})
globals().update(fixtures_of(test_importing, "manager", "source"))


def test_all_that_were_borrowed_are_known() -> None:
    """Or a renamed test would be left out, or taken in, unseen."""
    assert set(BORROWED) > OTHERS
    assert len(BORROWED) > 15
