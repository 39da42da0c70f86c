"""Options that can be given in the environment as well: ``--lease`` is ``$JOBPOOL_LEASE``."""

from __future__ import annotations

import argparse
import os
from typing import Any

PREFIX = "JOBPOOL_"

#: All variables, without the prefix, in the order of the help; `jobpool help` shows those that a command takes.
VARIABLES = {
    "URI": "where MongoDB is, mongodb://HOST/DATABASE (default: mongodb://localhost:27017)",
    "DATABASE": "the database of the jobs",
    "COLLECTION": "the collection of the jobs (default: jobs)",
    "MANAGER": "a JobManager of yours, MODULE:MANAGER",
    "TIMEOUT": "seconds after which a call to MongoDB is given up (default: 5)",
    "LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR (default: INFO)",
    "LOG_FORMAT": "text or json (default: text)",
    "NAME": "name of a worker's pool in logs and metrics",
    "THREADS": "threads of a worker",
    "LEASE": "seconds for which a claim is good without a sign of life",
    "LONGEST_RUN": "seconds after which the lease of a running job is not extended any more",
    "STUCK_AFTER": "seconds after which the stack of a running executor is logged",
    "MAX_STUCK": "threads to replace whose executors do not end at their timeout",
    "DRAIN_TIMEOUT": "seconds for which the first signal waits for running jobs (default: 30)",
    "METRICS_PORT": "port on which a worker answers scrapes",
    "METRICS_ADDR": "local address for that (default: 127.0.0.1)",
    "METRICS_TLS_CERT": "file of the certificate chain with which scrapes are answered by TLS",
    "METRICS_TLS_KEY": "file of its key",
    "METRICS_USER": "name that a scrape has to give",
    "METRICS_PASSWORD": "password that a scrape has to give",
    "METRICS_PASSWORD_FILE": "file whose first line is that password",
    "MONGOD": "the binary of the embedded server",
    "FROM_URI": "where the jobs to be imported are (default: where they go)",
}

#: The names asked for so far, for the help of a command.
asked: set[str] = set()


def from_environment(name: str, default: str | None = None) -> str | None:
    """Return ``$JOBPOOL_<name>``, the default of the option of that name."""
    asked.add(name)
    return os.environ.get(f"{PREFIX}{name}", default)


def add_option(
    parser: argparse._ActionsContainer,
    *names: str,
    help: str = "",
    default: str | None = None,
    otherwise: str | None = None,
    **more: Any,
) -> None:
    """Declare an option, or an argument, that can be given in the environment as well.

    Args:
        names: Of the option; the longest is the variable's as well.
        help: Without the variable, which is told behind it.
        otherwise: What is taken if neither is given, in words; None if those are `default`.
        more: As of `add_argument`.
    """
    name = max(names, key=len).lstrip("-").replace("-", "_").upper()
    left = default if otherwise is None else otherwise
    where = f"(${PREFIX}{name})" if left is None else f"(${PREFIX}{name}, else {left})"
    asked.add(name)
    given = os.environ.get(f"{PREFIX}{name}", default)
    parser.add_argument(*names, default=given, help=f"{help} {where}".lstrip(), **more)
