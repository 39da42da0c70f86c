"""``jobpool revive``: jobs that failed or were cancelled begin their lives again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .bulk import change
from .bulk.operation import Operation

if TYPE_CHECKING:
    from ..manager import JobManager

EXAMPLES = """\
examples:
  jobpool revive --type mail --state cancelled   what was cancelled by mistake
  jobpool revive --state failed --newer-than 1d  with all attempts anew, where retry gives one more
  jobpool revive nightly@2026-11-26 --succeeded  once more, though it succeeded; its result goes
"""
_USUAL = ("failed", "cancelled")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--succeeded", action="store_true", help="also those that succeeded, as --state succeeded says; results go"
    )
    change.add_arguments(parser, "revive")


def run(args: argparse.Namespace) -> int:
    """Revive the jobs meant."""
    states = (*_USUAL, "succeeded") if args.succeeded else _USUAL
    if args.succeeded and args.state:
        args.state = [*args.state, "succeeded"]
    return change.run(args, lambda _: _operation(states))


def _apply(manager: JobManager, ids: Sequence[str], states: Sequence[str] | None) -> Mapping[str, int]:
    return {"revived": manager.revive_many(ids=ids, state=states)}


def _operation(states: Sequence[str]) -> Operation:
    return Operation(
        verb="revive",
        done="revived",
        doing="reviving",
        apply=_apply,
        look={"to": "revive"},
        states=states,
        refused={
            "waiting": "it waits for others and has not ended",
            "pending": "it has not ended; jobpool why says what it waits for",
            "claimed": "a pool holds it, to run it",
            "running": "it runs",
            "succeeded": "it succeeded; --succeeded begins it anew",
        },
    )
