"""What is paused and what that holds, for those who pause and resume."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .. import OK
from . import facts, jsons
from .screen import Column, say, table, write
from .words import one_line

if TYPE_CHECKING:
    from ...backlog import Backlog
    from ...manager import JobManager
    from ...overview import TypeOverview
    from ...pauses import Paused


@dataclass(frozen=True, slots=True)
class Steered:
    """What is paused, and what was counted then.

    Attributes:
        paused: What is paused.
        at: When it was looked: by the server's clock, or this machine's if it did not answer.
        backlog: What was counted; None if it could not be.
        unknown: Why it could not.
    """

    paused: Paused
    at: datetime
    backlog: Backlog | None
    unknown: str = ""


def look(manager: JobManager, paused: Paused, *, done: bool = False) -> Steered:
    """Count the jobs; that this fails is no failure.

    Args:
        done: Something was changed just now. It stands, and is told, also if somebody breaks off the count.
    """
    from ...errors import StoreError
    from ...store.driver import run

    at = datetime.now(UTC)
    try:
        at = run(manager.store.now())
        counted = manager.backlog()
    except StoreError as error:
        return Steered(paused, at, None, one_line(error))
    except KeyboardInterrupt:
        if not done:
            raise
        return Steered(paused, at, None, "interrupted")
    return Steered(paused, counted.at, counted)


def types_in(steered: Steered) -> tuple[TypeOverview, ...]:
    """Return the types that were counted; the pools alive have told which of them are aliases."""
    from ...overview import types_of

    counted = steered.backlog
    return () if counted is None else types_of(counted, counted.pools, steered.paused)


def due_of(steered: Steered) -> dict[str, int]:
    """Return by type how many due jobs are held by pauses."""
    return {one.type: one.due for one in types_in(steered) if one.due and one.paused}


def show_pauses(manager: JobManager, args: argparse.Namespace, hint: str) -> int:
    """Show what is paused, and how one pauses or resumes."""
    show(args, look(manager, manager.paused()))
    say(hint)
    return OK


def show(args: argparse.Namespace, steered: Steered) -> None:
    """Write what is paused, with the due jobs that this holds."""
    due = due_of(steered)
    if args.json:
        held = None if steered.backlog is None else due
        write(
            jsons.whole({"everything": steered.paused.everything, "types": steered.paused.types, "due_held": held})
        )
        return
    if not steered.paused:
        write("nothing is paused")
        return
    rows = facts.paused_rows(steered.paused, steered.at)
    columns = [Column("paused", least=12), Column("since"), Column("due jobs", right=True), Column("reason")]
    table(columns, [(name, since, _due(name, due, steered), reason) for name, since, reason in rows])


def _due(name: str, due: dict[str, int], steered: Steered) -> str:
    if steered.backlog is None:
        return "-"
    everything = steered.paused.everything is not None and name == facts.EVERYTHING
    if everything:
        return f"{sum(due.values()):,}"
    return f"{sum(due.get(one.type, 0) for one in types_in(steered) if name in (one.type, one.alias_of)):,}"
