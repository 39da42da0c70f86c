"""What holds for the changes that a JobManager tells holds for those of an AsyncJobManager: the same tests."""

from __future__ import annotations

from ..awaited import borrowed_tests, fixtures_of, make_manager
from . import test_following

__all__ = ["make_manager"]

#: It makes its manager by hand; the test below has the other.
BY_HAND = {"test_a_standalone_server_is_named_with_the_remedy"}

BORROWED = borrowed_tests(test_following)
globals().update({name: test for name, test in BORROWED.items() if name not in BY_HAND})
globals().update(fixtures_of(test_following, "manager", "heard", "pool"))


def test_all_that_were_borrowed_are_known() -> None:
    """Or a renamed test would be left out, or taken in, unseen."""
    assert set(BORROWED) > BY_HAND
    assert len(BORROWED) > 20
