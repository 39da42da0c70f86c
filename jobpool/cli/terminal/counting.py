"""Counting takes the longer, the more jobs are not done with: who has millions of them needs patience."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def counting() -> Iterator[None]:
    """Count in this block; if that takes too long, the error says what helps.

    Raises:
        StoreUnavailable: It was not counted.
    """
    from ...errors import StoreUnavailable

    try:
        yield
    except StoreUnavailable as error:
        if error.kind != "timeout":
            raise
        raise StoreUnavailable(f"{error}; where millions of jobs wait, --timeout 60 gives it longer") from error
