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
from .options.environment import from_environment
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
    parser.add_argument(
        "manager",
        nargs="?",
        default=from_environment("MANAGER"),
        metavar="MODULE:MANAGER",
        help="a JobManager, or a function that returns one ($JOBPOOL_MANAGER)",
    )
    parser.add_argument("--types", nargs="+", default=(), metavar="TYPE", help="default: all with an executor")
    parser.add_argument(
        "--threads",
        type=int,
        default=from_environment("THREADS"),
        metavar="N",
        help="how many jobs run at a time ($JOBPOOL_THREADS, else 16)",
    )
    parser.add_argument(
        "--name",
        default=from_environment("NAME"),
        metavar="NAME",
        help="of the pool, in logs and metrics ($JOBPOOL_NAME, else default)",
    )
    parser.add_argument(
        "--lease",
        type=float,
        default=from_environment("LEASE"),
        metavar="SECONDS",
        help="for which a claim is good without a sign of life ($JOBPOOL_LEASE, else 30)",
    )
    parser.add_argument(
        "--longest-run",
        type=float,
        default=from_environment("LONGEST_RUN"),
        metavar="SECONDS",
        help="stop extending the lease of a job that runs longer ($JOBPOOL_LONGEST_RUN, else never)",
    )
    parser.add_argument(
        "--stuck-after",
        type=float,
        default=from_environment("STUCK_AFTER"),
        metavar="SECONDS",
        help="log and store the stack of an executor that runs longer ($JOBPOOL_STUCK_AFTER, else never)",
    )
    parser.add_argument(
        "--max-stuck",
        type=int,
        default=from_environment("MAX_STUCK"),
        metavar="N",
        help="threads to replace whose executors do not end at their timeout ($JOBPOOL_MAX_STUCK, else as many "
        "as --threads)",
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=from_environment("METRICS_PORT"),
        metavar="N",
        help="answer scrapes on this port; 0 is a free one ($JOBPOOL_METRICS_PORT, else none)",
    )
    parser.add_argument(
        "--metrics-addr",
        default=from_environment("METRICS_ADDR", "127.0.0.1"),
        metavar="ADDR",
        help="local address to listen on ($JOBPOOL_METRICS_ADDR, else 127.0.0.1)",
    )
    endpoint.add_arguments(parser)
    parser.add_argument("--burst", action="store_true", help="end when no job is due")
    parser.add_argument(
        "--drain-timeout",
        type=float,
        default=from_environment("DRAIN_TIMEOUT", "30"),
        metavar="SECONDS",
        help="how long the first signal waits for running jobs ($JOBPOOL_DRAIN_TIMEOUT, else 30)",
    )
    logs.add_arguments(parser)


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
