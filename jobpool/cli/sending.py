"""Creating the jobs of many lines, batch by batch, and saying how far it came whatever ends it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InvalidJob, QueueFull
from .options.documents import Line, Source
from .terminal.progress import Progress
from .terminal.screen import say
from .terminal.words import clean, count, jobs, several

if TYPE_CHECKING:
    from ..manager import JobManager

#: Jobs of one call, and bytes of their lines: what is read and not sent yet is in memory.
BATCH, BATCH_BYTES = 1000, 16 << 20
#: Bad lines that are named.
NAMED = 10

Numbered = tuple[int | None, Mapping[str, Any]]


@dataclass
class Outcome:
    """What became of the lines so far.

    Attributes:
        created, duplicates, revived, dropped: As `Created` says.
        skipped: Lines that are no jobs.
        lines: Up to which line all is done.
    """

    created: int = 0
    duplicates: int = 0
    revived: int = 0
    dropped: int = 0
    skipped: int = 0
    lines: int = 0

    def told(self, *, dry: bool = False) -> str:
        """Return it in words."""
        parts = [f"{jobs(self.created)} would be created" if dry else f"{jobs(self.created)} created"]
        if (met := self.duplicates - self.revived) > 0:
            verb = ("is" if met == 1 else "are") if dry else ("was" if met == 1 else "were")
            parts.append(f"{count(met)} {verb} there already")
        if self.revived:
            parts.append(f"{count(self.revived)} revived")
        if self.dropped:
            parts.append(f"{count(self.dropped)} left out for want of room")
        if self.skipped:
            parts.append(f"{several(self.skipped, 'bad line')} skipped")
        return ", ".join(parts)


class Creator:
    """Creates jobs."""

    def __init__(self, manager: JobManager, **options: Any) -> None:
        self._manager, self._options = manager, options

    def put(self, batch: list[Numbered], outcome: Outcome) -> None:
        """Create a batch in one call, and count what became of it; with `InvalidJob`, nothing of it."""
        try:
            made = self._manager.create_many([job for _, job in batch], batch_size=BATCH, **self._options)
        except QueueFull as full:
            outcome.created += full.stored or 0  # those met are among them
            raise
        outcome.created += made.inserted
        outcome.duplicates += made.duplicates
        outcome.revived += made.revived
        outcome.dropped += made.dropped

    def check(self, job: Mapping[str, Any]) -> None:
        """Raise `InvalidJob` if it cannot be a job."""
        from ..manager.requests import requested

        requested(job, self._manager)


class Checker(Creator):
    """Checks them as `create_many` does, and looks which are there already; nothing is written."""

    def put(self, batch: list[Numbered], outcome: Outcome) -> None:
        """Check a batch."""
        from ..manager.requests import requested

        ids = {requested(job, self._manager).job_id for _, job in batch}
        there = self._manager.count(ids=ids)
        outcome.created += len(ids) - there
        outcome.duplicates += len(batch) - len(ids) + there


class Sending:
    """Sends what a source holds. Threads: one.

    Args:
        sink: Where they go.
        skip_bad: Whether lines that are no jobs are left out; else the first ends it.
    """

    def __init__(
        self, sink: Creator, source: Source, common: Mapping[str, Any], *, id_field: str | None, skip_bad: bool
    ):
        self.outcome = Outcome()
        self._sink, self._source, self._common = sink, source, common
        self._id_field, self._skip_bad = id_field, skip_bad
        self._sent: list[Line] = []  # of which nothing is known yet

    def send(self, lines: Iterable[Line | None], title: str) -> Outcome:
        """Send all of it and return what became of it.

        Raises:
            InvalidJob: A line is no job; what stands before it is created.
            KeyboardInterrupt, JobpoolError: After it was said how far it came.
        """
        outcome = self.outcome
        try:
            with Progress(title, by_share=self._source.size is not None) as progress:
                for batch in _batches(lines):
                    self._sent = batch
                    self._send(batch)
                    outcome.lines, self._sent = batch[-1].number or 0, []
                    progress.advance(len(batch), share=self._source.share)
        except BadLine:
            raise
        except BaseException as error:  # Ctrl-C, wherever it comes
            self._say_how_far(error)
            raise
        return outcome

    def _send(self, batch: list[Line]) -> None:
        good: list[Numbered] = []
        bad: BadLine | None = None
        for line in batch:
            try:
                good.append((line.number, job_of(line, self._common, self._id_field)))
            except InvalidJob as error:
                bad = self._refused(line.number, error)
                if bad:
                    break
        try:
            if good:
                self._sink.put(good, self.outcome)
        except InvalidJob:
            good, worse = self._sifted(good)  # the first bad one is before any that could not be read
            bad = worse or bad
            if good:
                self._sink.put(good, self.outcome)
        if bad:
            raise bad.after(self.outcome)

    def _sifted(self, numbered: list[Numbered]) -> tuple[list[Numbered], BadLine | None]:
        """Return the jobs that can be created, up to the first bad one unless such are skipped."""
        good: list[Numbered] = []
        for number, job in numbered:
            try:
                self._sink.check(job)
            except InvalidJob as error:
                if bad := self._refused(number, error):
                    return good, bad
            else:
                good.append((number, job))
        return good, None

    def _refused(self, number: int | None, error: InvalidJob) -> BadLine | None:
        """Return the error that ends it; None, after it was named, if such lines are skipped."""
        why = clean(error).removesuffix("; this job was not created")
        bad = BadLine(f"{clean(self._source.name)}, line {number}: {why}")
        if not self._skip_bad:
            return bad
        self.outcome.skipped += 1
        if self.outcome.skipped <= NAMED:
            say(f"skipped: {bad}")
        elif self.outcome.skipped == NAMED + 1:
            say("skipped: ... more such lines; they are counted, and no longer named")
        return None

    def _say_how_far(self, error: BaseException) -> None:
        """Say what is done, and what may be, before `error` ends it."""
        outcome, sent = self.outcome, self._sent
        untouched = getattr(error, "operation", "") == "hello"  # the server was not even reached
        if untouched and not outcome.lines:
            return
        done = (
            f"lines up to {count(outcome.lines)} are done ({outcome.told()})"
            if outcome.lines
            else "nothing is done"
        )
        doubt = ""
        if sent and not untouched:
            doubt = f", lines {count(sent[0].number or 0)} to {count(sent[-1].number or 0)} in doubt"
        say(f"{done}{doubt}; the same command again goes on, as equal work is done once")


class BadLine(InvalidJob):
    """A line that is no job."""

    def after(self, outcome: Outcome) -> BadLine:
        """Return it with what is done before it, and what to do."""
        return BadLine(
            f"{self}; {outcome.told()} before it: mend it and repeat the command (equal work is done once), "
            "or leave such lines out with --skip-bad"
        )


def _batches(lines: Iterable[Line | None]) -> Iterator[list[Line]]:
    """Yield lines together, as many as are there."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        if line is not None:
            batch.append(line)
            size += line.size
        if batch and (line is None or len(batch) == BATCH or size >= BATCH_BYTES):
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def job_of(line: Line, common: Mapping[str, Any], id_field: str | None) -> Mapping[str, Any]:
    """Return the job that a line means, with what all have in common; raise `InvalidJob` if it means none."""
    if line.error is not None:
        raise InvalidJob(line.error)
    job = {**common, "data": line.value}
    if id_field is not None:
        job["id"] = _id_in(line.value, id_field)
    return job


def _id_in(value: object, field: str) -> str:
    found = value.get(field) if isinstance(value, Mapping) else None
    if isinstance(found, str):
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return str(int(found))
    raise InvalidJob(f"the data have no field {field!r:.60} with a text or a whole number to take as the id")
