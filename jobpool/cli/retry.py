"""``jobpool retry``: failed jobs run again now, and those that wait for their next attempt."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .bulk import change
from .bulk.operation import Operation

if TYPE_CHECKING:
    from ..job import Brief
    from ..manager import JobManager

EXAMPLES = """\
examples:
  jobpool retry --type mail --error TimeoutError   when the mail server is back
  jobpool retry --group 1a2b3c4d                   all that failed alike; jobpool errors shows the groups
  jobpool retry v1:3fa85f64...                     one job, by its whole id
  jobpool ls --state failed --ids --all | grep ^2026-11 | jobpool retry -
  jobpool retry --state failed --dry-run           what would be retried?
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    change.add_arguments(parser, "retry")


def run(args: argparse.Namespace) -> int:
    """Retry the jobs meant."""
    return change.run(args, lambda _: OPERATION)


def _apply(manager: JobManager, ids: Sequence[str], states: Sequence[str] | None) -> Mapping[str, int]:
    done = manager.retry_many(ids=ids, state=states)
    return {"failed": done.failed, "due": done.due, "waiting": done.waiting}


def _kind(brief: Brief) -> str:
    return "failed" if brief.state == "failed" else "waiting for a retry"


OPERATION = Operation(
    verb="retry",
    done="retried",
    doing="retrying",
    apply=_apply,
    look={"to": "retry"},
    kind=_kind,
    became={"failed": "had failed", "due": "waited for a retry", "waiting": "wait again for jobs that failed"},
    refused={
        "pending": "it has not failed; jobpool why tells what it waits for",
        "waiting": "it waits for others and has not failed",
        "claimed": "a pool holds it, to run it",
        "running": "it runs",
        "succeeded": "it succeeded; jobpool revive --succeeded begins it anew",
        "cancelled": "it was cancelled; jobpool revive begins it anew",
    },
)
