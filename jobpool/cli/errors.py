"""``jobpool errors``: what failed jobs failed of, in groups."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import NOTHING, OK
from .options import place
from .options.amounts import before, number, seconds
from .terminal import jsons
from .terminal.screen import Column, say, table, write
from .terminal.words import ago, clean, count, jobs

if TYPE_CHECKING:
    from datetime import datetime

    from ..error_groups import ErrorGroup

LIMIT = 20
#: Characters of a message that make a line of a table too long to read.
MESSAGE = 200

EXAMPLES = """\
examples:
  jobpool errors                           what fails most
  jobpool errors --type mail --newer-than 1h
  jobpool retry --group 1a2b3c4d           retry one of the groups
  jobpool ls --group 1a2b3c4d              the jobs in it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--type", action="append", metavar="TYPE", help="of this type; may be repeated")
    parser.add_argument("--newer-than", type=seconds, metavar="AGE", help="that failed since then, such as 2h")
    parser.add_argument(
        "--limit", type=number, default=LIMIT, metavar="N", help=f"groups, the largest first (default: {LIMIT})"
    )
    parser.add_argument("--json", action="store_true", help="print each group as a line of JSON")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the groups."""
    from ..manager.inspecting import MOST_GROUPS
    from ..store.driver import run as taken

    with place.reader_of(args) as manager:
        now = taken(manager.store.now())
        since = None if args.newer_than is None else before(now, args.newer_than)
        groups = manager.errors(type=args.type, since=since, limit=MOST_GROUPS)
    shown = groups[: args.limit]
    if args.json:
        for group in shown:
            write(jsons.line(group))
    elif shown:
        _show(shown, now)
    _tell(groups, shown)
    return NOTHING if not groups and (args.type or since) else OK


def _show(groups: list[ErrorGroup], now: datetime) -> None:
    columns = [
        Column("group", least=8),
        Column("jobs", right=True),
        Column("type"),
        Column("error"),
        Column("last", right=True, optional=True),
        Column("first", right=True, optional=True),
        Column("message", least=20),
    ]
    table(columns, [_row(group, now) for group in groups])


def _row(group: ErrorGroup, now: datetime) -> list[str]:
    message = clean(group.pattern, MESSAGE)
    return [
        *(group.group, count(group.count), group.type, group.error),
        *(ago(group.last_at, now), ago(group.first_at, now), message),
    ]


def _tell(groups: list[ErrorGroup], shown: list[ErrorGroup]) -> None:
    if not groups:
        say("no failed jobs")
        return
    total = sum(group.count for group in groups)
    if len(groups) > len(shown):
        rest = total - sum(group.count for group in shown)
        say(f"and {count(len(groups) - len(shown))} more groups of {jobs(rest)}; --limit shows them")
    say(f"{jobs(total)} failed; retry a group: jobpool retry --group {shown[0].group}")
