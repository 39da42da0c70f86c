"""What the demo shows: with rich if it is installed, else as plain text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any


class Screen:
    """Lines and tables on stdout, a progress bar on stderr. In a pipe it is plain text, and nothing is cut."""

    def __init__(self) -> None:
        self._console = _console()

    def say(self, text: str) -> None:
        """Print a line."""
        if self._console is None:
            print(text, flush=True)
        else:
            self._console.print(text, soft_wrap=True, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table."""
        self.say(f"\n{title}")
        if self._console is None:
            lines = [list(columns), *([str(cell) for cell in row] for row in rows)]
            widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
            for line in lines:
                cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
                print(f"  {'  '.join(cells)}".rstrip())
            return
        from rich.table import Table

        table = Table(*columns)
        for row in rows:
            table.add_row(*map(str, row))
        self._console.print(table)

    def follow(self, title: str, total: int, done: Callable[[], int], pause: Callable[[], object]) -> None:
        """Show how `done` approaches `total`, calling `pause` between two looks."""
        console = _console(stderr=True)
        if console is None:
            self._follow_plainly(title, total, done, pause)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(title, total=total)
            while (now := done()) < total:
                progress.update(task, completed=now)
                pause()
            progress.update(task, completed=total)

    def _follow_plainly(
        self, title: str, total: int, done: Callable[[], int], pause: Callable[[], object]
    ) -> None:
        shown = -1
        while (now := done()) < total:
            if now * 10 // total > shown:
                shown = now * 10 // total
                print(f"{title}: {now} of {total}", file=sys.stderr, flush=True)
            pause()
        print(f"{title}: {total} of {total}", file=sys.stderr, flush=True)


def _console(*, stderr: bool = False) -> Any:
    """Return rich's console if rich is there and a terminal reads it, else None."""
    if not (sys.stderr if stderr else sys.stdout).isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(stderr=stderr, highlight=False)
