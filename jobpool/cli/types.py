"""``jobpool types``: every type with jobs that are not done with, or a pool that runs it, or a pause."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from . import OK
from .options import place
from .terminal import facts, jsons
from .terminal.counting import counting
from .terminal.screen import Column, say, table, write
from .terminal.words import count, duration, jobs, rate, several

if TYPE_CHECKING:
    from ..overview import TypeOverview

EXAMPLES = """\
examples:
  jobpool types                                                       what waits, how fast it goes, who runs it
  jobpool types --json | jq -r 'select(.due > 0 and .pools == 0).type'   due jobs that nobody runs
"""

COLUMNS = (
    Column("type", least=10),
    Column("due", right=True),
    Column("oldest", right=True),
    Column("running", right=True),
    Column("note", optional=True, least=8),
    Column("pools", right=True, optional=True),
    Column("threads", right=True, optional=True),
    Column("failed", right=True, optional=True),
    Column("rate", right=True, optional=True),
    Column("mean run", right=True, optional=True),
    Column("scheduled", right=True, optional=True),
    Column("waiting", right=True, optional=True),
    Column("claimed", right=True, optional=True),
    Column("limits", optional=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one object a line")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show the types."""
    with place.reader_of(args) as manager, counting():
        types = manager.types()
    if args.json:
        for one in types:
            write(jsons.line(one))
    elif types:
        table(COLUMNS, map(_row, types))
    else:
        write("no types: no jobs that are not done with, and no pool alive")
    _tell_of_stranded([one for one in types if one.nobody_runs_it and not one.paused])
    return OK


def _tell_of_stranded(types: list[TypeOverview]) -> None:
    if types:
        names = ", ".join(repr(one.type) for one in types[:3]) + (", ..." if len(types) > 3 else "")
        due = sum(one.due for one in types)
        say(f"jobpool: {jobs(due)} due that no pool alive runs, of {several(len(types), 'type')}: {names}")


def _row(one: TypeOverview) -> tuple[str, ...]:
    return (
        one.type,
        count(one.due),
        duration(one.oldest_due_age) if one.due else "-",
        count(one.running),
        note(one),
        count(one.pools),
        count(one.threads),
        count(one.failed),
        rate(one.throughput) if one.throughput else "-",
        facts.mean(one.run_seconds),
        count(one.scheduled),
        count(one.waiting),
        count(one.claimed),
        facts.limits(one.limits),
    )


def note(one: TypeOverview) -> str:
    """Return what is special about a type."""
    if one.paused:
        return "paused"
    if one.nobody_runs_it:
        return facts.NOBODY
    if one.alias_of:
        return f"alias of {one.alias_of}"
    return f"also {', '.join(one.aliases)}" if one.aliases else "-"
