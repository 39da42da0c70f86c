"""What a look at a whole deployment found: whether jobs can be lost, stuck or slow there, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: What a finding may be, from good to bad.
OK, SKIPPED, WARNING, PROBLEM = "ok", "skipped", "warning", "problem"
LEVELS = (OK, SKIPPED, WARNING, PROBLEM)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. One that finds several things has several findings.

    Attributes:
        check: Its name, such as ``indexes.required``: the subject, and what of it. Names stay.
        level: ``ok``; ``warning``: it works, and costs or risks something; ``problem``: jobs are lost, stuck
            or refused, or will be; ``skipped``: nobody knows, as this user may not look, or as it took too long.
        text: What was looked at and what is so, in a sentence.
        remedy: What to do; None if nothing has to be done.
        facts: The numbers and names behind it. May hold names of types, and ids of jobs; never data of jobs.
    """

    check: str
    level: str
    text: str
    remedy: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkup:
    """All findings of a look, in the order of the checks.

    The checks are made one after the other while jobs go on: each says what
    was so at its own moment.

    Attributes:
        collection: Database and collection of the jobs.
        at: When the look began (server time); None if there was no primary to ask.
        took: Seconds that all of it took.
        checks: How many checks were made, the skipped ones included.
        findings: What they found, at least one each.
    """

    collection: str
    at: datetime | None
    took: float
    checks: int
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are problems."""
        return self.of(PROBLEM)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are warnings."""
        return self.of(WARNING)

    def of(self, level: str) -> tuple[Finding, ...]:
        """Return the findings of a level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    def well(self, *, strict: bool = False) -> bool:
        """Whether there is no problem; if `strict`, no warning either. What was skipped is not held against it."""
        return not self.problems and not (strict and self.warnings)
