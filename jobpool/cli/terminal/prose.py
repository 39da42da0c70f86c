"""Sentences: wrapped at words on a terminal, in one line elsewhere."""

from __future__ import annotations

import textwrap

from .screen import console, width, write
from .words import clean

#: Lines of prose are no longer than the first, however wide the terminal is, and no shorter than the second.
WIDEST, NARROWEST = 100, 20


def paragraph(text: str, *, indent: str = "", style: str = "", hanging: int = 0, bold: bool = False) -> None:
    """Write a sentence to stdout, which may hold foreign texts; its lines after the first begin as far in.

    Args:
        indent: What stands before it, in that `style`.
        hanging: How much further in its lines after the first begin.
    """
    line, room = clean(text), width()
    if room is not None:
        line = textwrap.fill(
            line,
            max(NARROWEST, min(room, WIDEST)),
            initial_indent=" " * len(indent),
            subsequent_indent=" " * (len(indent) + hanging),
            break_on_hyphens=False,
            break_long_words=False,  # an id is to be copied
        )[len(indent) :]
    terminal = console()
    if terminal is None:
        write(f"{indent}{line}")
        return
    from rich.text import Text

    terminal.print(Text.assemble((indent, style), (line, "bold" if bold else "")), soft_wrap=True)
