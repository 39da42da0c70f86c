"""Changes of jobs as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .jobs import data, progress, short
from .screen import STYLES, console, width
from .words import cells, clean, cut, duration, one_line

if TYPE_CHECKING:
    from ...changes import Change
    from ...job import JobError

#: Kinds whose names are none to read.
_NAMES = {"cancel_requested": "asked to end"}
#: As wide as the longest of them.
KIND, LONGEST_TYPE = 12, 24
#: A job that is due so many seconds after its creation is due at once.
AT_ONCE = 0.1


class Lines:
    """Makes a line of each change. On a terminal it has one row and colours, elsewhere nothing is cut.

    Fields: `_type`, the width of the types so far. Threads: one.
    """

    def __init__(self, *, data: bool) -> None:
        self._data = data
        self._width = width()
        self._type = 4
        self._colours = self._known_colours()

    def line(self, change: Change) -> str:
        """Return the line."""
        time = f"{change.at:%Y-%m-%dT%H:%M:%S}.{change.at.microsecond // 1000:03}Z"
        kind = f"{_NAMES.get(change.kind, change.kind):<{KIND}}"
        type = clean(change.type or "-")
        self._type = min(LONGEST_TYPE, max(self._type, cells(type)))
        id = clean(change.id if self._width is None else short(change.id))
        rest = f"{type}{' ' * (self._type - cells(type))}  {id}  {clean(said(change))}"
        if self._data and change.state is not None:
            rest = f"{rest}  {clean(data(change.data))}"
        if self._width is None:
            return f"{time}  {kind}  {rest}".rstrip()
        head = time[11:19]
        room = self._width - len(head) - KIND - 4
        shown = cut(rest.rstrip(), max(room, 1))
        before, after = self._colours.get(change.kind, ("", ""))
        return f"{head}  {before}{kind}{after}  {shown}"

    def _known_colours(self) -> dict[str, tuple[str, str]]:
        """Return what stands before and after each kind: rich would take as long for a line as all else."""
        terminal = console()
        if terminal is None or terminal.no_color or terminal.color_system is None:
            return {}
        from rich.color import ColorSystem
        from rich.style import Style

        found = {}
        for kind, style in {**STYLES, **_STYLES}.items():
            before, _, after = Style.parse(style).render("|", color_system=ColorSystem.STANDARD).partition("|")
            found[kind] = (before, after)
        return found


_STYLES = {
    "created": "cyan",
    "ready": "cyan",
    "started": "yellow",
    "claimed": "dim",
    "retry": "red",
    "revived": "cyan",
    "cancel_requested": "magenta",
    "removed": "dim",
    "progress": "dim",
}


def said(change: Change) -> str:
    """Return what a change says besides: ``took 0.2s, again in 5s, ValueError: no``."""
    parts = [_attempt(change), _due(change)]
    if change.progress is not None:
        parts.append(progress(change.progress))
    parts.append(_error(change.error) if change.error else change.reason or "")
    return ", ".join(part for part in parts if part)


def _error(error: JobError) -> str:
    return f"{error.type}: {one_line(error.message)}".removesuffix(": ")


def _attempt(change: Change) -> str:
    if change.kind == "claimed":
        return f"by {change.pool}"
    if change.kind == "started":
        number = f"attempt {change.attempt} " if change.attempt and change.attempt > 1 else ""
        return f"{number}by {change.pool}" if change.pool else number.rstrip()
    return "" if change.seconds is None else f"took {duration(change.seconds)}"


def _due(change: Change) -> str:
    if change.run_at is None or change.state == "waiting":
        return ""
    later = (change.run_at - change.at).total_seconds()
    if change.kind in ("retry", "snoozed"):
        return f"again in {duration(max(later, 0))}"
    return f"due in {duration(later)}" if later > AT_ONCE else ""
