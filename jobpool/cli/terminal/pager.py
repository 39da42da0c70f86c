"""Long texts: page by page on a terminal, as they are elsewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys


def page(text: str) -> None:
    """Show a text with ``$PAGER``, else less; at once if it fits on the screen, or goes to a pipe."""
    size = shutil.get_terminal_size()
    tall = sum(1 + len(plain(line)) // max(size.columns, 1) for line in text.splitlines())
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or tall < size.lines or not _paged(text):
        sys.stdout.write(text)


def bold(text: str) -> str:
    """Return a heading as terminals show it."""
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[1m{text}\x1b[0m" if colours else text


def plain(text: str) -> str:
    """Return a text without what `bold` adds."""
    return re.sub("\x1b\\[[01]m", "", text)


def _paged(text: str) -> bool:
    """Show it page by page; return whether that could be done."""
    named = os.environ.get("PAGER", "less")
    environment = {"LESS": "FRX", **os.environ}
    try:
        command = shlex.split(named)
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, text=True, errors="replace")
    except (OSError, ValueError, IndexError):  # there is none, or it is no command
        return False
    try:
        pager.communicate(text if command[0].endswith("less") else plain(text))
    except BrokenPipeError:  # who reads has seen enough
        pass
    except KeyboardInterrupt:  # less takes it as a wish of its own, and goes on
        pager.wait()
    return True
