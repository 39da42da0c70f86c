"""What comes of a command that changes many jobs, in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..terminal import jsons
from ..terminal.screen import Column, say, table, write
from ..terminal.words import clean, count, jobs
from .look import Found
from .operation import Operation

#: Ids that are shown of many.
SHOWN = 10
#: Ids in the JSON of those that were left.
LISTED = 1000


@dataclass(frozen=True, slots=True)
class Count:
    """How many jobs of a type were in a state."""

    state: str
    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Left:
    """A job that was named and cannot be changed; its state is None if there is no such job."""

    id: str
    state: str | None


@dataclass(slots=True, kw_only=True)
class Result:
    """The answer with ``--json``.

    Attributes:
        operation: The command.
        dry_run: Whether it only looked.
        complete: Whether it came to its end; if not, repeating it goes on.
        matched: How many jobs were meant and could be changed, before it began.
        changed: How many were.
        became: How many became what, if there are several kinds.
        counts: Those matched, by state and type.
        ids: The first of them.
        left: The jobs that were named and cannot be changed, the first 1,000.
    """

    operation: str
    dry_run: bool
    complete: bool = True
    matched: int
    changed: int = 0
    became: dict[str, int] = field(default_factory=dict)
    counts: list[Count]
    ids: list[str]
    left: list[Left]

    @classmethod
    def of(cls, operation: Operation, found: Found, *, dry_run: bool) -> Result:
        """Return the result of having looked."""
        return cls(
            operation=operation.verb,
            dry_run=dry_run,
            matched=len(found.ids),
            counts=[Count(*kind, number) for kind, number in _largest(found)],
            ids=found.ids[:SHOWN],
            left=[Left(id, state) for id, state in list(found.other.items())[:LISTED]],
        )

    def add(self, became: Mapping[str, int]) -> None:
        """Count a page."""
        self.changed += sum(became.values())
        for name, number in became.items():
            self.became[name] = self.became.get(name, 0) + number


def _largest(found: Found) -> list[tuple[tuple[str, str], int]]:
    return sorted(found.counts.items(), key=lambda item: (-item[1], item[0]))


def show(operation: Operation, result: Result, *, as_json: bool) -> None:
    """Write what was done, or would be, to stdout."""
    if as_json:
        write(jsons.whole(result))
        return
    if not result.dry_run:
        write(f"{jobs(result.changed)} {operation.done}{_parts(operation, result)}")
        return
    table(
        [Column("state"), Column("type"), Column("jobs", right=True)],
        [(one.state, one.type, count(one.count)) for one in result.counts],
    )
    write()
    for id in result.ids:
        write(clean(id))
    if result.matched > len(result.ids):
        write(f"... and {count(result.matched - len(result.ids))} more")


def _parts(operation: Operation, result: Result) -> str:
    """Return what the jobs became, in parentheses, if there are words for it and something to tell."""
    parts = [
        f"{count(number)} {operation.became[name]}"
        for name, number in result.became.items()
        if number and name in operation.became
    ]
    return f" ({', '.join(parts)})" if parts else ""


def kinds(found: Found) -> str:
    """Return what the jobs are in words: ``300 failed, 12 waiting for a retry``."""
    largest = found.kinds.most_common()
    if len(largest) > 1:
        return ", ".join(f"{count(number)} {kind}" for kind, number in largest)
    return largest[0][0] if len(found.ids) == 1 else f"all {largest[0][0]}"


def tell_of_left(operation: Operation, found: Found) -> None:
    """Say which of the jobs that were named cannot be changed, and why: the first of them."""
    for id, state in list(found.other.items())[:SHOWN]:
        why = (
            "no such job"
            if state is None
            else operation.refused.get(state, f"it is {state}, and other options do not mean it")
        )
        say(f"jobpool: {clean(id)} is left: {why}")
    if len(found.other) > SHOWN:
        say(f"jobpool: and {count(len(found.other) - SHOWN)} more are left")
    for state, number in sorted(found.unable.items()):
        say(f"jobpool: {jobs(number)} {state} left: {operation.refused.get(state, 'not in a state for it')}")
