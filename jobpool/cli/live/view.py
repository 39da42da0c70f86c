"""The full-screen view: draws what is known, hears keys and signals, and leaves the terminal as it was."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..signals import Interrupts
from ..terminal.screen import rich_table
from ..terminal.words import clean, several
from .drawing import HELP, fitted, flowed, header
from .keys import Keys
from .rows import ORDERS, sections

if TYPE_CHECKING:
    from rich.console import Console

    from .looker import Looker

#: Seconds between two looks at keys and signals, and between two pictures if nothing happens.
TICK, STALE = 0.1, 1.0
KEYS = ("q quit", "p freeze", "s sort", "? help")
NO_KEYS = ("Ctrl-C ends it",)


class View:
    """Shows what a `Looker` knows until somebody ends it.

    Threads: the main one. `_suspended` is set by a signal handler.
    """

    def __init__(self, console: Console, looker: Looker, interrupts: Interrupts) -> None:
        self._console, self._looker, self._interrupts = console, looker, interrupts
        self._suspended = threading.Event()
        self._orders = list(ORDERS)
        self._keys: tuple[str, ...] = KEYS
        self._helping = False
        self._ended = False

    def show(self) -> bool:
        """Show it; return whether a key ended it, and not a signal."""
        from rich.live import Live

        before = signal.signal(signal.SIGTSTP, self._suspend)
        live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)
        try:
            with Keys() as keys, live:
                self._follow(live, keys)
        finally:
            signal.signal(signal.SIGTSTP, before)
        return not self._interrupts.asked.is_set()

    def _follow(self, live: Any, keys: Keys) -> None:
        drawn, size = 0.0, self._console.size
        self._keys = KEYS if keys.heard else NO_KEYS
        while not (self._ended or self._interrupts.asked.is_set()):
            news = self._looker.news.is_set()
            if news or time.monotonic() - drawn >= STALE or self._console.size != size:
                self._looker.news.clear()
                drawn, size = time.monotonic(), self._console.size
                live.update(self._picture(), refresh=True)
            typed = keys.wait(TICK)
            for key in typed:
                self._heard(key)
            if typed:
                drawn = 0.0
            if self._suspended.is_set():
                self._sleep(live, keys)
                drawn = 0.0

    def _heard(self, key: str) -> None:
        if key in ("?", "h") or self._helping:
            self._helping = not self._helping
        elif key == "p":
            self._looker.freeze()
        elif key == "s":
            self._orders.append(self._orders.pop(0))
        if key in ("q", "Q", "\x04"):
            self._ended = True

    def _picture(self) -> Any:
        """Return what is to be seen now, in as many lines as there are."""
        from rich.console import Group
        from rich.text import Text

        width, height = self._console.size
        frame = self._looker.shown()
        if self._helping or frame is None:
            return Group(*(Text(line, overflow="ellipsis", no_wrap=True) for line in HELP.splitlines()))
        lines = header(frame, width)[: max(1, height - 1)]
        parts: list[Any] = [_line(line) for line in lines]
        parts[0].stylize("bold")
        shown = fitted(sections(frame, self._orders[0]), height - len(lines) - 2)
        for section in shown:
            parts.append(Text(""))
            cells = [[clean(value) for value in row] for row in section.rows]
            parts.append(rich_table(section.columns, cells, width))
        used = len(lines) + sum(2 + len(section.rows) for section in shown)
        parts += [Text("")] * (height - used - 1)
        if height > 1:
            parts.append(self._footer(width, sum(section.left_out for section in shown)))
        return Group(*parts)

    def _footer(self, width: int, left_out: int) -> Any:
        from rich.text import Text

        state = [
            f"sorted by {self._orders[0]}",
            several(left_out, "more row") if left_out else "",
        ]
        if self._looker.frozen:
            state.insert(0, "FROZEN")
        return Text(
            flowed([*self._keys, *filter(None, state)], width)[0], style="dim", no_wrap=True, overflow="ellipsis"
        )

    def _suspend(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._suspended.set()

    def _sleep(self, live: Any, keys: Keys) -> None:
        """Give the terminal back for as long as this process is stopped, as by Ctrl-Z."""
        self._suspended.clear()
        live.stop()
        keys.restore()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        keys.listen()
        live.start()


def _line(text: str) -> Any:
    from rich.text import Text

    loud = text.startswith(("UNREACHABLE", "PAUSED", "NO ANSWER", "NOT COUNTED"))
    return Text(text, style="bold red" if loud else "", no_wrap=True, overflow="ellipsis")
