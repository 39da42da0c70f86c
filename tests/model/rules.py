"""What the store does to one job: each operation as a pure function of the document.

An operation returns the document afterwards, or None if its filter did not
match. These are the rules of `jobpool.store`, written once more from the
design and without MongoDB; the switches of `Rules` take them away one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

PENDING, CLAIMED, RUNNING = "pending", "claimed", "running"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
RETRY, SNOOZE = "retry", "snooze"  # outcomes, not states
HELD = (CLAIMED, RUNNING)
FINAL = (SUCCEEDED, FAILED, CANCELLED)


class Claim(NamedTuple):
    """What a claim is known by.

    `serial` is the truth, which no part of the protocol sees: no two claims
    that were ever applied share it. The token should be as good.
    """

    serial: int
    token: int | str
    fence: int


NO_CLAIM = Claim(0, 0, 0)


class Doc(NamedTuple):
    """A job as it is stored.

    `live` says that the lease is not over by the server's clock, `marked` that
    it was asked to end while it ran. `recorded` is the truth again: the claims
    whose finish was applied; so is `snoozes`: how many of all were snoozes.
    """

    state: str = PENDING
    claim: Claim = NO_CLAIM
    fence: int = 0
    attempts: int = 0
    allowed: int = 2
    live: bool = False
    marked: bool = False
    snoozes: int = 0
    errors: tuple[Claim, ...] = ()
    snoozed: tuple[Claim, ...] = ()
    recorded: tuple[int, ...] = ()

    def forgetting(self, known: set[Claim]) -> Doc:
        """Return the document without the records of claims that are not among the known ones."""
        tokens = {claim.token for claim in known}
        serials = {claim.serial for claim in known}
        return self._replace(
            errors=tuple(error for error in self.errors if error.token in tokens),
            snoozed=tuple(claim for claim in self.snoozed if claim.token in tokens),
            recorded=tuple(serial for serial in self.recorded if serial in serials),
        )


@dataclass(frozen=True)
class Rules:
    """The rules, each with a switch. As they stand here, they are jobpool's."""

    # The store's half.
    token: str = "random"  # or "fence", or "attempt": what it is made of
    claim_asks_state: bool = True
    start_asks_token: bool = True
    finish_asks_token: bool = True
    finish_keeps_token: bool = True
    finish_knows_its_error: bool = True
    release_asks_token: bool = True
    extend_asks_token: bool = True
    reap_asks_expiry: bool = True
    reap_asks_state: bool = True
    reap_removes_token: bool = True
    start_spends_attempt: bool = True  # else a recorded failure does
    cancel_marks_running: bool = True  # else it ends it at once
    retry_sees_mark: bool = True
    release_sees_mark: bool = True
    reap_sees_mark: bool = True
    snooze_asks_state: bool = True
    snoozes_all_known: bool = True  # else the last one only

    # The pools' half; see `model`.
    majority: bool = True
    start_before_call: bool = True
    deadline_before_call: bool = True
    deadline_from_request: bool = True
    heartbeat_outlives_drain: bool = True
    finish_until_answered: bool = True
    release_only_uncalled: bool = True
    begin_disowned: bool = True
    begin_bounded: bool = True

    @property
    def of_cancels_or_snoozes(self) -> bool:
        """Whether a rule is taken away that matters only where jobs are cancelled or snooze."""
        marks = (self.cancel_marks_running, self.retry_sees_mark, self.release_sees_mark, self.reap_sees_mark)
        return not all((*marks, self.snooze_asks_state, self.snoozes_all_known))

    def new_claim(self, doc: Doc, serial: int) -> Claim:
        """Return the claim that would be made on `doc` now."""
        fence = doc.fence + 1
        token = {"random": serial, "fence": fence, "attempt": doc.attempts + 1}[self.token]
        return Claim(serial, token, fence)

    def claim(self, doc: Doc, claim: Claim) -> Doc | None:
        """Take a pending job: a lease begins, the fence rises, no attempt is spent."""
        if self.claim_asks_state and doc.state != PENDING:
            return None
        return doc._replace(state=CLAIMED, claim=claim, fence=claim.fence, live=True)

    def begin(self, doc: Doc, claim: Claim) -> Doc | None:
        """Claim and start at once, as one write."""
        claimed = self.claim(doc, claim)
        return None if claimed is None else self.start(claimed, claim)

    def start(self, doc: Doc, claim: Claim) -> Doc | None:
        """Mark a claimed job running; that spends an attempt."""
        if doc.state != CLAIMED or not self._carries(doc, claim, self.start_asks_token):
            return None
        return doc._replace(state=RUNNING, attempts=doc.attempts + self.start_spends_attempt)

    def finish(self, doc: Doc, claim: Claim, outcome: str) -> Doc | None:
        """Record the outcome of a running job and end its lease. The token stays: a repeat shall know it."""
        again = outcome == SNOOZE and not self.snooze_asks_state and doc.state == PENDING
        if not (doc.state == RUNNING or again) or not self._carries(doc, claim, self.finish_asks_token):
            return None
        failed = outcome in (RETRY, FAILED)
        state = self._after(doc, outcome)
        put_off = outcome == SNOOZE and state == PENDING
        others = doc.snoozed if self.snoozes_all_known else ()
        return doc._replace(
            state=state,
            claim=doc.claim if self.finish_keeps_token else NO_CLAIM,
            attempts=doc.attempts + (failed and not self.start_spends_attempt) - put_off,
            live=False,
            snoozes=doc.snoozes + (put_off and claim.serial not in doc.recorded),
            errors=(*doc.errors, claim) if failed else doc.errors,
            snoozed=(*others, claim) if put_off and not again else doc.snoozed,
            recorded=doc.recorded if again else (*doc.recorded, claim.serial),
        )

    def _after(self, doc: Doc, outcome: str) -> str:
        """Return the state that an outcome leads to: who was asked to end is not tried again."""
        if outcome not in (RETRY, SNOOZE):
            return outcome
        return CANCELLED if doc.marked and self.retry_sees_mark else PENDING

    def cancel(self, doc: Doc) -> Doc | None:
        """End a job that nobody runs; ask the one who runs it to end."""
        if doc.state in (PENDING, CLAIMED) or (doc.state == RUNNING and not self.cancel_marks_running):
            return doc._replace(state=CANCELLED, claim=NO_CLAIM, live=False)
        return doc._replace(marked=True) if doc.state == RUNNING and not doc.marked else None

    def extend(self, doc: Doc, claim: Claim) -> Doc | None:
        """Let the lease of a held job begin anew, even one that is over if nobody has reaped it."""
        if doc.state not in HELD or not self._carries(doc, claim, self.extend_asks_token):
            return None
        return doc._replace(live=True)

    def release(self, doc: Doc, claim: Claim) -> Doc | None:
        """Give back a held job whose executor was not called: its attempt, if a start spent one, too."""
        if doc.state not in HELD or not self._carries(doc, claim, self.release_asks_token):
            return None
        spent = doc.state == RUNNING and self.start_spends_attempt
        state = CANCELLED if doc.marked and self.release_sees_mark else PENDING
        return doc._replace(state=state, claim=NO_CLAIM, attempts=doc.attempts - spent, live=False)

    def reap(self, doc: Doc) -> Doc | None:
        """Take back a held job whose lease is over: pending again, failed if spent, cancelled if it was asked."""
        held = doc.state in HELD if self.reap_asks_state else doc.claim != NO_CLAIM
        if not held or (doc.live and self.reap_asks_expiry):
            return None
        spent = doc.state == RUNNING and doc.attempts >= doc.allowed
        claim = NO_CLAIM if self.reap_removes_token else doc.claim
        state = FAILED if spent else PENDING
        if doc.state == RUNNING and doc.marked and self.reap_sees_mark:
            state = CANCELLED
        return doc._replace(state=state, claim=claim, live=False)

    def write(self, doc: Doc, operation: str, claim: Claim, outcome: str = "") -> Doc | None:
        """Apply a write by its name: a holder's, or a cancel, which needs no claim."""
        if operation == "cancel":
            return self.cancel(doc)
        if operation == "finish":
            return self.finish(doc, claim, outcome)
        writes = {"start": self.start, "extend": self.extend, "release": self.release}
        return writes[operation](doc, claim)

    def stands(self, doc: Doc, operation: str, claim: Claim) -> bool | None:
        """Say what a read tells of a write that did not match: it stands, is lost, or None: repeat it."""
        mine = doc.claim.token == claim.token
        if operation == "finish":
            if self.finish_knows_its_error and any(error.token == claim.token for error in doc.errors):
                return True
            if any(other.token == claim.token for other in doc.snoozed):
                return True
            return (None if doc.state in HELD else True) if mine else False
        if operation == "start":
            return None if mine and doc.state == CLAIMED else mine and doc.state == RUNNING
        return mine and doc.state in HELD

    @staticmethod
    def _carries(doc: Doc, claim: Claim, asked: bool) -> bool:
        return not asked or doc.claim.token == claim.token
