"""The parser: errors in one line that say what was meant, help that fits the terminal.

Only of the command that is meant the options are known, and its module is
loaded: the others cost nothing. `full_parser` knows all, for completion.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from . import COMMANDS, USAGE
from .terminal.words import clean

_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>.*)\)$", re.DOTALL)
_UNKNOWN = "unrecognized arguments: "
#: Of a URI that stands where it does not belong: what is said of it may end up in a log.
_LOGIN = re.compile(r"://\S*@")
#: Options that need no command.
_FIRST = ("-h", "--help", "--version")
_REQUIRED = "the following arguments are required"


class Formatter(argparse.HelpFormatter):
    """Wraps what is prose, and leaves examples as they are: they are to be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return "\n".join(f"{indent}{line}".rstrip() for line in text.splitlines())
        return super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line. Options are not abbreviated: new ones would change what is meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Formatter, "allow_abbrev": False, **options})
        self._positionals.title = "arguments"
        self.color = False  # of newer Pythons: help goes to pagers as well

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, what was probably meant and where the options are, and end with 2."""
        command = self.prog.partition(" ")[2]
        if message.startswith(_UNKNOWN):
            command, message = self._unknown(message.removeprefix(_UNKNOWN), command)
        elif found := _CHOICE.search(message):
            message += meant(found["given"], re.findall(r"[\w-]+", found["known"]))
        elif message.startswith(_REQUIRED) and (known := [name for name, _ in subparsers(self)]):
            message += f", one of {', '.join(known)}"
        where = f"{command}: " if command else ""
        see = f"jobpool {command} --help" if command else "jobpool --help"
        said = clean(_LOGIN.sub("://***@", " ".join(message.split())))
        self.exit(USAGE, f"jobpool: {where}{said}{' See' if said.endswith('?') else '; see'} {see}\n")

    def _unknown(self, given: str, command: str) -> tuple[str, str]:
        """Return the command and the message for what it does not take."""
        parser: argparse.ArgumentParser = self
        for name, inner in subparsers(self):
            if inner.get_default(MEANT):
                command, parser = name, inner
        first = next((word for word in given.split() if word.startswith("-")), None)
        if first is None:
            return command, f"{given[:80]!r} is too much"
        option = first.partition("=")[0]
        return command, f"there is no option {option[:60]}{meant(option, options(parser))}"


#: A default of the parser of the command that is meant.
MEANT = "is_meant"


def meant(given: str, known: Iterable[str]) -> str:
    """Return the question whether it was one of these that was meant; empty if none is near."""
    near = get_close_matches(given, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the parsers that choices of `parser` lead to, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a parser, and of those below it."""
    for action in parser._actions:
        yield from (text for text in action.option_strings if text.startswith("--"))
    for _, inner in subparsers(parser):
        yield from options(inner)


def parser_for(arguments: Sequence[str]) -> Parser:
    """Return the parser that knows the command which `arguments` mean; one that is none ends the process."""
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    made = _made([wanted] if wanted in COMMANDS else [])
    if wanted is not None and arguments[0].startswith("-") and arguments[0] not in _FIRST:
        option = arguments[0].partition("=")[0]  # and not its value: that may be a URI with a password
        made.error(f"options come behind the command: jobpool COMMAND {option[:60]} ...")
    if wanted is not None and wanted not in COMMANDS:
        made.error(f"there is no command {wanted[:60]!r}{meant(wanted, COMMANDS)}")
    return made


def full_parser() -> Parser:
    """Return the parser that knows all; it loads the modules of all commands."""
    return _made(COMMANDS)


def module_of(command: str) -> Any:
    """Return the module of a command."""
    return import_module(COMMANDS[command].module or f"jobpool.cli.{command}")


def _made(loaded: Iterable[str]) -> Parser:
    parser = _Overview(prog="jobpool", description="A job manager for Python on MongoDB.")
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the versions of jobpool, PyMongo and Python, and end"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, (_, purpose, _) in COMMANDS.items():
        command = add_action(commands, name, purpose)
        if name in loaded:
            module = module_of(name)
            command.epilog = getattr(module, "EXAMPLES", None)
            command.set_defaults(**{MEANT: True})
            module.add_arguments(command)
    return parser


def add_action(actions: Any, name: str, purpose: str) -> Any:
    """Add the parser of a command, or of an action below one, and return it."""
    return actions.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")


class _Overview(Parser):
    """The parser before any command: its help shows what there is."""

    def format_help(self) -> str:
        from .overview import overview

        return overview()


class _Version(argparse.Action):
    """Shows what a report of a mistake needs."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from .overview import versions

        print(versions())
        parser.exit()
