"""Sentences: wrapped at words on a terminal, in one line elsewhere."""

from __future__ import annotations

import shutil
import sys
import textwrap

from .screen import console, write
from .words import clean

#: Lines of prose are no longer than this, however wide the terminal is.
WIDEST = 100


def paragraph(text: str, *, indent: str = "", bold: bool = False) -> None:
    """Write a sentence to stdout, which may hold foreign texts; its lines after the first begin as far in."""
    line = clean(text)
    if not sys.stdout.isatty():
        write(f"{indent}{line}")
        return
    width = max(20, min(shutil.get_terminal_size().columns, WIDEST))
    wrapped = textwrap.fill(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_on_hyphens=False,
        break_long_words=False,  # an id is to be copied
    )
    terminal = console()
    if terminal is None:
        write(wrapped)
    else:
        terminal.print(wrapped, style="bold" if bold else "", soft_wrap=True)
