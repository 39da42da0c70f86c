"""``jobpool help``: all about a command, as a page of a manual."""

from __future__ import annotations

import argparse
import inspect
import re
from functools import partial
from textwrap import dedent

from . import COMMANDS, OK

EXAMPLES = """examples:
  jobpool help             what there is
  jobpool help worker      all about a command
  jobpool help worker | cat    in a pipe it is shown as it is
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the argument."""
    parser.add_argument(
        "about", nargs="?", metavar="COMMAND", help="about which one; about jobpool itself if none"
    )


def run(args: argparse.Namespace) -> int:
    """Show the page, with a pager on a terminal."""
    from .overview import overview
    from .parser import parser_for
    from .terminal.pager import page

    if args.about is None:
        page(overview())
        return OK
    command = [args.about]
    parser_for(command)  # one that is none ends here
    page(manual(args.about))
    return OK


def manual(name: str) -> str:
    """Return the page of a command."""
    from .options import environment as variables
    from .overview import EXIT_CODES, environment, pairs, prose
    from .parser import module_of, parser_for, subparsers

    variables.asked.clear()
    parser = dict(subparsers(parser_for([name])))[name]
    module = module_of(name)
    parts = [
        ("NAME", prose(f"jobpool {name} - {COMMANDS[name].purpose}")),
        (
            "SYNOPSIS",
            _indented(re.sub(r"^(usage: | {7})", "", _narrow(parser, 2).format_usage(), flags=re.MULTILINE)),
        ),
        ("DESCRIPTION", _description(inspect.getdoc(module) or "")),
        ("OPTIONS", _options(parser)),
        ("EXAMPLES", _indented(dedent((parser.epilog or "").removeprefix("examples:").strip("\n")))),
        ("ENVIRONMENT", pairs(environment(_named_in(parser) | variables.asked), longest=28)),
        ("EXIT CODES", pairs((str(code), text) for code, text in EXIT_CODES.items())),
    ]
    from .terminal.pager import bold

    return "\n\n".join(f"{bold(heading)}\n{body}" for heading, body in parts if body.strip()) + "\n"


def _description(text: str) -> str:
    """Return the docstring of a module as paragraphs of plain text: lists stay lists."""
    from .overview import prose

    text = re.sub(r"``?([^`]+)``?", r"\1", text)
    first, _, rest = text.partition("\n\n")
    blocks = [re.sub(r"^jobpool [^:]*: ", "", first, flags=re.DOTALL), *re.split(r"\n\s*\n", rest)]
    shown = [block for block in blocks if block.strip()]
    return "\n\n".join(
        _indented(block) if re.search(r"^(\s|\*|-)", block, re.MULTILINE) else prose(block[0].upper() + block[1:])
        for block in shown
    )


def _options(parser: argparse.ArgumentParser, depth: int = 1) -> str:
    """Return the part of the help that lists arguments and options, and those of actions below."""
    from .overview import prose
    from .parser import subparsers

    listed = argparse.ArgumentParser.format_help(_narrow(parser, 2 * depth)).partition("\n\n")[
        2
    ]  # behind the usage
    if parser.description:
        listed = listed.partition("\n\n")[2]
    if parser.epilog:
        listed = listed.rpartition("\nexamples:")[0]
    alike: dict[str, list[str]] = {}
    for _, inner in subparsers(parser):
        alike.setdefault(_options(inner, depth + 1), []).append(inner.prog)
    parts = [_indented(listed.rstrip("\n"))]
    parts += [f"{prose(', '.join(names))}\n{_indented(text)}" for text, names in alike.items()]
    return "\n\n".join(parts)


def _narrow(parser: argparse.ArgumentParser, indent: int) -> argparse.ArgumentParser:
    """Have the help of a parser leave room for an indent."""
    from .overview import width
    from .parser import Formatter

    parser.formatter_class = partial(Formatter, width=width() - indent)
    return parser


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.rstrip().splitlines())


def _named_in(parser: argparse.ArgumentParser) -> set[str]:
    """Return the variables that the help of a parser names, and of those below it."""
    from .parser import subparsers

    named = set(re.findall(r"\$JOBPOOL_([A-Z_]+)", parser.format_help()))
    return named.union(*(_named_in(inner) for _, inner in subparsers(parser)))
