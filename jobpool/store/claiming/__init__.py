"""Claim strategies: the ways to take due jobs, interchangeable by name.

A new one is a module here and a line in `STRATEGIES`; the contract tests, the
plan test and the benchmark take it from there.
"""

from __future__ import annotations

from ...errors import InvalidConfiguration
from ...names import shown
from ..connection import Connection
from .batch import Batch
from .claimed import Claimed, ClaimStrategy, Request, Rule, Unknown
from .gated import Gated
from .odd import as_claimed
from .single import Single
from .turns import Turns
from .window import Window

STRATEGIES: dict[str, type[ClaimStrategy]] = {
    "single": Single,
    "batch": Batch,
    "window": Window,
}


def make_strategy(name: str, connection: Connection) -> ClaimStrategy:
    """Return a new strategy of that name, for the use of one thread."""
    if name not in STRATEGIES:
        raise InvalidConfiguration(f"unknown claim strategy {shown(name)}; known: {', '.join(STRATEGIES)}")
    return STRATEGIES[name](connection)


__all__ = [
    "STRATEGIES",
    "ClaimStrategy",
    "Claimed",
    "Gated",
    "Request",
    "Rule",
    "Turns",
    "Unknown",
    "as_claimed",
    "make_strategy",
]
