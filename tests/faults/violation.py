"""What a judge finds."""

from __future__ import annotations

from typing import NamedTuple


class Violation(NamedTuple):
    """A broken promise."""

    invariant: str
    job: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: job {self.job}: {self.what}"
