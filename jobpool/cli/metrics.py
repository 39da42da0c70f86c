"""``jobpool metrics DATABASE``: the cluster view, printed once or served to a Prometheus."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from . import OK
from .options import endpoint
from .options.environment import from_environment
from .signals import Interrupts

if TYPE_CHECKING:
    from ..backlog import Backlog
    from ..manager import JobManager
    from ..pool.census import Census

PORT = 9109


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "database", nargs="?", default=from_environment("DATABASE"), help="where the jobs are ($JOBPOOL_DATABASE)"
    )
    parser.add_argument(
        "--uri", default=None, metavar="URI", help="of MongoDB ($JOBPOOL_URI, else mongodb://localhost:27017)"
    )
    parser.add_argument("--collection", default=from_environment("COLLECTION", "jobs"), metavar="NAME")
    parser.add_argument(
        "--serve",
        type=int,
        nargs="?",
        const=PORT,
        metavar="PORT",
        help=f"answer scrapes until a signal comes (default port: {PORT}; 0: a free one)",
    )
    parser.add_argument(
        "--addr",
        default=from_environment("METRICS_ADDR", "127.0.0.1"),
        metavar="ADDR",
        help="local address to listen on ($JOBPOOL_METRICS_ADDR, else 127.0.0.1)",
    )
    endpoint.add_arguments(parser)
    parser.add_argument(
        "--every", type=float, default=15.0, metavar="SECONDS", help="between two counts (default: 15)"
    )


def run(args: argparse.Namespace) -> int:
    """Print one exposition on stdout, or serve until a signal comes."""
    from ..errors import InvalidConfiguration
    from ..manager import JobManager
    from ..names import check_seconds

    if not args.database:
        raise InvalidConfiguration("name the database of the jobs: jobpool metrics DATABASE, or $JOBPOOL_DATABASE")
    check_seconds(args.every, "--every", 0.1, 86400)
    with JobManager(args.database, uri=args.uri, collection=args.collection) as manager:
        # Also before serving: who named a server that is not there is told at once.
        backlog = manager.backlog()
        if args.serve is None:
            manager.observer.backlog_counted(manager.store.name, backlog, ())
            sys.stdout.buffer.write(manager.exposition()[1])
            return OK
        return _serve(manager, backlog, args)


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
    with MetricsServer(routes, args.serve, args.addr, tls=tls, login=login) as server:
        census.start()
        print(f"metrics of {manager.store.name} on {server.url}/metrics; Ctrl-C ends it", file=sys.stderr)
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
