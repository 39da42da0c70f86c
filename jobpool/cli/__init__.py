"""The command line: ``jobpool COMMAND``. Data on stdout, the rest on stderr.

A new command is a module here with `add_arguments(parser)`, `run(args) -> int` and
`EXAMPLES`, and a line in `COMMANDS`. Options that several commands share are in
`options`, what they show in `terminal`; `parser` makes the parser, `overview` and
`help` the help.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Command(NamedTuple):
    """A command: the heading that it stands under, and what it does."""

    heading: str
    purpose: str
    module: str | None = None


#: In the order of the help.
HEADINGS = ("Start", "Jobs", "Change", "Watch", "Steer", "Measure", "Care")
COMMANDS = {
    "demo": Command("Start", "run real work on an embedded MongoDB and check the results"),
    "worker": Command("Start", "run the jobs of a manager in this process"),
    "mongod": Command("Start", "run an embedded MongoDB in the foreground"),
    "help": Command("Start", "show all about a command, page by page"),
    "create": Command("Jobs", "create jobs: one, or one for each line of a file"),
    "ls": Command("Jobs", "list jobs, newest first"),
    "show": Command("Jobs", "show all that is known of a job"),
    "why": Command("Jobs", "tell why a job does not run, and what helps"),
    "tail": Command("Jobs", "watch jobs change, live"),
    "errors": Command("Jobs", "show what failed jobs failed of, in groups"),
    "retry": Command("Change", "run failed jobs again now, and those that wait for their next attempt"),
    "revive": Command("Change", "begin jobs anew that failed or were cancelled"),
    "cancel": Command("Change", "cancel jobs; those that run are asked to end"),
    "snooze": Command("Change", "have pending jobs not run before some time"),
    "remove": Command("Change", "delete jobs that no pool holds and nobody waits for"),
    "purge": Command("Change", "delete jobs that ended long ago"),
    "stats": Command("Watch", "show what waits, runs and failed, who works on it, and what it takes"),
    "top": Command("Watch", "watch what goes on, live: rates, types, pools, what runs, what fails"),
    "pools": Command("Watch", "show which pools there are, and what they hold"),
    "types": Command("Watch", "show the types of jobs, how fast they go, and who runs them"),
    "pause": Command("Steer", "have no job of a type begun any more, or show what is paused"),
    "resume": Command("Steer", "have jobs begun again that are paused"),
    "schedules": Command("Steer", "show what makes jobs now and then; add, pause, run or remove it"),
    "metrics": Command("Measure", "print the metrics of all pools together, or serve them"),
    "dashboard": Command("Measure", "write the dashboards and rules for Grafana and Prometheus"),
    "bench": Command("Measure", "measure speed and contention on this MongoDB"),
    "doctor": Command("Care", "look for all that loses jobs or lets them stick, and say what to do"),
    "import": Command("Care", "carry over the jobs of another system", "jobpool.cli.importing"),
    "completion": Command("Care", "print what a shell needs to complete commands and options"),
}

OK, FAILED, USAGE, UNREACHABLE, NOTHING, INTERRUPTED = 0, 1, 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    0 ok, 1 failed, 2 usage, 3 MongoDB unreachable, 4 nothing matched, 130 interrupted.
    """
    from .terminal.streams import left, prepare

    prepare()
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # or the interpreter says at its end that nobody reads it
        return code
    except BrokenPipeError:  # who reads has seen enough, as head has
        left()
        return OK
    except OSError as error:  # a full disk, or a file that cannot be read
        left()
        text, code = str(error), FAILED
    except KeyboardInterrupt:
        text, code = "interrupted", INTERRUPTED
    print(f"jobpool: {text}", file=sys.stderr)
    return code


def _run(arguments: list[str]) -> int:
    """Run a command; what it refuses is told in one line."""
    from .parser import module_of, parser_for

    parser = parser_for(arguments)
    args = parser.parse_args(arguments)
    if not args.command:
        parser.print_help()
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
        done: int = module_of(args.command).run(args)
        return done
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
    from .terminal.words import clean

    voice(getattr(args, "log_format", "text"), logging.ERROR)(f"jobpool: {clean(' '.join(text.splitlines()))}")
    return code
