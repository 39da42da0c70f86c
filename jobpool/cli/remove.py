"""``jobpool remove``: jobs that no pool holds and nobody waits for are deleted."""

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
  jobpool remove --type test                        all of a type, whatever became of them
  jobpool remove --state cancelled --older-than 7d  cancelled ones that were created a week ago
  jobpool remove order-17                           its id may be created, and run, again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    change.add_arguments(parser, "remove")


def run(args: argparse.Namespace) -> int:
    """Remove the jobs meant."""
    return change.run(args, lambda _: OPERATION)


def _apply(manager: JobManager, ids: Sequence[str], states: Sequence[str] | None) -> Mapping[str, int]:
    return {"removed": manager.remove_many(ids=ids, state=states)}


OPERATION = Operation(
    verb="remove",
    done="removed",
    doing="removing",
    apply=_apply,
    look={},
    able=lambda brief: not brief.state.held,
    missed="others wait for them, or pools hold them by now; jobpool cancel --cascade ends those who wait",
    refused={
        "claimed": "a pool holds it; jobpool cancel ends it",
        "running": "it runs; jobpool cancel asks it to end",
    },
)
