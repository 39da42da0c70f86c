"""``jobpool metrics``: the cluster view, printed once or served to a Prometheus.

It counts what is pending, due, running and failed, for all pools together, by
looking into MongoDB; no pool has to be asked. What it serves at ``/backlog`` is
for autoscalers.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from . import OK
from .options import endpoint, place
from .signals import Interrupts
from .terminal import jsons
from .terminal.screen import say, write
from .terminal.words import clean

if TYPE_CHECKING:
    from ..backlog import Backlog
    from ..manager import JobManager
    from ..pool.census import Census

EXAMPLES = """\
examples:
  jobpool metrics shop                         the metrics of all pools of a database, once
  jobpool metrics shop --json                  what is pending, due, running and failed, by type
  jobpool metrics shop --serve                 answer a Prometheus on port 9109, until Ctrl-C
  jobpool metrics -d shop --collection mails --serve 9110 --metrics-addr 0.0.0.0
"""

PORT = 9109


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("named", nargs="?", metavar="DATABASE", help="where the jobs are; the same as --database")
    parser.add_argument(
        "--serve",
        type=int,
        nargs="?",
        const=PORT,
        metavar="PORT",
        help=f"answer scrapes until a signal comes (default port: {PORT}; 0: a free one)",
    )
    endpoint.add_arguments(parser, "--addr")
    parser.add_argument(
        "--every", type=float, default=15.0, metavar="SECONDS", help="between two counts (default: 15)"
    )
    parser.add_argument("--json", action="store_true", help="print what was counted as JSON, without metrics")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print one exposition on stdout, or serve until a signal comes."""
    from ..names import check_seconds

    check_seconds(args.every, "--every", 0.1, 86400)
    _one_database(args)
    with place.manager_of(args) as manager:
        manager.store.contact.creates = False
        # Also before serving: who named a server that is not there is told at once.
        backlog = manager.backlog()
        if args.serve is not None:
            return _serve(manager, backlog, args)
        _note_absence(manager)
        if args.json:
            write(jsons.whole(backlog))
            return OK
        manager.observer.backlog_counted(manager.store.name, backlog, ())
        sys.stdout.buffer.write(manager.exposition()[1])
        return OK


def _one_database(args: argparse.Namespace) -> None:
    """Take the database that stands alone for the option."""
    from ..errors import InvalidConfiguration

    if args.named is not None:
        if args.database not in (None, args.named):
            raise InvalidConfiguration(f"there are two databases, {args.named} and {args.database}: name one")
        args.database = args.named
    if args.json and args.serve is not None:
        raise InvalidConfiguration("give either --json or --serve, which has the same at /backlog")


def _note_absence(manager: JobManager) -> None:
    """Say that there are no jobs yet: a Prometheus may well be there first, but a name may be mistyped."""
    from ..store.driver import run

    if not run(manager.store.contact.exists()):
        say(f"there is no collection {clean(manager.store.name)} yet")


def _serve(manager: JobManager, backlog: Backlog, args: argparse.Namespace) -> int:
    from ..http import MetricsServer, backlog_route, checks, login_of, tls_of
    from ..pool.census import Census

    who = endpoint.secured(args)
    tls, login = tls_of(who["tls_cert"], who["tls_key"]), login_of(who["user"], who["password"])
    interrupts = Interrupts()
    census = Census("metrics", manager.store, manager.observer, card=None, interval=args.every)
    census.show(backlog)
    routes = {
        "/metrics": lambda asked: (200, *manager.exposition(asked.accept)),
        "/healthz": lambda _: checks(_alive(census)),
        "/readyz": lambda _: checks({**_alive(census), "last count": _last_count(census)}),
        "/backlog": backlog_route(lambda: census.view, "not counted yet"),
    }
    with MetricsServer(routes, args.serve, args.metrics_addr, tls=tls, login=login) as server:
        census.start()
        print(f"metrics of {manager.store.name} on {server.url}/metrics; Ctrl-C ends it", file=sys.stderr)
        _note_absence(manager)
        interrupts.asked.wait()
        census.stop()
        census.join(2.0)
    return OK


def _alive(census: Census) -> dict[str, str | None]:
    silent = time.monotonic() - census.advanced_at
    late = f"has not advanced for {silent:.0f} s" if silent > census.longest_step else None
    return {"census": late if census.alive else "its thread is not running"}


def _last_count(census: Census) -> str | None:
    return f"{', '.join(sorted(census.undone))} failed when it was last tried" if census.undone else None
