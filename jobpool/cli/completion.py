"""``jobpool completion``: what a shell needs to complete commands, options, choices and file names.

The script is for this version of jobpool: print it again after an upgrade, or
have the shell ask for it each time it starts, which takes some tenths of a
second.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from . import COMMANDS, OK
from .parser import full_parser, module_of, subparsers
from .terminal.screen import say, write

EXAMPLES = """\
examples:
  source <(jobpool completion bash)    now, in this shell; in ~/.bashrc: in every one
  jobpool completion bash > ~/.local/share/bash-completion/completions/jobpool
  jobpool completion zsh > ~/.zfunc/_jobpool    a directory of $fpath
  jobpool completion fish > ~/.config/fish/completions/jobpool.fish
"""

SHELLS = ("bash", "zsh", "fish")
INSTALL = "python -m pip install 'jobpool[cli]'"

#: What stands for a file or a directory in the help.
_FILES, _DIRECTORIES = re.compile(r"\bFILE\b|\.json$"), re.compile(r"\bDIR\b")
#: A value that is one, or a file behind an @. To bash the @ is a word of its own, so there it is no help.
_MAY_BE_FILE = re.compile(r"@FILE\b")
_AT_FILE = {
    "zsh": "{compset -P @ && _files}",
    "fish": "(_jobpool_at_file)",
    "preamble": {
        "fish": """
function _jobpool_at_file
  set -l word (commandline -ct)
  if string match -q -- '@*' $word
    __fish_complete_path (string sub -s 2 -- $word) | string replace -r '^' '@'
  end
end"""
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the argument."""
    parser.add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help=f"{', '.join(SHELLS)}; for others there is none"
    )


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from ..errors import InvalidConfiguration

    try:
        import shtab
    except ImportError:
        raise InvalidConfiguration(f"completion needs the package shtab: {INSTALL}") from None
    if args.shell not in shtab.SUPPORTED_SHELLS:
        raise InvalidConfiguration(f"the shtab that is installed is too old for {args.shell}: {INSTALL} --upgrade")
    write(shtab.complete(completed(shtab.FILE, shtab.DIRECTORY), args.shell).rstrip("\n"))
    if sys.stdout.isatty():
        say(f"that is the script; `jobpool help completion` says where {args.shell} looks for it")
    return OK


def completed(files: Any, directories: Any) -> argparse.ArgumentParser:
    """Return the parser of everything, its arguments marked that name files or directories."""
    parser = full_parser()
    bench = dict(subparsers(parser)).get("bench")
    if bench is not None:
        module_of("bench").declare_all(bench)
    _mark(parser, files, directories)
    return parser


def _mark(parser: argparse.ArgumentParser, files: Any, directories: Any) -> None:
    for action in parser._actions:
        named = str(action.metavar or "")
        if action.dest == "about":
            action.choices = list(COMMANDS)
        elif _MAY_BE_FILE.search(named):
            action.complete = _AT_FILE  # type: ignore[attr-defined]
        elif _FILES.search(named):
            action.complete = files  # type: ignore[attr-defined]
        elif _DIRECTORIES.search(named):
            action.complete = directories  # type: ignore[attr-defined]
    for _, inner in subparsers(parser):
        _mark(inner, files, directories)
