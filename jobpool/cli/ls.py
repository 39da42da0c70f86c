"""``jobpool ls``: jobs by the time they were created, newest first."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from . import NOTHING, OK
from .options import filters, place
from .options.amounts import number
from .options.ids import resolve
from .terminal import jsons
from .terminal.jobs import COLUMNS, FEW, USUAL, an_id, row, short
from .terminal.screen import Column, say, table, width, write
from .terminal.words import clean

if TYPE_CHECKING:
    from ..job import Job
    from ..manager import JobManager

LIMIT = 20
#: Rows that are laid out together.
ROWS = 1000
#: Characters that the other columns are to have before an id is shown whole.
ROOM = 64
#: Of a line that has room for all columns.
WIDE = 100

EXAMPLES = """\
examples:
  jobpool ls                                         the newest jobs
  jobpool ls --state failed --newer-than 2h          what failed of what was created since
  jobpool ls --type mail --text ann@example.org      by a text in their data
  jobpool ls --state failed --error TimeoutError --ids --all | jobpool retry -
  jobpool ls --all --json | jq -r 'select(.attempts > 1) | .id'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--limit", type=number, metavar="N", help=f"so many (default: {LIMIT})")
    group.add_argument("--all", action="store_true", help="all of them, one page after the other")
    parser.add_argument("--after", metavar="ID", help="the next page: those behind this job")
    parser.add_argument("--oldest-first", action="store_true", help="the other order")
    parser.add_argument(
        "--columns", type=_columns, metavar="A,B,...", help=f"which, and in which order: {', '.join(COLUMNS)}"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--ids", action="store_true", help="print whole ids and nothing else, one a line")
    shape.add_argument("--json", action="store_true", help="print each job whole as a line of JSON")
    filters.add_arguments(parser)
    place.add_arguments(parser)


def _columns(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown) or text!r:.60}: no such column; there are {', '.join(COLUMNS)}"
        )
    return names


def run(args: argparse.Namespace) -> int:
    """Print what the options mean; return `NOTHING` if filters were given and no job matches."""
    from ..errors import InvalidConfiguration

    if args.all and args.after:
        raise InvalidConfiguration("--all shows every page, --after one: give one of them")
    with place.reader_of(args) as manager:
        selected = filters.selected(args, manager)
        if args.all:
            found, more = manager.each(oldest_first=args.oldest_first, **selected), None
        else:
            page, more = _page(args, manager, selected)
            found = iter(page)
        first = next(found, None)
        if first is None:
            return _none(args, selected)
        _show(args, manager, chain([first], found))
        # Who asked for so many, for another program, knows that there may be more.
        if more is not None and (args.limit is None or sys.stdout.isatty()):
            say(f"there are more: the next page is --after{_typed(more)}, all of them --all")
    return OK


def _page(args: argparse.Namespace, manager: JobManager, selected: dict[str, Any]) -> tuple[list[Job], str | None]:
    """Return a page, and the id behind which the next one begins; None if there is none."""
    after = None if args.after is None else manager.get(resolve(manager, args.after))
    limit = args.limit or LIMIT
    most = min(limit + 1, 10_000)  # one more tells whether there is another page
    jobs = manager.find(limit=most, after=after, oldest_first=args.oldest_first, **selected)
    page = jobs[:limit]
    return page, page[-1].id if len(jobs) > len(page) or len(jobs) == 10_000 else None


def _typed(id: str) -> str:
    """Return an id as the value of an option, to be copied into a shell."""
    return f"{'=' if id.startswith('-') else ' '}{shlex.quote(clean(id))}"


def _none(args: argparse.Namespace, selected: dict[str, Any]) -> int:
    if args.after:
        say("no more jobs")
        return OK
    say("no job matches" if selected else "no jobs")
    return NOTHING if selected else OK


def _show(args: argparse.Namespace, manager: JobManager, found: Iterator[Job]) -> None:
    if args.ids or args.json:
        for job in found:
            write(jsons.line(job) if args.json else an_id(job.id))
        return
    from ..store.driver import run as take

    now = take(manager.store.now())
    room, header = width(), True
    names = args.columns or (FEW if room is not None and room < WIDE else USUAL)
    while page := list(islice(found, ROWS)):
        rows = [row(job, names, now, whole=room is None) for job in page]
        longest = max(len(job.id) for job in page)
        columns = [COLUMNS[name][0] if args.columns is None else _always(COLUMNS[name][0]) for name in names]
        if "id" in names:
            place = names.index("id")
            if room is not None and longest + ROOM > room:
                for cells in rows:
                    cells[place] = short(cells[place])
            else:
                columns[place] = replace(columns[place], least=longest)
        table(columns, rows, header=header)
        header = False


def _always(column: Column) -> Column:
    """Return a column that was asked for by name, and so is not left out."""
    return replace(column, optional=False)
