"""``jobpool tail``: jobs change before your eyes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from . import FAILED, INTERRUPTED
from .options import place
from .options.amounts import number
from .options.filters import STATES
from .options.ids import resolve
from .signals import end_at_once, pause
from .terminal import jsons
from .terminal.screen import say, write
from .terminal.words import clean, count, duration

if TYPE_CHECKING:
    from ..changes import Change
    from ..manager import Changes, JobManager

R = TypeVar("R")

#: Seconds for which the server holds an empty answer back, in which no signal is looked at.
AWAIT = 0.5
#: Seconds behind what happens from which on changes are left out, and up to which.
LATE, CAUGHT_UP = 5.0, 1.0
#: Seconds of reading and leaving out, after which it goes on from now.
HOPELESS = 10.0
#: Seconds for which a job that says when it was created may be on its way.
SLACK = 5.0
#: Seconds between two tries to reach MongoDB.
PAUSE = 0.5

EXAMPLES = """\
examples:
  jobpool tail                             what happens to jobs, from now on
  jobpool tail --state failed -n 20        the last 20 that failed, then those that fail
  jobpool tail --type mail --progress      one type, with what its executors say of how far they are
  jobpool tail v1:3fa2b1c9                 one job
  jobpool tail --json | jq -c 'select(.kind == "retry") | [.id, .error.type]'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("id", nargs="*", metavar="ID", help="of these jobs alone; the beginning is enough")
    parser.add_argument("--type", action="append", metavar="TYPE", help="of this type; may be repeated")
    parser.add_argument(
        "--state",
        action="append",
        choices=STATES,
        metavar="STATE",
        help=f"that come into this state: {', '.join(STATES)}; may be repeated",
    )
    parser.add_argument(
        "-n",
        "--last",
        type=number,
        metavar="N",
        help="begin with the N jobs that changed last; all are read for it",
    )
    parser.add_argument("--progress", action="store_true", help="tell also of progress")
    parser.add_argument("--data", action="store_true", help="show the data of the jobs")
    parser.add_argument(
        "--all", action="store_true", help=f"leave nothing out, also when it falls {LATE:g} s behind and more"
    )
    parser.add_argument("--json", action="store_true", help="print each change as a line of JSON")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print changes until Ctrl-C or SIGTERM, or until the collection is gone."""
    end_at_once()
    with place.reader_of(args) as manager:
        try:
            return _follow(args, manager)
        except KeyboardInterrupt:
            return INTERRUPTED


def _follow(args: argparse.Namespace, manager: JobManager) -> int:
    from ..errors import StoreUnavailable

    wanted: dict[str, Any] = {"type": args.type, "state": args.state, "data": args.data}
    if args.id:
        wanted["ids"] = [resolve(manager, text) for text in args.id]
    show = _shower(args)
    opened = manager.store.clock.now()
    with manager.changes(progress=args.progress, max_await=AWAIT, **wanted) as changes:
        say(f"watching {manager.store.name}; Ctrl-C ends it")
        last = manager.last_changes(args.last, **wanted) if args.last else []
        show(last)
        shown = Shown(last, opened)
        try:
            while True:
                found = shown.without(_patiently(changes.read))
                if args.all or changes.behind <= LATE:
                    show(found)
                else:
                    _catch_up(changes, len(found))
        except StoreUnavailable as error:  # it ended; `_patiently` waits with all others
            say(f"jobpool: {clean(error)}")
            return FAILED


class Shown:
    """The jobs that were shown as they changed last: what came meanwhile is not shown again, nor what was before.

    Threads: one.

    Args:
        opened: When it was begun to watch: of a job that changed long before, all that comes is new.
    """

    def __init__(self, last: Iterable[Change], opened: datetime) -> None:
        since = opened - timedelta(seconds=SLACK)
        self._last = {change.id: change for change in last if change.at >= since}

    def without(self, changes: list[Change]) -> list[Change]:
        """Return those that are new."""
        return [change for change in changes if self._is_new(change)] if self._last else changes

    def _is_new(self, change: Change) -> bool:
        last = self._last.get(change.id)
        if last is None:
            return True
        # An older server tells whole seconds, which say nothing of the order.
        if change.at < last.at and change.at.microsecond:
            return False
        del self._last[change.id]
        return (change.kind, change.attempt) != (last.kind, last.attempt)


def _shower(args: argparse.Namespace) -> Callable[[list[Change]], None]:
    if args.json:
        make: Callable[[Change], str] = jsons.line
    else:
        from .terminal.changes import Lines

        make = Lines(data=args.data).line

    def show(changes: list[Change]) -> None:
        if changes:
            write("\n".join(map(make, changes)))
            sys.stdout.flush()

    return show


def _catch_up(changes: Changes, left_out: int) -> None:
    """Leave changes out until it is up to date again, and say how many."""
    behind, began = changes.behind, time.monotonic()
    while changes.behind > CAUGHT_UP:
        if time.monotonic() - began > HOPELESS:
            _patiently(changes.skip)
            say(f"... left out {count(left_out)} changes and more: they come faster than they can be read")
            return
        left_out += _patiently(changes.drop)
    say(f"... left out {count(left_out)} changes, as this was {duration(behind)} behind; --all leaves nothing out")


def _patiently(read: Callable[[], R]) -> R:
    """Return what `read` does, however long MongoDB does not answer: it goes on where it was.

    Raises:
        StoreUnavailable: The stream has ended for good.
        StoreRefused: MongoDB does not let it go on.
    """
    from ..errors import StoreUnavailable
    from ..store.watching import ENDED

    since: float | None = None
    while True:
        try:
            found = read()
        except StoreUnavailable as error:
            if error.reason == ENDED:
                raise
            if since is None:
                since = time.monotonic()
                say(f"... MongoDB does not answer, waiting for it: {clean(error, 200)}")
            pause(PAUSE)
            continue
        if since is not None:
            say(f"... MongoDB answers again after {duration(time.monotonic() - since)}: going on where it was")
        return found
