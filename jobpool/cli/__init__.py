"""The command line: ``jobpool COMMAND``. Data on stdout, the rest on stderr.

A new command is a module here with `add_arguments(parser)` and `run(args) -> int`,
and a line in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

#: The command, its module, and what it does.
COMMANDS = {
    "demo": ("jobpool.cli.demo", "run real work on an embedded MongoDB and check the results"),
    "worker": ("jobpool.cli.worker", "run the jobs of a manager in this process"),
    "metrics": ("jobpool.cli.metrics", "print the metrics of all pools together, or serve them"),
    "dashboard": ("jobpool.cli.dashboard", "write the dashboards and rules for Grafana and Prometheus"),
    "bench": ("jobpool.cli.bench", "measure speed and contention on this MongoDB"),
    "mongod": ("jobpool.cli.mongod", "run an embedded MongoDB in the foreground"),
}

OK, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0 ok, 1 failed, 2 usage, 3 MongoDB unreachable, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser(arguments).parse_args(arguments)
    if not args.command:
        _parser(arguments).print_help()
        return USAGE
    # The driver takes a fifth of a second to import: not for --help or a typing error.
    from ..errors import InvalidConfiguration, JobpoolError, StoreUnavailable

    try:
        code: int = import_module(COMMANDS[args.command][0]).run(args)
        return code
    except KeyboardInterrupt:
        text, code = "interrupted", INTERRUPTED
    except StoreUnavailable as error:
        text, code = str(error), UNREACHABLE
    except InvalidConfiguration as error:
        text, code = str(error), USAGE
    except JobpoolError as error:
        text, code = str(error), FAILED
    from .logs import voice

    voice(getattr(args, "log_format", "text"), logging.ERROR)(f"jobpool: {text}")
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jobpool", description="A job manager for Python on MongoDB.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
        if name in arguments:  # only the one that is meant has to be loaded
            import_module(module).add_arguments(command)
    return parser


def from_environment(name: str, default: str | None = None) -> str | None:
    """Return ``$JOBPOOL_<name>``, the default of the option of that name."""
    return os.environ.get(f"JOBPOOL_{name}", default)
