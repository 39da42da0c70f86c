"""``jobpool import``: jobs of another system, carried over into a collection of ours.

Each document becomes one job here, once, however often it is tried: what is
there already is recognised and left as it is, whatever became of it since. An
import that was interrupted goes on when it is repeated.

The source is only read. Stop its workers before jobs are run here, or what is
queued there runs on both sides: nothing here tells them. Producers there may go
on for a while; repeat the import for what was written meanwhile.

What cannot be held here (undefined, RegExp, code, NaN, too much data) is left
out and said, never changed: --skipped keeps the documents. A job whose result
cannot be held comes without it.

Whole numbers that JavaScript stored as doubles become ints. Priorities become
ints within our bounds. Attempts that were spent there count: a queued job that
has some may have 3 in all, as there, and has at least one more. Jobs that are
active there are left out unless --active says what is to become of them. Delete
what is done here, also by retention, only after the last import: what was
deleted is imported again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from . import FAILED, OK
from .options import place
from .options.environment import add_option
from .terminal import jsons
from .terminal.imported import hint, show
from .terminal.screen import say, write
from .terminal.words import clean, count, jobs

if TYPE_CHECKING:
    from ..importing import Imported, Skipped
    from .terminal.progress import Progress

EXAMPLES = """\
examples:
  jobpool import togedo -d shop --from-database shop_js --dry-run  what would come over, and what would not
  jobpool import togedo -d shop --from-database shop_js            carry it over; repeat it as often as you like
  jobpool import togedo -d shop --from-database shop_js --active pending --skipped left.ndjson
  jobpool import togedo -d shop --from-uri mongodb://old.example.org/shop_js    from another server
"""

#: Of what is left out, so many are named; the rest is in the file.
SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sources; of each, the options."""
    sources = parser.add_subparsers(dest="source", metavar="SOURCE", required=True)
    package = "the npm package @togedo/job-manager"
    togedo = sources.add_parser("togedo", help=package, description=f"Carry over the jobs of {package}.")
    _add_from(togedo)
    group = togedo.add_argument_group("what becomes of them")
    group.add_argument(
        "--active",
        choices=("skip", "pending", "failed"),
        metavar="WHAT",
        help="of those that a worker there holds: skip leaves them out, pending runs them here (they may be "
        "running there now), failed keeps them as failed (default: they are left out, and it says so)",
    )
    group.add_argument(
        "--keep-ids",
        action="store_true",
        help="keep all ids as they are (default: one that was made of type and data there is made so here, so "
        "that equal work stays done once)",
    )
    _add_how(togedo)
    place.add_arguments(togedo)


def _add_from(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("from where")
    add_option(
        group, "--from-uri", metavar="URI", help="the MongoDB of the source", otherwise="the one of the jobs"
    )
    group.add_argument(
        "--from-database", metavar="NAME", help="the database of the source (default: the one that its URI names)"
    )
    group.add_argument("--from-collection", default="jobs", metavar="NAME", help="(default: jobs)")


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="write nothing, say what would come of it")
    parser.add_argument(
        "--skipped", metavar="FILE", help="write what is left out, and why, into this file, one JSON object a line"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Import, show the sums of both sides, and return 1 if anything was left out that was to come."""
    from ..importing import Togedo

    source = Togedo(active=args.active or "skip", ids="keep" if args.keep_ids else "recompute")
    uri = args.from_uri or None  # a variable that is empty names none
    database = place.a_name(args.from_database or _database_of(uri), "--from-uri")
    with _file(args.skipped) as file, _Watch(file) as watch, place.manager_of(args) as manager:
        try:
            report = manager.import_jobs(
                source,
                database=database,
                collection=args.from_collection,
                uri=uri,
                dry_run=args.dry_run,
                on_round=watch.hear,
                on_skipped=watch.skip,
            )
        except BaseException:
            watch.close()
            watch.say_how_far()
            raise
        watch.close()
    if args.json:
        write(jsons.whole(report))
    else:
        show(report)
    hint(report, watch.first, args.skipped, undecided=args.active is None)
    return OK if report.flawless else FAILED


def _database_of(uri: str | None) -> str:
    from ..errors import InvalidConfiguration
    from ..store.uris import database_in

    named = database_in(uri or "")
    if named is None:
        raise InvalidConfiguration("name the database to import from: --from-database NAME")
    return named


@contextmanager
def _file(path: str | None) -> Iterator[IO[str] | None]:
    """Open what is left out is written to; one that cannot be written ends it before anything is read."""
    from ..errors import InvalidConfiguration, JobpoolError

    if path is None:
        yield None
        return
    try:
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise InvalidConfiguration(f"cannot write to {clean(path)}: {error.strerror}") from None
    try:
        with file:
            yield file
    except OSError as error:
        raise JobpoolError(f"cannot write to {clean(path)}: {error.strerror}; it is not complete") from None


class _Watch:
    """Shows how far it is, and hears what is left out. Threads: one."""

    def __init__(self, file: IO[str] | None) -> None:
        self.first: list[Skipped] = []
        self._file = file
        self._stack = ExitStack()
        self._progress: Progress | None = None
        self._report: Imported | None = None

    def hear(self, report: Imported) -> None:
        """Hear how far it is."""
        from .terminal.progress import Progress

        if self._progress is None:
            title = "looking at" if report.dry_run else "importing"
            self._progress = self._stack.enter_context(Progress(title, report.source_jobs))
        self._progress.advance(report.read - self._progress.done)
        self._report = report

    def skip(self, skipped: Skipped) -> None:
        """Hear what is left out."""
        if len(self.first) < SHOWN:
            self.first.append(skipped)
        if self._file is not None:
            self._file.write(f"{jsons.line(skipped)}\n")

    def say_how_far(self) -> None:
        """Say what is done when it was interrupted."""
        if self._report is not None and not self._report.dry_run:
            here, read = self._report.carried, self._report.read
            say(
                f"{jobs(here)} of {count(read)} documents are carried over; repeat the command to go on from there"
            )

    def close(self) -> None:
        """Take the bar away."""
        self._stack.close()

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
