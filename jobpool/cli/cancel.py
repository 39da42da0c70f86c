"""``jobpool cancel``: jobs that wait end, those that run are asked to."""

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
  jobpool cancel --type mail --state pending     what is not begun
  jobpool cancel report-2026-11 --cascade        with all that wait for it
  jobpool cancel --type export --state running   ask those that run to end
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--cascade", action="store_true", help="cancel all that wait for them as well, and for those, and so on"
    )
    change.add_arguments(parser, "cancel")


def run(args: argparse.Namespace) -> int:
    """Cancel the jobs meant."""

    def apply(manager: JobManager, ids: Sequence[str], states: Sequence[str] | None) -> Mapping[str, int]:
        done = manager.cancel_many(ids=ids, state=states, cascade=args.cascade)
        return {"ended": done.ended, "asked": done.asked}

    operation = Operation(
        verb="cancel",
        done="cancelled",
        doing="cancelling",
        apply=apply,
        look={"to": "cancel"},
        became={"ended": "ended at once", "asked": "asked to end, as they run"},
        refused={
            "running": "it runs, and was asked to end already",
            "succeeded": "it succeeded",
            "failed": "it failed",
            "cancelled": "it was cancelled already",
        },
    )
    return change.run(args, lambda _: operation)
