"""What `jobpool --help` shows: the commands under their headings, first steps, the environment, the exit codes."""

from __future__ import annotations

import platform
import shutil
import textwrap
from collections.abc import Iterable

from . import COMMANDS, HEADINGS
from .options.environment import PREFIX, VARIABLES
from .terminal.prose import WIDEST

WHERE = """\
Most commands look at one collection of jobs: --uri URI says where MongoDB is, -d/--database NAME and \
--collection NAME which one; or -m/--manager MODULE:MANAGER takes a JobManager of yours, \
with what it knows of its executors. All of them can be in the environment."""

FIRST_STEPS = (
    ("jobpool demo --quick", "see it work; no MongoDB is needed"),
    ("export JOBPOOL_URI=mongodb://localhost/shop", "say where the jobs are"),
    ("jobpool worker myapp.jobs:manager", "run the jobs of your manager"),
    ("jobpool help COMMAND", "all about a command, with examples"),
)

EXIT_CODES = {
    0: "ok",
    1: "failed: something was not done, or a check found a problem",
    2: "usage: an option or a value is wrong; nothing was done",
    3: "MongoDB cannot be reached, or did not answer in time",
    4: "nothing matched",
    130: "interrupted by Ctrl-C",
}

#: Those that nearly all commands take.
COMMON = ("URI", "DATABASE", "COLLECTION", "MANAGER", "TIMEOUT")
#: Variables of others that jobpool goes by.
OTHERS = {"NO_COLOR": "no colours, if it is set", "PAGER": "what shows long help (default: less)"}


def overview() -> str:
    """Return the help of `jobpool` itself."""
    parts = [
        "usage: jobpool COMMAND [OPTION ...]\n       jobpool help [COMMAND]\n       jobpool --version",
        "A job manager for Python on MongoDB.",
        *(_commands(heading) for heading in HEADINGS if any(one.heading == heading for one in COMMANDS.values())),
        section("Where the jobs are", prose(WHERE)),
        section("First steps", pairs(FIRST_STEPS, longest=44)),
        section("Environment", _environment()),
        section("Exit codes", pairs((str(code), text) for code, text in EXIT_CODES.items())),
    ]
    return "\n\n".join(parts) + "\n"


def versions() -> str:
    """Return the versions of jobpool, PyMongo and Python in one line."""
    from importlib.metadata import PackageNotFoundError, version

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "of unknown version"

    return f"jobpool {of('jobpool')} (PyMongo {of('pymongo')}, Python {platform.python_version()})"


def environment(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the variables of these names, and those that any command goes by, with what they mean."""
    ours = [(f"{PREFIX}{name}", text) for name, text in VARIABLES.items() if name in set(names)]
    return [*ours, *OTHERS.items()]


def width() -> int:
    """Return how many characters a line of help may have."""
    return max(min(shutil.get_terminal_size().columns, WIDEST) - 2, 30)


def section(heading: str, body: str) -> str:
    """Return a part of the help."""
    return f"{heading}\n{body}"


def prose(text: str, indent: str = "  ") -> str:
    """Return a paragraph, wrapped."""
    return textwrap.fill(text, width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def pairs(items: Iterable[tuple[str, str]], longest: int = 24, column: int = 0) -> str:
    """Return names with what they mean, side by side where there is room, else one above the other."""
    listed = list(items)
    column = column or min(max(len(name) for name, _ in listed), longest) + 4
    beside = width() - column >= 24
    lines: list[str] = []
    for name, text in listed:
        if not beside or len(name) + 4 > column:
            lines += [f"  {name}", prose(text, " " * (column if beside else 6))]
        else:
            lines.append(prose(text, " " * column).replace(" " * column, f"  {name}".ljust(column), 1))
    return "\n".join(lines)


def _environment() -> str:
    """Return the variables that many commands take with what they mean, the others by name."""
    most = pairs(environment(COMMON), longest=28)
    others = ", ".join(f"{PREFIX}{name}" for name in VARIABLES if name not in COMMON)
    return f"{most}\n{prose(f'of single commands, see jobpool help COMMAND: {others}')}"


def _commands(heading: str) -> str:
    named = ((name, purpose) for name, (under, purpose, _) in COMMANDS.items() if under == heading)
    return section(heading, pairs(named, column=max(map(len, COMMANDS)) + 4))
