"""The way of every command that changes jobs: look, say, ask, change, tell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from .. import FAILED, INTERRUPTED, NOTHING, OK, UNREACHABLE
from ..options import filters, place
from ..terminal.confirm import confirmed
from ..terminal.progress import Progress
from ..terminal.screen import say
from ..terminal.words import clean, count, jobs
from .given import ids_of
from .look import Found, look
from .operation import Operation
from .result import SHOWN, Result, kinds, show, tell_of_left
from .stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...manager import JobManager

#: Jobs of one call: a second of MongoDB's time at the most, and what a lost reply leaves in doubt.
PAGE = 2000


def add_arguments(parser: argparse.ArgumentParser, verb: str, *, older_than: bool = True) -> None:
    """Declare the options that all such commands have."""
    parser.add_argument(
        "id",
        nargs="*",
        metavar="ID",
        help=f"jobs to {verb}, by whole ids; - reads ids, or JSON lines, from stdin",
    )
    parser.add_argument("--all", action="store_true", help="every job for which it makes sense; only with --yes")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only count and show what is meant")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before jobs are changed")
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON")
    filters.add_arguments(parser, older_than=older_than)
    place.add_arguments(parser)


def run(args: argparse.Namespace, made: Callable[[JobManager], Operation]) -> int:
    """Do to the jobs meant what `made` returns, and return the exit code."""
    named = ids_of(args.id)
    with place.reader_of(args) as manager:
        operation = made(manager)
        selected = filters.selected(args, manager)
        _check(args, operation, named, selected)
        if args.id and not named:
            say(f"jobpool: no ids came, so there is nothing to {operation.verb}")
            return NOTHING
        try:
            found = look(manager, operation, selected, named)
            result = Result.of(operation, found, dry_run=args.dry_run)
            code = _agreed(args, operation, found, result)
        except KeyboardInterrupt:
            say("\njobpool: interrupted; nothing was changed")
            return INTERRUPTED
        if code is not None:
            return code
        code = _change(manager, operation, found, selected.get("state", operation.states), result)
        show(operation, result, as_json=args.json)
        return code or _whether_all(manager, operation, found, result)


def _agreed(args: argparse.Namespace, operation: Operation, found: Found, result: Result) -> int | None:
    """Say what was found, and ask; return the exit code if that is all, None if the jobs are to be changed."""
    tell_of_left(operation, found)
    if not found.ids:
        if args.json:
            show(operation, result, as_json=True)
        say(f"jobpool: nothing to {operation.verb}: of the jobs meant none is in a state for it")
        return NOTHING
    said = f"{jobs(result.matched)} would be {operation.done}: {kinds(found)}"
    if args.dry_run:
        show(operation, result, as_json=args.json)
        say(f"{said}; nothing was changed")
        return OK
    if not found.named:
        say(said)
        if not confirmed(_question(operation, result), yes=args.yes):
            say("jobpool: nothing was changed")
            return FAILED
    return None


def _check(args: argparse.Namespace, operation: Operation, named: Sequence[str], selected: dict[str, Any]) -> None:
    """Refuse to change every job unless that was said twice.

    Raises:
        InvalidConfiguration: It was not.
    """
    from ...errors import InvalidConfiguration

    if args.all and (args.id or named or selected):
        raise InvalidConfiguration("--all is every job: give no ids and no filters with it, or leave it out")
    if args.id or selected or operation.bounded:
        return
    if not args.all:
        raise InvalidConfiguration(
            f"which jobs? Give ids, or filters such as --type; to {operation.verb} every job, say --all --yes"
        )
    if not (args.yes or args.dry_run):
        raise InvalidConfiguration(f"--all means every job to {operation.verb}: say --yes as well, or --dry-run")


def _question(operation: Operation, result: Result) -> str:
    return f"{operation.verb.capitalize()} {'it' if result.matched == 1 else f'these {jobs(result.matched)}'}?"


def _change(
    manager: JobManager, operation: Operation, found: Found, states: Sequence[str] | None, result: Result
) -> int:
    """Change the jobs page by page; return the exit code if that was broken off."""
    from ...errors import StoreError, StoreUnavailable

    done = 0
    try:
        with Stopping() as stopping, Progress(operation.doing, len(found.ids)) as progress:
            for start in range(0, len(found.ids), PAGE):
                if stopping.asked:
                    raise KeyboardInterrupt
                page = found.ids[start : start + PAGE]
                result.add(operation.apply(manager, page, states))
                done += len(page)
                progress.advance(len(page))
    except KeyboardInterrupt:
        return _broken_off(operation, result, done, "interrupted", INTERRUPTED)
    except StoreError as error:
        code = UNREACHABLE if isinstance(error, StoreUnavailable) else FAILED
        return _broken_off(operation, result, done, str(error), code)
    return OK


def _broken_off(operation: Operation, result: Result, done: int, why: str, code: int) -> int:
    result.complete = False
    say(f"jobpool: {why}")
    some = min(PAGE, result.matched - done)
    doubt = f", and perhaps some of the next {count(some)}" if code != INTERRUPTED else ""
    say(f"jobpool: {count(done)} of {jobs(result.matched)} are done with{doubt}; {operation.again}")
    return code


def _whether_all(manager: JobManager, operation: Operation, found: Found, result: Result) -> int:
    """Say how many of the jobs are left, and which; return whether all that were named are changed."""
    missed = result.matched - result.changed
    if missed > 0:
        say(f"jobpool: {jobs(missed)} left: {operation.missed}")
        left = (brief for page in manager.pages(**operation.look, ids=found.ids) for brief in page)
        for brief in islice(filter(operation.able, left), SHOWN):
            say(f"jobpool: {clean(brief.id)} is left")
    return FAILED if found.other or (missed > 0 and (found.named or result.changed == 0)) else OK
