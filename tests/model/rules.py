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
RETRY = "retry"  # an outcome, not a state
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

    `live` says that the lease is not over by the server's clock. `recorded`
    is the truth again: the claims whose finish was applied.
    """

    state: str = PENDING
    claim: Claim = NO_CLAIM
    fence: int = 0
    attempts: int = 0
    allowed: int = 2
    live: bool = False
    errors: tuple[Claim, ...] = ()
    recorded: tuple[int, ...] = ()

    def forgetting(self, known: set[Claim]) -> Doc:
        """Return the document without the records of claims that are not among the known ones."""
        tokens = {claim.token for claim in known}
        serials = {claim.serial for claim in known}
        return self._replace(
            errors=tuple(error for error in self.errors if error.token in tokens),
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
        if doc.state != RUNNING or not self._carries(doc, claim, self.finish_asks_token):
            return None
        failed = outcome != SUCCEEDED
        return doc._replace(
            state=PENDING if outcome == RETRY else outcome,
            claim=doc.claim if self.finish_keeps_token else NO_CLAIM,
            attempts=doc.attempts + (failed and not self.start_spends_attempt),
            live=False,
            errors=(*doc.errors, claim) if failed else doc.errors,
            recorded=(*doc.recorded, claim.serial),
        )

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
        return doc._replace(state=PENDING, claim=NO_CLAIM, attempts=doc.attempts - spent, live=False)

    def reap(self, doc: Doc) -> Doc | None:
        """Take back a held job whose lease is over: pending again, or failed if its attempts are spent."""
        held = doc.state in HELD if self.reap_asks_state else doc.claim != NO_CLAIM
        if not held or (doc.live and self.reap_asks_expiry):
            return None
        spent = doc.state == RUNNING and doc.attempts >= doc.allowed
        claim = NO_CLAIM if self.reap_removes_token else doc.claim
        return doc._replace(state=FAILED if spent else PENDING, claim=claim, live=False)

    def write(self, doc: Doc, operation: str, claim: Claim, outcome: str = "") -> Doc | None:
        """Apply a holder's write by its name."""
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
            return (None if doc.state in HELD else True) if mine else False
        if operation == "start":
            return None if mine and doc.state == CLAIMED else mine and doc.state == RUNNING
        return mine and doc.state in HELD

    @staticmethod
    def _carries(doc: Doc, claim: Claim, asked: bool) -> bool:
        return not asked or doc.claim.token == claim.token
