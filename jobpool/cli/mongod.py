"""``jobpool mongod``: an embedded MongoDB in the foreground."""

from __future__ import annotations

import argparse
import sys

from . import FAILED, OK
from .options.environment import from_environment
from .signals import Interrupts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--path", metavar="DIR", help="keep the data in DIR (default: a temporary directory)")
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument(
        "--mongod", metavar="FILE", default=from_environment("MONGOD"), help="the binary ($JOBPOOL_MONGOD)"
    )


def run(args: argparse.Namespace) -> int:
    """Run a server until a signal comes; print its URI on stdout."""
    from ..embedded import EmbeddedMongo

    interrupts = Interrupts()
    with EmbeddedMongo(args.path, args.port, args.mongod) as server:
        print(server.uri, flush=True)
        print(f"MongoDB is running in {server.directory}; Ctrl-C ends it", file=sys.stderr)
        while not interrupts.asked.wait(0.5):
            if server.ended():
                print(f"jobpool: mongod ended by itself; see {server.directory}", file=sys.stderr)
                return FAILED
    return OK
