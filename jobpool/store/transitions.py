"""What the holder of a claim may write: start, extend, finish, release, and where it is stuck.

Every statement is conditional on the claim's token and on the state it
leaves, so a repeat changes nothing and a stale holder changes nothing. Jobs
are grouped by token: one statement per claim call they came from, all of a
group in one command and one wait for the journal.

Lost replies: of these statements the driver repeats only those of single
documents. Each method therefore counts what matched; if that is less than
asked for, or an earlier reply was lost, a linearizable read tells for every
single job whether the write stands, cannot have happened (lost), or is not
known yet (`StoreUnavailable`: call again with the same arguments).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateMany, UpdateOne

from ..backoff import Delays
from ..errors import StoreUnavailable
from ..job import Claim, State, Stuck
from ..names import shown
from ..outcome import Finish
from ..progress import Report
from .claiming.claimed import Unknown
from .connection import Connection
from .documents import CLAIM_MARKS, Document, expiry, report_update, stuck_entry
from .finishing import (
    FINISH_MARKS,
    Write,
    ended_before,
    finished_before,
    finishing_writes,
    lease_until,
    running,
)
from .indexes import BY_ID, LEASE_INDEX

_HELD = {"$in": [State.CLAIMED.value, State.RUNNING.value]}

_STARTED = {"$cond": [{"$eq": ["$state", State.RUNNING.value]}, 1, 0]}
#: Whether somebody asked a job that is marked running to end: then nobody is to run it.
_ASKED_TO_END = {"$gt": ["$cancel_requested_at", None]}
_RELEASE: list[Document] = [
    {
        "$set": {
            "state": {"$cond": [_ASKED_TO_END, State.CANCELLED.value, State.PENDING.value]},
            "finished_at": {"$cond": [_ASKED_TO_END, "$$NOW", "$finished_at"]},
            "expire_at": {"$cond": [_ASKED_TO_END, expiry("$keep_cancelled"), "$expire_at"]},
            "attempts": {"$subtract": ["$attempts", _STARTED]},
        }
    },
    {"$unset": [*CLAIM_MARKS, "started_at"]},
]


@dataclass(frozen=True, slots=True)
class Start:
    """A claimed job whose executor is about to be called.

    Attributes:
        max_attempts: To be written if the job has none of its own, else None.
        backoff: Written beside it for whoever may have to reap the job.
        keep_failed, keep_cancelled: As well, if jobs that end so are not kept for ever; seconds.
    """

    claim: Claim
    max_attempts: int | None
    backoff: Delays | None
    keep_failed: float | None = None
    keep_cancelled: float | None = None


class Transitions:
    """The conditional writes to held jobs. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = connection.jobs

    def start(self, starts: Collection[Start]) -> set[Claim]:
        """Mark jobs running, spending an attempt each; return the claims that really started.

        The others are lost: reaped or claimed again, their executors must not run.

        Raises:
            StoreUnavailable: Unknown which of them started. Repeat with the
                same starts: what is running under its claim counts as started.

        Atomicity: one conditional update per document.
        """
        groups: dict[tuple[str, int | None, Delays | None, float | None, float | None], list[str]] = {}
        for start in starts:
            kept = start.keep_failed, start.keep_cancelled
            key = (start.claim.token, start.max_attempts, start.backoff, *kept)
            groups.setdefault(key, []).append(start.claim.id)
        writes = [
            UpdateMany(
                {"_id": {"$in": ids}, "claim": token, "state": State.CLAIMED.value},
                _starting_update(max_attempts, backoff, keep_failed, keep_cancelled),
            )
            for (token, max_attempts, backoff, keep_failed, keep_cancelled), ids in groups.items()
        ]
        claims = [start.claim for start in starts]
        return self._apply("start", lambda: writes, claims, _started)

    def finish(self, finishes: Collection[Finish], *, timeout: float | None = None) -> set[Claim]:
        """Record outcomes and give up the leases; return the claims whose outcome stands.

        The others are lost: nothing was written for them, the effects of
        their executors stand, and another attempt may follow.

        Raises:
            StoreUnavailable: Unknown for at least one. Repeat with the same
                finishes: one that applied already is recognised.

        Atomicity: one conditional update per document.
        """
        claims = [finish.claim for finish in finishes]
        return self._apply(
            "finish",
            lambda: finishing_writes(finishes, self._connection.clock.now),
            claims,
            _finished,
            timeout=timeout,
        )

    def extend(self, claims: Collection[Claim], lease: float, *, timeout: float | None = None) -> set[Claim]:
        """Let the leases run `lease` seconds from the server's now; return the claims still held.

        Ids are named one by one, never "everything of mine": a job that was
        claimed without the pool learning of it must come back by its lease.

        Raises:
            StoreUnavailable: Unknown which were extended. The leases count
                from the last confirmed extension.
        """
        update = lease_until(lease)
        writes = [
            UpdateMany({"_id": {"$in": ids}, "claim": token, "state": _HELD}, update)
            for token, ids in _by_token(claims).items()
        ]
        return self._apply("extend", lambda: writes, claims, _held, timeout=timeout)

    def release(self, claims: Collection[Claim], *, timeout: float | None = None) -> None:
        """Give back jobs whose executor was not called; no attempt is spent.

        A job that is marked running already gets its attempt back: the caller
        knows, as nobody else can, that its executor was never called.

        Raises:
            StoreUnavailable: Unknown for at least one. Repeating is safe; what
                stays claimed comes back by its lease.
        """
        writes = [
            UpdateMany({"_id": {"$in": ids}, "claim": token, "state": _HELD}, _RELEASE)
            for token, ids in _by_token(claims).items()
        ]
        if writes:
            with self._connection.call("release", what=f"releasing {len(claims)} jobs", timeout=timeout):
                self._jobs.bulk_write(writes, ordered=False)

    def disown(self, jobs: Collection[Unknown], *, timeout: float | None = None) -> None:
        """Give back jobs that a claim may have started without anybody knowing; no attempt is spent.

        Their tokens are in no other hand, so whatever carries them is to be given back.

        Raises:
            StoreUnavailable: Unknown for at least one. Repeating is safe; what
                stays running comes back by its lease, and has spent an attempt.
        """
        writes = []
        for unknown in jobs:
            filter: Document = {"claim": unknown.token, "state": _HELD, "lease_until": {"$exists": True}}
            if unknown.ids is None:
                writes.append(UpdateMany(filter, _RELEASE, hint=LEASE_INDEX))
            else:
                writes.append(UpdateMany({"_id": {"$in": list(unknown.ids)}, **filter}, _RELEASE, hint=BY_ID))
        what = "releasing the jobs of a claim whose answer was lost"
        with self._connection.call("release", what=what, timeout=timeout):
            self._jobs.bulk_write(writes, ordered=False)

    def report_stuck(self, reports: Mapping[Claim, Stuck], *, timeout: float | None = None) -> None:
        """Store with running jobs where they are stuck; on a job that is not held under its claim, nothing.

        Operators only: a pipeline would evaluate the ``$`` of a source line.

        Raises:
            StoreUnavailable: Unknown for at least one. A repeat writes the same.

        Atomicity: one conditional update per document.
        """
        with self._connection.call("report", what=f"reporting {len(reports)} stuck jobs", timeout=timeout):
            at = self._connection.clock.now()
            writes: list[Write] = [
                UpdateOne(running(claim), {"$set": {"stuck": stuck_entry(stuck, at)}})
                for claim, stuck in reports.items()
            ]
            self._jobs.bulk_write(writes, ordered=False)

    def report(self, reports: Mapping[Claim, Report], *, timeout: float | None = None) -> None:
        """Store what running executors say of themselves; on a job that is not held under its claim, nothing.

        Raises:
            StoreUnavailable: Unknown for at least one. A repeat writes the
                same progress; a log line may then be there twice.

        Atomicity: one conditional update per document.
        """
        with self._connection.call("report", what=f"reporting on {len(reports)} jobs", timeout=timeout):
            now = self._connection.clock.now()
            writes: list[Write] = [
                UpdateOne(running(claim), report_update(report, now)) for claim, report in reports.items()
            ]
            self._jobs.bulk_write(writes, ordered=False)

    def save_checkpoint(self, claim: Claim, value: Any) -> bool:
        """Store where the next attempt is to go on; False if the claim is lost, and nothing was written.

        Raises:
            StoreUnavailable: It may or may not be stored. Repeating is safe.
        """
        with self._connection.call("report", what=f"saving a checkpoint of job {shown(claim.id)}"):
            return bool(self._jobs.update_one(running(claim), {"$set": {"checkpoint": value}}).matched_count)

    def _apply(
        self,
        operation: str,
        build: Callable[[], Sequence[Write]],
        claims: Collection[Claim],
        verdict: Callable[[Document, Claim], bool | None],
        *,
        timeout: float | None = None,
    ) -> set[Claim]:
        """Send what `build` returns, which may ask the clock, and return the claims for which it stands."""
        if not claims:
            return set()
        with self._connection.call(operation, what=f"{operation} of {len(claims)} jobs", timeout=timeout):
            answer = self._jobs.bulk_write(build(), ordered=False)
            if answer.matched_count == len(claims):
                return set(claims)
            stored = self._read({claim.id for claim in claims})
        return {claim for claim in claims if _judge(operation, stored.get(claim.id), claim, verdict)}

    def _read(self, ids: Iterable[str]) -> Mapping[str, Document]:
        found = self._connection.confirmed.find({"_id": {"$in": list(ids)}}, FINISH_MARKS)
        return {doc["_id"]: doc for doc in found}


