"""``jobpool snooze``: pending jobs do not run before some time."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .bulk import change
from .bulk.operation import Operation
from .options.amounts import instant, seconds
from .terminal.words import moment

if TYPE_CHECKING:
    from ..manager import JobManager

EXAMPLES = """\
examples:
  jobpool snooze --type mail --for 2h                         not in the next two hours
  jobpool snooze --key customer-7 --run-at 2026-11-28T06:00Z  not before that
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--for", type=seconds, dest="delay", metavar="AGE", help="so long from now: 90, 15m, 2h30m")
    when.add_argument("--run-at", type=instant, metavar="TIME", help="not before that: 2026-11-27T12:00:00Z")
    change.add_arguments(parser, "snooze")


def run(args: argparse.Namespace) -> int:
    """Snooze the jobs meant."""
    return change.run(args, lambda manager: _operation(_until(args, manager)))


def _until(args: argparse.Namespace, manager: JobManager) -> datetime:
    from ..store.driver import run as taken

    if args.run_at is not None:
        found: datetime = args.run_at
    else:
        found = (taken(manager.store.now()) + timedelta(seconds=args.delay)).replace(microsecond=0)
    return found


def _operation(run_at: datetime) -> Operation:
    def apply(manager: JobManager, ids: Sequence[str], states: Sequence[str] | None) -> Mapping[str, int]:
        return {"snoozed": manager.snooze_many(run_at=run_at, ids=ids, state=states)}

    return Operation(
        verb="snooze",
        done=f"snoozed until {moment(run_at)}",
        doing="snoozing",
        apply=apply,
        look={"to": "snooze", "run_at": run_at},
        again=f"the same command goes on with the rest, with --run-at {run_at:%Y-%m-%dT%H:%M:%SZ}",
        refused={
            "pending": "it is to run later than that anyway",
            "waiting": "it waits for others",
            "claimed": "a pool holds it, to run it",
            "running": "it runs",
            "succeeded": "it has ended",
            "failed": "it has ended",
            "cancelled": "it has ended",
        },
    )
