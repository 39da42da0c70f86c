"""How an import went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that became no job, or came over without its result.

    Attributes:
        id: Of the document, as text.
        status: Its state there.
        problem: In a word: type, data, id, run_at, status, created, result or unreadable.
        why: What is wrong, with the path to it.
        carried: Whether the job is there in spite of it, without its result.
        document: As it is there; None if it cannot be read.
    """

    id: str
    status: str
    problem: str
    why: str
    carried: bool = False
    document: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Imported:
    """What `JobManager.import_jobs` did, or would do.

    Attributes:
        source, target: Database and collection.
        dry_run: Whether nothing was written.
        source_jobs: How many documents there were, or are, as MongoDB estimates it.
        read: How many were looked at.
        inserted: How many jobs are new; with `dry_run`, would be.
        already: How many an earlier import had brought.
        existing: How many met a job of equal type and data that was created here: it stays as it is.
        left_out: How many were active there and nobody said what is to become of them.
        skipped: How many could not become jobs, by `problems`.
        results_left: How many came without their result.
        missing: How many were carried over and are not there: zero, unless somebody deletes meanwhile.
        source_states: By state there, how many were read; past 20 states ``other``.
        target_states: By state here, how many of these jobs are there, read back from the collection.
        problems: By problem, how many.
        notes: By what is worth saying, how many; see `jobpool.importing.Note`.
        seconds: How long it took.
        finished: Whether it came to its end.
    """

    source: str
    target: str
    dry_run: bool
    source_jobs: int = 0
    read: int = 0
    inserted: int = 0
    already: int = 0
    existing: int = 0
    left_out: int = 0
    skipped: int = 0
    results_left: int = 0
    missing: int = 0
    source_states: Mapping[str, int] = field(default_factory=dict)
    target_states: Mapping[str, int] = field(default_factory=dict)
    problems: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False

    @property
    def flawless(self) -> bool:
        """Whether all came over that was to, whole."""
        return not (self.skipped or self.results_left or self.missing)

    @property
    def carried(self) -> int:
        """How many documents have their job."""
        return self.inserted + self.already + self.existing
