"""``jobpool demo``: real work, watched and checked.

It parses the files of Python's standard library, one job each, creates them
twice, runs them on threads, and compares every result with a serial pass. It
brings its own MongoDB unless --uri names one.
"""

from __future__ import annotations

import argparse

from .options.environment import add_option

EXAMPLES = """\
examples:
  jobpool demo --quick                  some 200 files, a few seconds
  jobpool demo --keep /tmp/demo         keep its MongoDB's data, to look at them with `jobpool mongod`
  jobpool demo --uri mongodb://localhost:27017 --threads 32
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--quick", action="store_true", help="200 files instead of all")
    add_option(parser, "--uri", metavar="URI", help="of MongoDB", otherwise="an embedded server")
    parser.add_argument(
        "--keep", metavar="DIR", help="keep the embedded server's data in DIR to look at afterwards"
    )
    add_option(parser, "--threads", type=int, metavar="N", help="how many jobs run at a time", default="16")
    add_option(
        parser,
        "--metrics-port",
        type=int,
        metavar="N",
        help="answer scrapes on this port; 0 is a free one",
        default="0",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo and return 0 if every result was right."""
    from ..demo import demonstrate

    return demonstrate(
        quick=args.quick,
        uri=args.uri or None,
        keep=args.keep,
        threads=args.threads,
        metrics_port=args.metrics_port,
    )
