"""``jobpool worker``: a pool as a process.

The first SIGINT or SIGTERM drains: nothing more is claimed, and what runs may
end for --drain-timeout seconds. The second ends it at once. When the lease of what
ran then is over, it is run again elsewhere if it has attempts left (by default a
job has one), or else fails with WorkerLost.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import FAILED, OK
from .options import endpoint, logs
from .options.environment import add_option
from .options.loading import load_manager
from .signals import Interrupts

if TYPE_CHECKING:
    from ..manager import JobManager
    from ..pool import WorkerPool


EXAMPLES = """\
examples:
  jobpool worker myapp.jobs:manager                    run all types that have an executor
  jobpool worker myapp.jobs:manager --types mail report --threads 32
  jobpool worker myapp.jobs:manager --burst            end when nothing is due, as in a cron job
  jobpool worker myapp.jobs:make_manager --metrics-port 9108 --metrics-addr 0.0.0.0 --log-format json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; those of the pool have the names of `jobpool.config.PoolConfig`."""
    add_option(
        parser,
        "manager",
        nargs="?",
        metavar="MODULE:MANAGER",
        help="a JobManager, or a function that returns one",
    )
    _add_pool(parser)
    add_option(
        parser,
        "--metrics-port",
        type=int,
        metavar="N",
        help="answer scrapes on this port; 0 is a free one",
        otherwise="none",
    )
    endpoint.add_arguments(parser)
    parser.add_argument("--burst", action="store_true", help="end when no job is due")
    add_option(
        parser,
        "--drain-timeout",
        type=float,
        metavar="SECONDS",
        help="how long the first signal waits for running jobs",
        default="30",
    )
    logs.add_arguments(parser)


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--types", nargs="+", default=(), metavar="TYPE", help="default: all with an executor")
    add_option(parser, "--threads", type=int, metavar="N", help="how many jobs run at a time", otherwise="16")
    add_option(parser, "--name", metavar="NAME", help="of the pool, in logs and metrics", otherwise="default")
    add_option(
        parser,
        "--lease",
        type=float,
        metavar="SECONDS",
        help="for which a claim is good without a sign of life",
        otherwise="30",
    )
    add_option(
        parser,
        "--longest-run",
        type=float,
        metavar="SECONDS",
        help="stop extending the lease of a job that runs longer",
        otherwise="never",
    )
    add_option(
        parser,
        "--stuck-after",
        type=float,
        metavar="SECONDS",
        help="log and store the stack of an executor that runs longer",
        otherwise="never",
    )
    add_option(
        parser,
        "--max-stuck",
        type=int,
        metavar="N",
        help="threads to replace whose executors do not end at their timeout",
        otherwise="as many as --threads",
    )


def run(args: argparse.Namespace) -> int:
    """Run a pool until a signal comes (the first drains, the second forces), or no job is due with ``--burst``."""
    logs.log_to_stderr(args.log_level, args.log_format)
    say = logs.voice(args.log_format)
    from ..errors import InvalidConfiguration
    from ..pool import WorkerPool

    if not args.manager:
        raise InvalidConfiguration(
            "name the manager whose jobs are to be run: jobpool worker MODULE:MANAGER, such as "
            "myapp.jobs:manager, or $JOBPOOL_MANAGER"
        )
    manager = load_manager(args.manager)
    pool = WorkerPool(
        manager,
        args.types or None,
        threads=args.threads,
        name=args.name,
        lease=args.lease,
        longest_run=args.longest_run,
        stuck_after=args.stuck_after,
        max_stuck=args.max_stuck,
    )
    interrupts = Interrupts()
    server = None
    if args.metrics_port is not None:  # before any job is claimed: the endpoint may be refused
        server = pool.serve_metrics(args.metrics_port, args.metrics_addr, **endpoint.secured(args))
    pool.start()
    if server is not None:
        say(f"metrics on {server.url}/metrics")
    while not interrupts.asked.wait(0.1):
        if args.burst and pool.wait_drained(0):
            break
    return _end(pool, manager, interrupts, args.drain_timeout, say)


def _end(
    pool: WorkerPool, manager: JobManager, interrupts: Interrupts, timeout: float, say: Callable[[str], None]
) -> int:
    deadline = time.monotonic() + timeout
    if interrupts.asked.is_set():
        say("draining; another signal forces")
    while not pool.drain(0.1) and time.monotonic() < deadline and not interrupts.forced.is_set():
        pass
    report = pool.stop(timeout=0)
    if not (report.abandoned or report.threads):
        manager.close()
        return OK
    for id in report.abandoned:
        say(f"abandoned: {id}")
    for name in report.threads:
        say(f"still running: {name}")
    sys.stderr.flush()
    # An executor that does not end would keep the interpreter from ending.
    os._exit(FAILED)
