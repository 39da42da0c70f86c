"""The command line: ``jobpool COMMAND``. Data on stdout, the rest on stderr.

A new command is a module here with `add_arguments(parser)`, `run(args) -> int` and
`EXAMPLES`, and a line in `COMMANDS`. Options that several commands share are in
`options`, what they show in `terminal`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command: the heading that it stands under, and what it does."""

    heading: str
    purpose: str
    module: str | None = None


#: In the order of the help.
COMMANDS = {
    "demo": Command("Start", "run real work on an embedded MongoDB and check the results"),
    "worker": Command("Start", "run the jobs of a manager in this process"),
    "mongod": Command("Start", "run an embedded MongoDB in the foreground"),
    "metrics": Command("Measure", "print the metrics of all pools together, or serve them"),
    "dashboard": Command("Measure", "write the dashboards and rules for Grafana and Prometheus"),
    "bench": Command("Measure", "measure speed and contention on this MongoDB"),
}

OK, FAILED, USAGE, UNREACHABLE, NOTHING, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    0 ok, 1 failed, 2 usage, 3 MongoDB unreachable, 4 nothing matched, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser(arguments).parse_args(arguments)
    if not args.command:
        _parser(arguments).print_help()
        return USAGE
    # The driver takes a fifth of a second to import: not for --help or a typing error.
    from ..errors import (
        InvalidConfiguration,
        InvalidJob,
        JobNotFound,
        JobpoolError,
        ScheduleNotFound,
        StoreUnavailable,
    )

    try:
        code: int = _module(args.command).run(args)
        sys.stdout.flush()  # or the interpreter says at its end that nobody reads it
        return code
    except BrokenPipeError:  # who reads has seen enough, as head has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        text, code = "interrupted", INTERRUPTED
    except StoreUnavailable as error:
        text, code = str(error), UNREACHABLE
    except (InvalidConfiguration, InvalidJob) as error:
        text, code = str(error), USAGE
    except (JobNotFound, ScheduleNotFound) as error:
        text, code = str(error), NOTHING
    except JobpoolError as error:
        text, code = str(error), FAILED
    from .options.logs import voice

    voice(getattr(args, "log_format", "text"), logging.ERROR)(f"jobpool: {text}")
    return code


def _module(command: str) -> Any:
    return import_module(COMMANDS[command].module or f"jobpool.cli.{command}")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only of the command that is meant the options are known, and its module is loaded."""
    parser = argparse.ArgumentParser(prog="jobpool", description="A job manager for Python on MongoDB.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    meant = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (_, purpose, _) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=purpose,
            description=purpose[0].upper() + purpose[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == meant:
            module = _module(name)
            command.epilog = getattr(module, "EXAMPLES", None)
            module.add_arguments(command)
    return parser
