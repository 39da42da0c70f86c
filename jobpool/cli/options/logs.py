"""What a command writes to stderr: its log, and what it says itself, as text or as JSON."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from .environment import add_option

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--log-level`` and ``--log-format``."""
    add_option(
        parser,
        "--log-level",
        type=_log_level,
        metavar="LEVEL",
        help=", ".join(LEVELS),
        default="INFO",
    )
    add_option(
        parser,
        "--log-format",
        type=_log_format,  # and not choices, which a default from the environment would pass by
        metavar="text|json",
        help="json: one object a line on stderr",
        default="text",
    )


def _log_level(text: str) -> str:
    if text.upper() not in LEVELS:
        raise argparse.ArgumentTypeError(f"{text!r:.60} is none of {', '.join(LEVELS)}")
    return text.upper()


def _log_format(text: str) -> str:
    if text not in ("text", "json"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither text nor json")
    return text


def log_to_stderr(level: str, log_format: str) -> None:
    """Have this process log on stderr, every record with the job it is of."""
    from ...job_logs import JobLogFilter, JsonFormatter, TextFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(JobLogFilter())
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler])


def voice(log_format: str, level: int = logging.INFO) -> Callable[[str], None]:
    """Return what says a line to the user, whatever the log level."""
    if log_format != "json":
        return lambda text: print(text, file=sys.stderr)
    from ...job_logs import JsonFormatter

    def say(text: str) -> None:
        record = logging.LogRecord("jobpool.cli", level, __file__, 0, text, None, None)
        print(JsonFormatter().format(record), file=sys.stderr)

    return say
