"""A request to create a job, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .backoff import MAX_DELAY
from .data import canonical, check_size
from .dependencies import FAIL, check_after, check_on_failure
from .errors import InvalidJob
from .executors import LONGEST_LIMIT, MAX_ATTEMPTS, SHORTEST_LIMIT
from .ids import hash_of
from .limits import MAX_KEY
from .names import MAX_ID, check_instant, check_int, check_name, check_seconds, shown

#: Priorities are small numbers; the bound keeps them in 32 bits of the index key.
MAX_PRIORITY = 2**31 - 1


@dataclass(slots=True, kw_only=True)  # not frozen: of `create_many` that is a tenth of the time before the send
class JobRequest:
    """What a producer asks for. Building one checks all of it and makes the id; nobody changes it after that.

    Args:
        type: Picks the executor.
        data: See `jobpool.data` for what it may hold.
        id: A key of the caller's own, up to 512 characters; the hash of type and data if None.
        priority: Higher runs first.
        run_at: Not before this aware datetime. Not together with `delay`.
        delay: Seconds from now.
        max_attempts: Overrides the executor's.
        timeout: Overrides the executor's, in seconds.
        after: Ids of jobs that have to end first, up to 20,000.
        on_failure: What it means for this job if one of these ends without success.
        key: Whose the job is, 1 to 256 characters; by the executor's rule if None.
        limit: The most bytes the data may take.

    Raises:
        InvalidJob: Something is wrong; nothing was sent.
    """

    type: str
    data: Any = field(default=None, repr=False)
    id: str | None = None
    priority: int = 0
    run_at: datetime | None = None
    delay: float | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    after: tuple[str, ...] | None = None
    on_failure: str = FAIL
    key: str | None = None
    limit: int
    job_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.type = check_name(self.type, "type")
        plain = self._checked_data()
        check_int(self.priority, "priority", -MAX_PRIORITY, MAX_PRIORITY, error=InvalidJob)
        self._check_time()
        if self.max_attempts is not None:
            check_int(self.max_attempts, "max_attempts", 1, MAX_ATTEMPTS, error=InvalidJob)
        if self.timeout is not None:
            check_seconds(self.timeout, "timeout", SHORTEST_LIMIT, LONGEST_LIMIT, error=InvalidJob)
        if self.key is not None:
            self.key = check_name(self.key, "key", longest=MAX_KEY)
        id = hash_of(self.type, plain) if self.id is None else check_name(self.id, "id", longest=MAX_ID)
        self.job_id = id
        if self.after is not None:
            self.after = check_after(self.after, id)
        if self.on_failure != FAIL:
            self.on_failure = check_on_failure(self.on_failure)

    def _checked_data(self) -> Any:
        try:
            plain = canonical(self.data)
            check_size(self.data, self.limit, "data")
        except InvalidJob as error:
            raise InvalidJob(f"{error}; this job was not created") from error.__cause__
        return plain

    def _check_time(self) -> None:
        if self.delay is not None:
            check_seconds(self.delay, "delay", 0, MAX_DELAY, error=InvalidJob)
            if self.run_at is not None:
                raise InvalidJob("give either run_at or delay, not both")
        elif self.run_at is not None:
            self.run_at = check_instant(self.run_at, "run_at")

    def due_at(self, now: datetime) -> datetime:
        """Return when the job is due if it is created at `now`."""
        if self.run_at is None:
            return now + timedelta(seconds=self.delay) if self.delay else now
        latest = now + timedelta(seconds=MAX_DELAY)
        if self.run_at > latest:
            raise InvalidJob(f"run_at must be within ten years from now, not {self.run_at}")
        return self.run_at


def request_of(job: Mapping[str, Any], limit: int) -> JobRequest:
    """Return the request that a mapping spells out; its keys are the arguments of `JobManager.create`."""
    if not isinstance(job, Mapping):
        raise InvalidJob(f"a job must be a mapping such as {{'type': ..., 'data': ...}}, not {type(job).__name__}")
    if not _KNOWN.issuperset(job):
        unknown = sorted(shown(str(key)[:40])[1:-1] for key in job if key not in FIELDS)
        some = ", ".join(unknown[:10]) + (", ..." if len(unknown) > 10 else "")
        raise InvalidJob(f"unknown keys in a job: {some}; known: {', '.join(FIELDS)}")
    if "type" not in job:
        raise InvalidJob("a job needs a type")
    return JobRequest(**job, limit=limit)


FIELDS = (
    *("type", "data", "id", "priority", "run_at", "delay", "max_attempts", "timeout", "after", "on_failure"),
    "key",
)
_KNOWN = frozenset(FIELDS)