def _by_token(claims: Iterable[Claim]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for claim in claims:
        groups.setdefault(claim.token, []).append(claim.id)
    return groups


def _starting_update(
    max_attempts: int | None,
    backoff: Delays | None,
    keep_failed: float | None = None,
    keep_cancelled: float | None = None,
) -> Document:
    values: dict[str, Any] = {"state": State.RUNNING.value}
    if max_attempts is not None:
        values["max_attempts"] = max_attempts
    if backoff is not None:
        values["backoff"] = backoff.numbers()
    if keep_failed is not None:
        values["keep_failed"] = keep_failed
    if keep_cancelled is not None:
        values["keep_cancelled"] = keep_cancelled
    return {"$set": values, "$inc": {"attempts": 1}, "$currentDate": {"started_at": True}}


def _judge(
    operation: str,
    stored: Document | None,
    claim: Claim,
    verdict: Callable[[Document, Claim], bool | None],
) -> bool:
    """Say whether the write stands for `claim`; raise if that cannot be known yet."""
    answer = False if stored is None else verdict(stored, claim)
    if answer is None:
        raise StoreUnavailable(f"{operation} of job {shown(claim.id)} is not confirmed yet; repeating it is safe")
    return answer


def _started(stored: Document, claim: Claim) -> bool | None:
    if stored.get("claim") != claim.token:
        return False
    # Still claimed: the write may be on its way.
    return None if stored["state"] == State.CLAIMED else stored["state"] == State.RUNNING


def _finished(stored: Document, claim: Claim) -> bool | None:
    if finished_before(stored, claim) or ended_before(stored, claim) is not None:
        return True
    if stored.get("claim") != claim.token:
        return False
    # Reaping and releasing remove the token, so only our own finish leaves it on a job at rest.
    return None if stored["state"] in (State.CLAIMED, State.RUNNING) else True


def _held(stored: Document, claim: Claim) -> bool:
    return stored.get("claim") == claim.token and stored["state"] in (State.CLAIMED, State.RUNNING)
