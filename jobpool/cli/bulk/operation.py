"""What a command does to jobs, in words and in calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...job import Brief
    from ...manager import JobManager

#: Changes the jobs with these ids, as far as they are in these states, and returns how many became what.
Apply = Callable[["JobManager", Sequence[str], Sequence[str] | None], Mapping[str, int]]


@dataclass(frozen=True)
class Operation:
    """What is done to jobs.

    Attributes:
        verb, done, doing: ``retry``, ``retried``, ``retrying``; `done` may say more.
        apply: Does it to a page.
        look: Arguments of `JobManager.pages` that find those to which it can be done.
        able: Whether it can be done to a job that `look` finds.
        kind: What a job is that it is done to: ``waiting for a retry``.
        refused: Why it is not done to a job, by its state.
        missed: Why it was not done to jobs that it could be done to when they were looked at.
        became: Words for the parts of what `apply` returns, if these tell more than their sum.
        again: What to say to have a broken-off command go on, if that is not the same command.
        states: The states that are meant if nobody names some.
        bounded: Whether its own options say which jobs are meant, so that nothing else has to.
    """

    verb: str
    done: str
    doing: str
    apply: Apply
    look: Mapping[str, Any]
    able: Callable[[Brief], bool] = lambda _: True
    kind: Callable[[Brief], str] = lambda brief: brief.state.value
    refused: Mapping[str, str] = field(default_factory=dict)
    missed: str = "others changed them meanwhile"
    became: Mapping[str, str] = field(default_factory=dict)
    again: str = "the same command goes on with the rest"
    states: Sequence[str] | None = None
    bounded: bool = False
