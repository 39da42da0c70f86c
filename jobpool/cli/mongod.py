"""``jobpool mongod``: an embedded MongoDB in the foreground.

A replica set of one node on 127.0.0.1, for trying out, tests and single
machines. Its URI is the first line on stdout; the process ends with Ctrl-C. The
binary comes with `jobpool[embedded]`, or is yours.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from . import FAILED, OK
from .options.environment import add_option
from .signals import Interrupts
from .terminal import jsons

if TYPE_CHECKING:
    from ..embedded import EmbeddedMongo


EXAMPLES = """\
examples:
  jobpool mongod                                  its data are gone when it ends
  jobpool mongod --path ~/mongo --port 27017      the same data and address the next time
  jobpool mongod --json > mongod.json             its URI, directory and process as JSON
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--path", metavar="DIR", help="keep the data in DIR (default: a temporary directory)")
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1 (default: a free one)")
    add_option(
        parser,
        "--mongod",
        metavar="FILE",
        help="the binary",
        otherwise="the one that comes with jobpool[embedded], or one on the path",
    )
    parser.add_argument("--json", action="store_true", help="print URI, directory and process as a line of JSON")


def run(args: argparse.Namespace) -> int:
    """Run a server until a signal comes; print its URI on stdout."""
    from ..embedded import EmbeddedMongo

    interrupts = Interrupts()
    with EmbeddedMongo(args.path, args.port, args.mongod) as server:
        print(_line(server) if args.json else server.uri, flush=True)
        print(f"MongoDB is running in {server.directory}; Ctrl-C ends it", file=sys.stderr)
        while not interrupts.asked.wait(0.5):
            if server.ended():
                print(f"jobpool: mongod ended by itself; see {server.directory}", file=sys.stderr)
                return FAILED
    return OK


def _line(server: EmbeddedMongo) -> str:
    """Return where the server is as JSON."""
    return jsons.line({"uri": server.uri, "directory": str(server.directory), "pid": server.server_pid})
