"""Finding the jobs meant, and those of them that can be changed, before anything is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..terminal.progress import Progress
from .operation import Operation

if TYPE_CHECKING:
    from ...manager import JobManager


@dataclass
class Found:
    """The jobs meant, as they were when they were looked at.

    Attributes:
        ids: Those that can be changed; some 120 MB of memory for a million of them.
        counts: How many these are, by state and type.
        kinds: How many, by what they are in words.
        unable: How many others were meant by filters, by state.
        named: Whether ids were given.
        other: Of ids that were named: the state of each job that cannot be changed, None if there is none.
    """

    ids: list[str] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    unable: Counter[str] = field(default_factory=Counter)
    named: bool = False
    other: dict[str, str | None] = field(default_factory=dict)


def look(manager: JobManager, operation: Operation, selected: Mapping[str, Any], named: Sequence[str]) -> Found:
    """Find them."""
    found = Found(named=bool(named))
    selection = dict(selected)
    if named:
        selection["ids"] = named
    if operation.states is not None:
        selection.setdefault("state", operation.states)
    with Progress("counting") as progress:
        for page in manager.pages(**operation.look, **selection):
            able = [brief for brief in page if operation.able(brief)]
            found.ids += [brief.id for brief in able]
            found.counts.update((brief.state.value, brief.type) for brief in able)
            found.kinds.update(map(operation.kind, able))
            if not named and len(able) < len(page):
                found.unable.update(brief.state.value for brief in page if not operation.able(brief))
            progress.advance(len(page))
    if len(found.ids) < len(named):
        changeable = set(found.ids)
        rest = [id for id in named if id not in changeable]
        found.other = dict.fromkeys(rest)
        for page in manager.pages(ids=rest):
            found.other |= {brief.id: brief.state.value for brief in page}
    return found
