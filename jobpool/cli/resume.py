"""``jobpool resume``: jobs of a type are begun again that ``jobpool pause`` held."""

from __future__ import annotations

import argparse

from . import OK
from .options import place
from .pause import check
from .terminal.screen import say
from .terminal.steering import look, show, show_pauses

EXAMPLES = """\
examples:
  jobpool resume            what is paused, since when and why
  jobpool resume mail       mail is begun again within a second
  jobpool resume --all      so is everything; the pauses of single types end as well
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("type", nargs="*", metavar="TYPE", help="what to resume")
    parser.add_argument("--all", action="store_true", help="end every pause, those of single types as well")
    parser.add_argument("--json", action="store_true", help="print what is paused then as JSON")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Resume, and say what is paused still; say what is paused if nothing is named."""
    check(args, "resume")
    with place.reader_of(args) as manager:
        before = manager.paused()
        if not (args.type or args.all):
            return show_pauses(manager, args, "jobpool resume TYPE resumes a type, resume --all everything")
        paused = manager.resume(*args.type)
        show(args, look(manager, paused, done=True))
        for type in args.type:
            if type not in before.types:
                say(f"jobpool: {type!r} was not paused by itself; nothing changed for it")
        if args.type and paused.everything:
            say("jobpool: every type is paused still: jobpool resume --all")
        return OK
