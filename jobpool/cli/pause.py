"""``jobpool pause``: no job of a type is begun any more, until ``jobpool resume``; what runs goes on."""

from __future__ import annotations

import argparse
import shlex

from . import FAILED, OK
from .options import place
from .terminal.confirm import confirmed
from .terminal.screen import say
from .terminal.steering import Steered, look, show, show_pauses, types_in
from .terminal.words import clean, count, jobs

EXAMPLES = """\
examples:
  jobpool pause                                    what is paused, since when and why
  jobpool pause mail --reason "the relay is down"  no mail is begun any more, by any pool
  jobpool pause --all --yes                        nothing at all is begun, as before a migration
  jobpool resume mail                              and on it goes
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("type", nargs="*", metavar="TYPE", help="what to pause; its aliases are paused with it")
    parser.add_argument("--all", action="store_true", help="pause every type, also those that are not there yet")
    parser.add_argument("--reason", metavar="TEXT", help="for those who look: up to 500 characters")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before everything is paused")
    parser.add_argument("--json", action="store_true", help="print what is paused then as JSON")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Pause, and say what that holds; say what is paused if nothing is named."""
    check(args, "pause")
    with place.reader_of(args) as manager:
        if not (args.type or args.all):
            return show_pauses(manager, args, "jobpool pause TYPE pauses a type, jobpool pause --all everything")
        if args.all and not args.yes and not confirmed(_question(look(manager, manager.paused())), yes=False):
            say("jobpool: nothing was paused")
            return FAILED
        paused = manager.pause(*args.type, reason=args.reason)
        steered = look(manager, paused, done=True)
        show(args, steered)
        if not args.json:
            _tell(args.type, steered)
        _warn(args.type, steered)
        return OK


def check(args: argparse.Namespace, what: str) -> None:
    """Refuse types together with ``--all``.

    Raises:
        InvalidConfiguration: Both were given.
    """
    from ..errors import InvalidConfiguration

    if args.type and args.all:
        raise InvalidConfiguration(f"name the types to {what}, or say --all, not both")


def _question(steered: Steered) -> str:
    if steered.backlog is None:
        return f"Pause every type? How many jobs would wait is not known: {steered.unknown}."
    total = steered.backlog.total
    return f"Pause every type? It would hold {jobs(total.due)} due now; {_going_on(total.running)}."


def _tell(types: list[str], steered: Steered) -> None:
    if steered.backlog is None:
        say(f"jobpool: paused; how many jobs that holds is not known: {steered.unknown}")
        return
    meant = [one for one in types_in(steered) if not types or one.type in types or one.alias_of in types]
    due, running = sum(one.due for one in meant), sum(one.running for one in meant)
    say(f"paused: holds {jobs(due)} due now, and what comes; {_going_on(running)}")


def _warn(types: list[str], steered: Steered) -> None:
    """Tell of types that nobody knows: they may be typing errors."""
    if steered.backlog is None:
        return
    known = {*steered.backlog.types, *(type for pool in steered.backlog.pools for type in pool.types)}
    for type in types:
        if type not in known:
            say(
                f"jobpool: nobody knows the type {type!r}: it has no jobs that are not done with, and no pool "
                f"alive runs it. If it is a typing error: jobpool resume {_typed(type)}"
            )


def _typed(type: str) -> str:
    """Return a type as a shell has to be given it."""
    return f"{'-- ' if type.startswith('-') else ''}{shlex.quote(clean(type))}"


def _going_on(running: int) -> str:
    return f"{count(running)} running go{'es' if running == 1 else ''} on"
