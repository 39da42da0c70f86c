"""``jobpool top``: what goes on, once a second: rates, types, pools, what runs longest, what failed last.

Looking is cheap: some eight reads of a few keys each, and the server's statistics
of the collection, 5 ms of its time. Only the backlog is counted, a key for each
job, and that rests for twenty times as long as it took.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from . import INTERRUPTED, OK
from .options import place
from .options.amounts import seconds
from .terminal import jsons
from .terminal.screen import console, table, width, write

if TYPE_CHECKING:
    from .live.frame import Frame
    from .live.looker import Looker
    from .signals import Interrupts

EXAMPLES = """\
examples:
  jobpool top                                 full screen; q ends it, ? tells what the numbers are
  jobpool top --once                          one look
  jobpool top --every 10 >> jobs.log          a frame every ten seconds
  jobpool top --json | jq .rates              an object a second
"""

SHORTEST, LONGEST = 0.1, 86400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--every", type=seconds, default=1.0, metavar="SECONDS", help="between two looks (default: 1)"
    )
    parser.add_argument("--once", action="store_true", help="look once")
    parser.add_argument("--json", action="store_true", help="print one object a look")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show what goes on until a key or a signal ends it."""
    from ..names import check_seconds
    from .live.looker import Looker
    from .signals import Interrupts

    check_seconds(args.every, "--every", SHORTEST, LONGEST)
    with place.reader_of(args) as manager:
        looker = Looker(manager, args.every)
        first = looker.look()  # before anything else: who named a server that is not there is told at once
        if args.once:
            _write(args, first)
            return OK
        interrupts = Interrupts()
        looker.start()
        try:
            screen = None if args.json else console()
            if screen is not None and not screen.is_dumb_terminal:
                from .live.view import View

                return OK if View(screen, looker, interrupts).show() else INTERRUPTED
            return _follow(args, looker, interrupts)
        finally:
            looker.stop()


def _follow(args: argparse.Namespace, looker: Looker, interrupts: Interrupts) -> int:
    """Write frame after frame."""
    while not interrupts.asked.is_set():
        if looker.news.wait(0.1):
            looker.news.clear()
            if looker.frame is not None:
                _write(args, looker.frame)
    return INTERRUPTED


def _write(args: argparse.Namespace, frame: Frame) -> None:
    from .live.drawing import header, plain
    from .live.rows import sections

    room = width()
    if args.json:
        write(jsons.line(frame))
    elif room is None:
        write("\n".join(plain(frame)))
    else:
        for line in header(frame, room, words=True):
            write(line)
        for section in sections(frame):
            write()
            table(section.columns, section.rows)
    if not (args.json or args.once):
        write()
    sys.stdout.flush()
