"""Tables and lines. With rich on a terminal they have colours and fit its width; in a pipe nothing is cut.

``NO_COLOR`` (https://no-color.org) leaves the colours out.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...phrases import SILENT
from .words import cells as places
from .words import clean, cut

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Colours of states, of what doctors find, and of what pools and types are about.
STYLES = {
    "pending": "cyan",
    "waiting": "blue",
    "claimed": "yellow",
    "running": "bold yellow",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "ok": "green",
    "warning": "yellow",
    "problem": "bold red",
    "skipped": "dim",
    "paused": "yellow",
    "draining": "yellow",
    "dead": "bold red",
    SILENT: "bold red",
    "nobody runs it": "bold red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        right: Whether its values stand at its right, as numbers do.
        optional: Whether it is left out where a terminal is too narrow; the last optional one goes first.
        least: Characters that it keeps at the least when others need room.
        room: With so many it is shown, though it be cut; with less, and others in need, it is left out.
    """

    name: str
    right: bool = False
    optional: bool = False
    least: int = 6
    room: int = 24


#: Between two columns.
GAP = 2


def say(text: str) -> None:
    """Write a line to stderr, or several: what is not the answer itself. It may hold foreign texts."""
    print("\n".join(map(clean, text.split("\n"))), file=sys.stderr, flush=True)


def write(text: str = "") -> None:
    """Write a line of the answer to stdout, as it is."""
    print(text)


def console(*, stderr: bool = False) -> Console | None:
    """Return rich's console if rich is there and a terminal reads it, else None."""
    if not (sys.stderr if stderr else sys.stdout).isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(stderr=stderr, highlight=False, emoji=False, markup=False)


def width() -> int | None:
    """Return how many characters a line of stdout has; None if no terminal reads it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(columns: Sequence[Column | str], rows: Iterable[Sequence[object]], *, header: bool = True) -> None:
    """Write a table to stdout, or a further part of one, without its header; its values may be foreign texts."""
    named = [Column(one) if isinstance(one, str) else one for one in columns]
    cells = [[clean(value) for value in row] for row in rows]
    terminal = console()
    if terminal is not None:
        made = rich_table(named, cells, terminal.width)
        made.show_header = header
        terminal.print(made)
        return
    room = width()
    if room is not None:  # without rich
        named, cells, widths = fitting(named, cells, room)
        cells = [[cut(cell, most) for cell, most in zip(row, widths, strict=True)] for row in cells]
        named = [replace(one, name=cut(one.name, most)) for one, most in zip(named, widths, strict=True)]
    for row in plain_rows(named, cells)[0 if header else 1 :]:
        write(row)


def plain_rows(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, aligned."""
    widths = _widths(columns, cells)
    lines = [[one.name.upper() for one in columns], *cells]
    return [
        (" " * GAP)
        .join(
            _padded(cell, width, right=one.right) for one, cell, width in zip(columns, line, widths, strict=True)
        )
        .rstrip()
        for line in lines
    ]


def rich_table(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> Table:
    """Return the table for a terminal of `width` characters: what has no room is left out, or cut."""
    from rich.table import Table
    from rich.text import Text

    columns, cells, widths = fitting(columns, cells, width)
    made = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold", pad_edge=False)
    for one, most in zip(columns, widths, strict=True):
        justify: Any = "right" if one.right else "left"
        made.add_column(one.name.upper(), justify=justify, no_wrap=True, overflow="ellipsis", width=most)
    for row in cells:
        made.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    return made


def _style(cell: str) -> str:
    return STYLES.get(SILENT if cell.startswith(SILENT) else cell, "")


def fitting(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int
) -> tuple[list[Column], list[list[str]], list[int]]:
    """Return the columns for which there is room, the optional ones only as far as the others have theirs.

    Returns: The columns, the cells, and how wide each column is; what is wider is to be cut.
    """
    kept = list(range(len(columns)))
    widths = _widths(columns, cells)

    def needed() -> int:
        wanted = (
            widths[n] if columns[n].right else min(widths[n], max(columns[n].least, columns[n].room)) for n in kept
        )
        return sum(wanted) + GAP * (len(kept) - 1)

    for index in reversed(range(len(columns))):
        if needed() > width and columns[index].optional:
            kept.remove(index)
    left = [columns[n] for n in kept]
    room = width - GAP * (len(kept) - 1)
    return left, [[row[n] for n in kept] for row in cells], _shrunk(left, [widths[n] for n in kept], room)


def _shrunk(columns: Sequence[Column], widths: list[int], room: int) -> list[int]:
    """Return widths that fit into `room` together: the widest column gives first, down to its least."""
    widths = widths[:]
    least = [width if one.right else min(width, one.least) for one, width in zip(columns, widths, strict=True)]
    while (over := sum(widths) - room) > 0:
        giving = [n for n in range(len(widths)) if widths[n] > least[n]]
        if not giving:  # it is cut by the terminal
            break
        widest = max(giving, key=lambda n: widths[n])
        next_widest = max((widths[n] for n in giving if widths[n] < widths[widest]), default=0)
        widths[widest] = max(widths[widest] - over, least[widest], min(next_widest, widths[widest] - 1))
    return widths


def _padded(text: str, width: int, *, right: bool) -> str:
    room = " " * (width - places(text))
    return room + text if right else text + room


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    rows = [[one.name for one in columns], *cells]
    return [max(places(row[n]) for row in rows) for n in range(len(columns))]


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Write names and values to stdout, one a line, those of None left out."""
    shown = [(name, clean(value)) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    terminal = console()
    for name, value in shown:
        if terminal is None:
            write(f"{name:<{width}}  {value}")
        else:
            terminal.print(_line(name, value, width), soft_wrap=True)


def _line(name: str, value: str, width: int) -> Any:
    from rich.text import Text

    return Text.assemble((f"{name:<{width}}", "bold"), "  ", (value, STYLES.get(value, "")))
