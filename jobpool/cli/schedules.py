"""``jobpool schedules``: what makes jobs now and then; looked at, stored, paused, fired by hand, removed."""

from __future__ import annotations

import argparse
import secrets
from typing import TYPE_CHECKING, Any

from . import NOTHING, OK
from .options import place
from .options.amounts import instant, seconds
from .options.logs import log_to_stderr
from .parser import add_action
from .terminal import jsons
from .terminal.schedules import COLUMNS, MANY, row, show
from .terminal.screen import say, table, write
from .terminal.words import clean, moment

if TYPE_CHECKING:
    from datetime import datetime

    from ..manager import JobManager
    from ..schedules import Schedule

EXAMPLES = """\
examples:
  jobpool schedules                                              all of them, and when they are due next
  jobpool schedules show nightly --next 5                        one, with its next five due times
  jobpool schedules add nightly report --cron "30 2 * * *" --tz Europe/Berlin
  jobpool schedules add cleanup tidy --every 15m --dry-run       what it would do; stores nothing
  jobpool schedules run nightly                                  a job as it would make, now
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    parser.add_argument("--json", action="store_true", help="print one object a line")
    place.add_arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    _action(actions, "list", "show all of them; so it does without an action")
    shown = _action(actions, "show", "show one of them", name=True)
    shown.add_argument("--next", type=int, default=3, metavar="N", help="so many due times (default: 3)")
    _action(actions, "pause", "let it fire nothing until it is resumed", name=True)
    _action(actions, "resume", "let it fire again; what was due meanwhile is not caught up on", name=True)
    _action(actions, "remove", "delete it; the jobs it has made stay", name=True)
    fired = _action(actions, "run", "create a job as it would, due now", name=True)
    fired.add_argument(
        "--token", metavar="TEXT", help="makes the job's id, so that the same again creates nothing twice"
    )
    _add_adding(_action(actions, "add", "store one, or change the one of that name", name=True))


def _action(actions: Any, action: str, purpose: str, *, name: bool = False) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = add_action(actions, action, purpose)
    if name:
        parser.add_argument("name", metavar="NAME", help="of the schedule")
    parser.add_argument("--json", action="store_true", help="print JSON")
    place.add_arguments(parser)
    for option in parser._actions:  # what was said before the action holds, and a default must not undo it
        if option.dest != "name":
            option.default = argparse.SUPPRESS
    return parser


def _add_adding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("type", metavar="TYPE", help="of its jobs")
    when = parser.add_argument_group("when").add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", metavar="EXPR", help='five fields, or six with seconds in front: "30 2 * * *"')
    when.add_argument("--every", type=seconds, metavar="AGE", help="an interval, such as 90 or 15m")
    times = parser.add_argument_group("due times")
    times.add_argument("--tz", metavar="ZONE", help="of --cron, such as Europe/Berlin (default: UTC)")
    times.add_argument("--start-at", type=instant, metavar="TIME", help="nothing is due before")
    times.add_argument(
        "--jitter", type=seconds, default=0.0, metavar="AGE", help="jobs are due up to so much later"
    )
    times.add_argument(
        "--catch-up",
        choices=("last", "all", "none"),
        default="last",
        help="what was due while no pool ran: fire the newest, all, or none of it (default: last)",
    )
    times.add_argument(
        "--overlap",
        choices=("skip", "queue", "allow"),
        help="if the job before has not ended: make none, one that runs after it, or one that runs beside it "
        "(default: skip; queue with --catch-up all)",
    )
    job = parser.add_argument_group("its jobs")
    job.add_argument("--data", default="null", metavar="JSON|@FILE|-", help="what they are called with")
    job.add_argument("--priority", type=int, default=0, metavar="N", help="higher runs first (default: 0)")
    job.add_argument("--max-attempts", type=int, metavar="N", help="how often each may be started")
    job.add_argument("--job-timeout", type=seconds, metavar="AGE", help="how long an attempt may take")
    job.add_argument("--key", metavar="KEY", help="whose they are, for limits and turns")
    parser.add_argument("-n", "--dry-run", action="store_true", help="check it, show its due times, store nothing")
    parser.add_argument("--next", type=int, default=3, metavar="N", help="show so many due times (default: 3)")


def run(args: argparse.Namespace) -> int:
    """Do what the action means."""
    from ..errors import InvalidConfiguration

    if not 1 <= getattr(args, "next", 1) <= MANY:
        raise InvalidConfiguration(f"--next takes 1 to {MANY}")
    action = args.action or "list"
    # A schedule may be the first that is stored; everything else is about what is there.
    manager_of = place.manager_of if action == "add" and not args.dry_run else place.reader_of
    with manager_of(args) as manager:
        code: int = _ACTIONS[action](args, manager)
        return code


def _list(args: argparse.Namespace, manager: JobManager) -> int:
    from ..store.driver import run

    log_to_stderr("WARNING", "text")  # of those that somebody broke
    schedules = manager.schedules.list()
    if args.json:
        for one in schedules:
            write(jsons.line(one))
    elif schedules:
        now = run(manager.store.now())
        table(COLUMNS, [row(one, now) for one in schedules])
    else:
        write("no schedules")
    return OK


def _show(args: argparse.Namespace, manager: JobManager) -> int:
    _answer(args, manager, manager.schedules.get(args.name))
    return OK


def _pause(args: argparse.Namespace, manager: JobManager) -> int:
    paused = manager.schedules.pause(args.name)
    _answer(args, manager, paused, say_so=f"schedule {clean(args.name)} is paused")
    return OK


def _resume(args: argparse.Namespace, manager: JobManager) -> int:
    resumed = manager.schedules.resume(args.name)
    when = f"is due next at {moment(resumed.next_at)}" if resumed.next_at else "is not due any more"
    _answer(args, manager, resumed, say_so=f"schedule {clean(args.name)} {when}")
    return OK


def _remove(args: argparse.Namespace, manager: JobManager) -> int:
    removed = manager.schedules.remove(args.name)
    if args.json:
        write(jsons.whole({"name": args.name, "removed": removed}))
    elif removed:
        write(f"schedule {clean(args.name)} is removed; the jobs it has made stay")
    if not removed:
        say(f"jobpool: there is no schedule {args.name[:120]!r}: jobpool schedules shows them all")
    return OK if removed else NOTHING


def _run(args: argparse.Namespace, manager: JobManager) -> int:
    from ..errors import StoreUnavailable

    token = secrets.token_hex(8) if args.token is None else args.token
    try:
        job = manager.schedules.run_now(args.name, token=token)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"{error}; again with --token {clean(token)} it creates one job at the most"
        ) from error
    if args.json:
        write(jsons.whole(job))
    else:
        write(clean(job.id))
    if not job.created:
        say(f"jobpool: this job was there already, and is {job.state}: nothing was created")
    return OK


def _add(args: argparse.Namespace, manager: JobManager) -> int:
    given = {
        "tz": args.tz,
        "start_at": args.start_at,
        "catch_up": args.catch_up,
        "overlap": args.overlap,
        "jitter": args.jitter,
        "priority": args.priority,
        "max_attempts": args.max_attempts,
        "timeout": args.job_timeout,
        "key": args.key,
    }
    when = args.cron if args.cron is not None else args.every
    data = _data(args.data)
    before = _found(manager, args.name)
    if args.dry_run:
        would = manager.schedules.preview(args.name, when, args.type, data, **given)
        _answer(args, manager, would)
        say(f"{_compared(before, would, 'would be')}; nothing was stored")
    else:
        stored = manager.schedule(args.name, when, args.type, data, **given)
        _answer(args, manager, stored)
        say(f"schedule {clean(args.name)} {_compared(before, stored, 'is')}")
    return OK


def _data(given: str) -> Any:
    """Return the data that were handed in.

    Raises:
        InvalidConfiguration: They cannot be read, or are several.
    """
    from ..errors import InvalidConfiguration
    from .options.documents import Source

    values = [value for value in Source(given).values(lines=False) if value is not None]
    if len(values) != 1:
        raise InvalidConfiguration(f"--data of a schedule is one JSON value, not {len(values)}")
    if values[0].error is not None:
        raise InvalidConfiguration(f"--data: {values[0].error}")
    return values[0].value


def _found(manager: JobManager, name: str) -> Schedule | None:
    from ..errors import ScheduleNotFound, StoreRefused

    try:
        return manager.schedules.get(name)
    except (ScheduleNotFound, StoreRefused):  # the second: somebody broke it, and it is put right now
        return None


def _compared(before: Schedule | None, now: Schedule, verb: str) -> str:
    if before is None:
        return f"{verb} new"
    return f"{verb} as it was" if before.revision == now.revision and before.same(now) else f"{verb} changed"


def _answer(args: argparse.Namespace, manager: JobManager, schedule: Schedule, say_so: str = "") -> None:
    """Write a schedule, or a line that says what became of it."""
    from ..store.driver import run

    due = _due(schedule, args.next) if hasattr(args, "next") else None
    if args.json:
        write(jsons.whole({**jsons.plain(schedule), **({} if due is None else {"due": jsons.plain(due)})}))
    elif say_so:
        write(say_so)
    else:
        show(schedule, due or [], run(manager.store.now()))


def _due(schedule: Schedule, number: int) -> list[datetime]:
    """Return the next due times; those that are known if this machine cannot compute them."""
    from ..errors import InvalidConfiguration

    try:
        return schedule.next(number)
    except InvalidConfiguration as error:
        say(f"jobpool: the due times behind the next one are not known here: {clean(error)}")
        return [] if schedule.next_at is None else [schedule.next_at]


_ACTIONS = {
    "list": _list,
    "show": _show,
    "pause": _pause,
    "resume": _resume,
    "remove": _remove,
    "run": _run,
    "add": _add,
}
