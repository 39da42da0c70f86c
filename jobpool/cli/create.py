"""``jobpool create``: a job from the command line, or one for each line of a file."""

from __future__ import annotations

import argparse
from itertools import chain
from typing import TYPE_CHECKING, Any

from . import FAILED, OK
from .options import place
from .options.amounts import instant, seconds
from .options.documents import Line, Source
from .terminal import jsons
from .terminal.jobs import an_id
from .terminal.screen import say, write
from .terminal.words import clean, moment

if TYPE_CHECKING:
    from ..manager import JobManager

EXAMPLES = """\
examples:
  jobpool create mail --data '{"to": "ann@example.org"}'    one job; its id is printed
  jobpool create report --data @report.json --delay 2h      its data from a file, two hours from now
  jobpool create mail --data @letters.ndjson                one job for each line, in batches
  zcat orders.gz | jobpool create import --data - --id-field order_id --skip-bad
  jobpool create mail --data @letters.ndjson --dry-run      checks every line, writes nothing

Data are JSON; {"$date": "2026-11-27T12:00:00Z"}, {"$oid": ...} and the like are MongoDB's extended JSON.
The id of a job is a hash of type and data unless you give one: the same command again creates nothing twice.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; those of the job have the names of `JobManager.create`."""
    parser.add_argument("type", metavar="TYPE", help="picks the executor")
    parser.add_argument(
        "--data",
        metavar="JSON|@FILE|-",
        help="what it is called with, here, in a file or on stdin (default: null); several lines of JSON are one "
        "job each",
    )
    _add_source(parser)
    _add_job(parser)
    parser.add_argument("-n", "--dry-run", action="store_true", help="check all of it, write nothing")
    parser.add_argument("--json", action="store_true", help="print the job, or the counts, as JSON")
    place.add_arguments(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many jobs")
    group.add_argument("--lines", action="store_true", help="each line is a job, also if there is only one")
    group.add_argument("--id-field", metavar="NAME", help="take the id from this field of the data")
    group.add_argument("--skip-bad", action="store_true", help="leave lines out that are no jobs, and exit with 1")


def _add_job(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the job")
    group.add_argument("--id", metavar="ID", help="its id, of one job (default: a hash of type and data)")
    group.add_argument("--priority", type=int, default=0, metavar="N", help="higher runs first (default: 0)")
    group.add_argument(
        "--delay", type=seconds, metavar="AGE", help="not before so long from now, such as 90 or 2h"
    )
    group.add_argument("--run-at", type=instant, metavar="TIME", help="not before then: 2026-11-27T12:00:00Z")
    group.add_argument("--max-attempts", type=int, metavar="N", help="how often it may be started")
    group.add_argument("--job-timeout", type=seconds, metavar="AGE", help="how long an attempt may take")
    group.add_argument("--key", metavar="KEY", help="whose it is, for limits and turns")
    group.add_argument("--after", action="append", metavar="ID", help="after this job has ended; may be repeated")
    group.add_argument(
        "--on-failure", choices=("fail", "run"), default="fail", help="what if that one fails (default: fail)"
    )
    group.add_argument(
        "--on-duplicate",
        choices=("keep", "revive", "raise"),
        default="keep",
        help="if a job of its id is there: leave it, run it again if it failed or was cancelled, or fail",
    )
    group.add_argument(
        "--on-full",
        choices=("raise", "wait", "drop"),
        default="raise",
        help="if its type has no room left, as a --manager says: fail, wait, or leave it out",
    )
    group.add_argument("--full-timeout", type=seconds, metavar="AGE", help="how long --on-full wait waits")


def run(args: argparse.Namespace) -> int:
    """Create what the options and the data mean."""
    common = _common(args)
    _check(args, common)
    source = Source("null" if args.data is None else args.data)
    values = source.values(lines=args.lines or args.skip_bad)
    first = next(values, None)
    with place.manager_of(args) as manager:
        if args.dry_run:
            manager.store.contact.creates = False
        _hint(args, manager)
        if first is not None and first.number is None:
            return _one(args, manager, source, common, first)
        return _many(args, manager, source, common, chain([first], values))


def _common(args: argparse.Namespace) -> dict[str, Any]:
    """Return what all of the jobs have, without what nobody said."""
    given = {
        "id": args.id,
        "run_at": args.run_at,
        "delay": args.delay,
        "max_attempts": args.max_attempts,
        "timeout": args.job_timeout,
        "key": args.key,
        "after": args.after and tuple(args.after),
    }
    said = {name: value for name, value in given.items() if value is not None}
    return {"type": args.type, "priority": args.priority, "on_failure": args.on_failure, **said}


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {"on_duplicate": args.on_duplicate, "on_full": args.on_full, "full_timeout": args.full_timeout}


def _check(args: argparse.Namespace, common: dict[str, Any]) -> None:
    """Refuse options that no job can have before a line is read."""
    from ..errors import InvalidConfiguration
    from ..manager.room import OnFull
    from ..request import request_of

    request_of(common, 1024)
    OnFull(args.on_full, args.full_timeout)
    if args.id is not None and (args.id_field or args.lines or args.skip_bad):
        raise InvalidConfiguration("--id is for one job: take the ids of many from a field with --id-field")
    if args.data is None and (args.id_field or args.lines or args.skip_bad):
        raise InvalidConfiguration("say where the lines are: --data @FILE, or --data - for stdin")


def _hint(args: argparse.Namespace, manager: JobManager) -> None:
    known = list(manager.executors)
    if args.manager and known and args.type not in known:
        say(f"note: {clean(args.manager)} has no executor for {clean(args.type)}")


def _one(args: argparse.Namespace, manager: JobManager, source: Source, common: dict[str, Any], line: Line) -> int:
    from ..errors import InvalidJob
    from ..manager.requests import requested
    from .sending import job_of

    try:
        asked = job_of(line, common, args.id_field)
    except InvalidJob as error:
        raise InvalidJob(f"{clean(source.name)}: {error}; nothing was created") from None
    if args.dry_run:
        id = requested(asked, manager).job_id
        there = manager.find(ids=[id])
        say(f"it is there already, {there[0].state}; nothing would be created" if there else "it would be created")
        write(jsons.whole({"id": id, "created": not there}) if args.json else an_id(id))
        return OK
    job = manager.create(asked, **_options(args))
    if job.dropped:
        say("not created: there is no room for it")
    elif not job.created:
        say(f"it was there already, {job.state}, created {moment(job.created_at)}")
    write(jsons.whole(job) if args.json else an_id(job.id))
    return FAILED if job.dropped else OK


def _many(
    args: argparse.Namespace, manager: JobManager, source: Source, common: dict[str, Any], lines: Any
) -> int:
    from ..errors import InvalidConfiguration
    from .sending import Checker, Creator, Sending

    if args.id is not None:
        raise InvalidConfiguration(
            f"--id is for one job, and {clean(source.name)} has several lines: take their ids from a field with "
            "--id-field"
        )
    sink = Checker(manager) if args.dry_run else Creator(manager, **_options(args))
    sending = Sending(sink, source, common, id_field=args.id_field, skip_bad=args.skip_bad)
    outcome = sending.send(lines, "checking" if args.dry_run else "creating")
    counts = {name: value for name, value in vars(outcome).items() if name != "lines"}
    write(jsons.whole(counts) if args.json else outcome.told(dry=args.dry_run))
    return FAILED if outcome.skipped or outcome.dropped else OK
