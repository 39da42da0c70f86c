"""``jobpool purge``: jobs that ended long ago are deleted."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .bulk import change
from .bulk.operation import Operation
from .options.amounts import seconds

if TYPE_CHECKING:
    from ..manager import JobManager

EXAMPLES = """\
examples:
  jobpool purge --older-than 30d --yes                    all that ended a month ago, as from cron
  jobpool purge --older-than 1d --state succeeded --yes   and leave what failed
  jobpool purge --older-than 30d --dry-run                how much would it be?
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--older-than",
        type=seconds,
        dest="ended",
        metavar="AGE",
        required=True,
        help="that ended longer ago, such as 30d; here it is not by when jobs were created",
    )
    change.add_arguments(parser, "purge", older_than=False)


def run(args: argparse.Namespace) -> int:
    """Purge the jobs meant."""

    def apply(manager: JobManager, ids: Sequence[str], states: Sequence[str] | None) -> Mapping[str, int]:
        return {"purged": manager.purge(args.ended, ids=ids, state=states)}

    operation = Operation(
        verb="purge",
        done="purged",
        doing="purging",
        apply=apply,
        look={"to": "purge", "older_than": args.ended},
        bounded=True,
        refused={
            **dict.fromkeys(("succeeded", "failed", "cancelled"), "it ended later, or others wait to hear of it"),
            **dict.fromkeys(("waiting", "pending", "claimed", "running"), "it has not ended"),
        },
    )
    return change.run(args, lambda _: operation)
