"""``jobpool demo``: real work, watched and checked."""

from __future__ import annotations

import argparse

from .options.environment import from_environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="200 files instead of all")
    parser.add_argument("--uri", default=from_environment("URI"), help="a real server ($JOBPOOL_URI)")
    parser.add_argument(
        "--keep", metavar="DIR", help="keep the embedded server's data in DIR to look at afterwards"
    )
    parser.add_argument("--threads", type=int, default=16, metavar="N")
    parser.add_argument("--metrics-port", type=int, default=0, metavar="N", help="default: a free one")


def run(args: argparse.Namespace) -> int:
    """Run the demo and return 0 if every result was right."""
    from ..demo import demonstrate

    return demonstrate(
        quick=args.quick, uri=args.uri, keep=args.keep, threads=args.threads, metrics_port=args.metrics_port
    )
