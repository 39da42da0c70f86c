"""``jobpool show ID``: all that is known of a job."""

from __future__ import annotations

import argparse
from typing import Any

from . import FAILED, NOTHING, OK
from .options import place
from .options.ids import resolve
from .terminal import jsons
from .terminal.screen import say, write
from .terminal.words import clean

EXAMPLES = """\
examples:
  jobpool show v1:3fa2b1c9            the job whose id begins so, if there is only one
  jobpool show report@2026-11-27T12:00:00Z --errors --full
  jobpool show ID --json | jq .data   its data
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "id",
        nargs="+",
        metavar="ID",
        help="of a job; the beginning of a long one is enough; -- goes before one that begins with -",
    )
    parser.add_argument("--errors", action="store_true", help="every error with its traceback, not the last alone")
    parser.add_argument("--full", action="store_true", help="data, result and log lines whole, however long")
    parser.add_argument(
        "--json", action="store_true", help="print it as an object of JSON, several as one object a line"
    )
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the jobs; return `NOTHING` if there is none of them, `FAILED` if some are not there."""
    from ..errors import JobNotFound

    missing = 0
    with place.reader_of(args) as manager:
        for number, text in enumerate(args.id):
            try:
                job, relations = manager.relations(resolve(manager, text))
            except JobNotFound as error:
                say(f"jobpool: {clean(error)}")
                missing += 1
                continue
            if args.json:
                _print({**jsons.plain(job), "relations": jsons.plain(relations)}, one=len(args.id) == 1)
                continue
            from .terminal.portrait import portray

            if number:
                write()
            portray(job, relations, errors=args.errors, full=args.full)
    if missing:
        return NOTHING if missing == len(args.id) else FAILED
    return OK


def _print(value: dict[str, Any], *, one: bool) -> None:
    write(jsons.whole(value) if one else jsons.line(value))
