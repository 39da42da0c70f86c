"""Random walks of the real store beside the rules: after every step each document is as they say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobpool import JobManager
from jobpool.errors import DuplicateJob, JobHeld, JobNotFound
from jobpool.job import Claim as RealClaim
from jobpool.store.claiming import STRATEGIES, Claimed

from ..conftest import Jobs, MakeManager
from ..faults.report import FaultReport
from . import real
from .bugs import BUGS
from .rules import CANCELLED, FAILED, FINAL, HELD, NO_CLAIM, PENDING, RETRY, SNOOZE, SUCCEEDED, Claim, Doc, Rules

IDS = ("x", "y")
#: What the walks must have met, besides the rules taken.
MET = ("refused", "reaped")
#: The mistakes that a store could make.
MISTAKES = (
    "finish without token",
    "start without token",
    "release without token",
    "extend without token",
    "reap without expiry",
    "reap leaves the token",
    "finish forgets the token",
    "finish forgets its error",
    "snooze refunds at every repeat",
    "attempts counted at failures",
    "retry ignores the mark",
    "release ignores the mark",
    "reap ignores the mark",
    "cancel ends what runs",
)
ids = st.sampled_from(IDS)
nth = st.integers(0, 7)  # picks one of what there is, the newest first


class StoreMachine(RuleBasedStateMachine):
    """Two pools that do everything in any order, old claims and repeats included.

    `docs` is what the rules say is stored. A claim is called when its
    executor ran: only after its start, never after it was given back.
    """

    def __init__(self, manager: JobManager, jobs: Jobs, tally: Counter[str], protocol: Rules) -> None:
        super().__init__()
        self.protocol = protocol
        self.manager, self.store, self.jobs = manager, manager.store, jobs
        self.jobs.delete_many({})
        self.tally = tally  # of all walks
        self.docs: dict[str, Doc] = {}
        self.claims: list[tuple[str, Claim]] = []
        self.requests: list[tuple[str, str, Claim, str]] = []
        self.started: list[tuple[str, Claim]] = []
        self.given: set[int] = set()
        self.called: dict[int, str] = {}
        self.lives: dict[str, set[int]] = {}  # the claims of the present life of each job
        self.valid: dict[str, set[int]] = {id: set() for id in IDS}  # leases that nobody has ended

    # --- producers --------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        for id in IDS:
            self._create(id, "keep", 3)

    @rule(id=ids, what=st.sampled_from(["keep", "revive", "raise", "cancel", "remove"]), allowed=st.integers(1, 3))
    def produce(self, id: str, what: str, allowed: int) -> None:
        self.tally[what] += 1
        if what == "cancel":
            self._cancel(id)
        elif what == "remove":
            self._remove(id)
        else:
            self._create(id, what, allowed)

    def _create(self, id: str, on_duplicate: str, allowed: int) -> None:
        known = self.docs.get(id)
        if known is not None and on_duplicate == "raise":
            with pytest.raises(DuplicateJob):
                self.manager.create(real.TYPE, id=id, on_duplicate=on_duplicate)
            return
        job = self.manager.create(real.TYPE, id=id, on_duplicate=on_duplicate, max_attempts=allowed)
        assert job.created == (known is None)
        if known is None:
            self._begin_life(id, Doc(allowed=allowed))
        elif on_duplicate == "revive" and known.state in (FAILED, CANCELLED):
            self._begin_life(
                id, known._replace(state=PENDING, claim=NO_CLAIM, attempts=0, marked=False, snoozes=0, snoozed=())
            )
        assert job.state == self.docs[id].state

    def _cancel(self, id: str) -> None:
        doc = self.docs.get(id)
        if doc is None:
            with pytest.raises(JobNotFound):
                self.manager.cancel(id)
            return
        after = self.protocol.cancel(doc)
        job = self.manager.cancel(id)
        if after is not None:
            self._applied(id, after)
        assert job.state == self.docs[id].state

    def _remove(self, id: str) -> None:
        doc = self.docs.get(id)
        if doc is not None and doc.state in HELD:
            with pytest.raises(JobHeld):
                self.manager.remove(id)
            return
        assert self.manager.remove(id) == (doc is not None)
        self.docs.pop(id, None)

    def _begin_life(self, id: str, doc: Doc) -> None:
        self.docs[id] = doc
        self.lives[id] = set()

    # --- pools ------------------------------------------------------------------------------

    @rule(
        strategy=st.sampled_from(sorted(STRATEGIES)),
        pool=st.sampled_from("AB"),
        limit=st.integers(1, 2),
        starting=st.sampled_from(["", "then", "at once"]),
    )
    def claim(self, strategy: str, pool: str, limit: int, starting: str) -> None:
        self.tally["claim"] += 1
        real.make_due(self.jobs)
        claimed = real.claim(self.store, strategy, limit, pool, begun=starting == "at once")
        pending = sum(doc.state == PENDING for doc in self.docs.values())
        assert len(claimed.documents) == min(pending, 1 if strategy == "single" else limit)
        for document in claimed.documents:
            self._claimed(document, claimed)
        if starting == "then":
            for place in range(len(claimed.documents)):
                self.start(place)

    def _claimed(self, document: dict[str, Any], claimed: Claimed) -> None:
        id = document["_id"]
        claim = Claim(len(self.claims) + 1, claimed.token, document["fence"])
        assert claim.fence == self.docs[id].fence + 1
        take = self.protocol.begin if claimed.started else self.protocol.claim
        doc = take(self.docs[id], claim)
        assert doc is not None, "claimed though it was not pending"
        if claimed.started:
            self.tally["begun"] += 1
            self.started.append((id, claim))
        self.docs[id] = doc
        self.claims.append((id, claim))
        self.lives[id].add(claim.serial)
        self.valid[id].add(claim.serial)

    @precondition(lambda self: self.claims)
    @rule(nth=nth)
    def start(self, nth: int) -> None:
        id, claim = _pick(self.claims, nth)
        if self._write("start", id, claim) and (id, claim) not in self.started:
            self.started.append((id, claim))

    @precondition(lambda self: self.started)
    @rule(nth=nth, wanted=st.sampled_from([RETRY, SNOOZE, SUCCEEDED, "crash"]))
    def call(self, nth: int, wanted: str) -> None:
        """Run the executor, once a claim, and record its outcome unless the pool crashes; or record it again."""
        id, claim = _pick(self.started, nth)
        if claim.serial in self.given:
            return
        failure = RETRY if self._attempts_left(id) else FAILED
        outcome = self.called.setdefault(claim.serial, failure if wanted == RETRY else wanted)
        if outcome == "crash":
            self.tally["crash"] += 1
        else:
            self._write("finish", id, claim, outcome)

    def _attempts_left(self, id: str) -> bool:
        doc = self.docs.get(id)
        return doc is not None and doc.attempts < doc.allowed

    @precondition(lambda self: self.claims)
    @rule(nth=nth)
    def release(self, nth: int) -> None:
        id, claim = _pick(self.claims, nth)
        if claim.serial not in self.called:
            self.given.add(claim.serial)
            self._write("release", id, claim)

    @precondition(lambda self: self.claims)
    @rule(nth=nth)
    def disown(self, nth: int) -> None:
        """Give back by token what a claim may have started, as if its answer had been lost."""
        id, claim = _pick(self.claims, nth)
        if any(one.serial in self.called for _, one in self.claims if one.token == claim.token):
            return  # the answer came: it is one for all jobs of the claim
        self.tally["disown"] += 1
        self.given.add(claim.serial)
        real.disown(self.store, RealClaim(id, str(claim.token), claim.fence))
        for other, doc in self.docs.items():
            mine = Claim(claim.serial, claim.token, doc.fence)
            after = Rules().release(doc, mine) if doc.claim.token == claim.token else None
            if after is not None:
                self.given.update(serial for serial, token, _ in [doc.claim] if token == claim.token)
                self._applied(other, after)

    @precondition(lambda self: self.claims)
    @rule(nth=nth)
    def extend(self, nth: int) -> None:
        id, claim = _pick(self.claims, nth)
        self._write("extend", id, claim)

    @precondition(lambda self: self.requests)
    @rule(nth=nth)
    def repeat(self, nth: int) -> None:
        """Let any earlier request arrive once more."""
        operation, id, claim, outcome = _pick(self.requests, nth)
        self._write(operation, id, claim, outcome, late=True)

    def _write(self, operation: str, id: str, claim: Claim, outcome: str = "", late: bool = False) -> bool | None:
        """Do it on both sides; the answers and the documents must agree."""
        self.tally["late duplicate" if late else operation] += 1
        if not late:
            self.requests.append((operation, id, claim, outcome))
        doc = self.docs.get(id)
        after = doc and self.protocol.write(doc, operation, claim, outcome)
        expected = True if after else doc is not None and self.protocol.stands(doc, operation, claim)
        answer = real.write(self.store, operation, RealClaim(id, str(claim.token), claim.fence), outcome)
        if operation != "release":
            assert answer == expected, f"{operation} of {claim}: {answer}, not {expected}"
        if doc is None or after is None:
            self.tally["refused"] += 1
        else:
            assert doc.claim.serial == claim.serial, "I4: a write was applied under another claim"
            self._applied(id, after)
        if operation == "finish" and answer is not None:
            recorded = id in self.docs and claim.serial in self.docs[id].recorded
            assert answer == recorded, f"I4: a finish was told {answer}, and recorded: {recorded}"
        return answer

    def _applied(self, id: str, doc: Doc) -> None:
        self.docs[id] = doc
        self.valid[id] = {doc.claim.serial} if doc.live else set()

    # --- time -------------------------------------------------------------------------------

    @rule(id=ids, reaping=st.booleans())
    def expire(self, id: str, reaping: bool) -> None:
        doc = self.docs.get(id)
        if doc is not None and doc.live:
            self.tally["expire"] += 1
            real.end_leases(self.jobs, id)
            self._applied(id, doc._replace(live=False))
        if reaping:
            self.reap()

    @rule()
    def reap(self) -> None:
        self.tally["reap"] += 1
        reaped = {id: after for id, doc in self.docs.items() if (after := self.protocol.reap(doc)) is not None}
        assert sum(item.jobs for item in self.store.reaping.reap()) == len(reaped)
        for id, doc in reaped.items():
            self.tally["reaped"] += 1
            self._applied(id, doc)

    # --- what must hold -----------------------------------------------------------------------

    @invariant()
    def every_document_is_as_the_rules_say(self) -> None:
        """With it I2: the rules change nothing that is final, but for a revival."""
        stored = {document["_id"]: document for document in self.jobs.find()}
        assert stored.keys() == self.docs.keys()
        for id, doc in self.docs.items():
            there = stored[id]
            assert (there["state"], there["attempts"], there["fence"]) == (doc.state, doc.attempts, doc.fence)
            assert there.get("claim") == (doc.claim.token if doc.claim != NO_CLAIM else None)
            assert ("lease_until" in there) == (doc.state in HELD)
            assert real.is_live(there) == doc.live
            assert ("finished_at" in there) == (doc.state in FINAL)
            assert ("cancel_requested_at" in there) == doc.marked
            assert there.get("snoozes", 0) == doc.snoozes

    @invariant()
    def i3_one_lease_a_job(self) -> None:
        for id, doc in self.docs.items():
            assert len(self.valid[id]) <= 1
            assert self.valid[id] == ({doc.claim.serial} if doc.live else set())

    @invariant()
    def i5_every_execution_is_counted(self) -> None:
        for id, doc in self.docs.items():
            runs = self.lives[id] & self.called.keys()
            assert len(runs) - doc.snoozes <= doc.attempts <= doc.allowed


def _pick(items: list[Any], nth: int) -> Any:
    """Return one of `items`; small numbers mean new ones."""
    return items[-1 - nth % len(items)]


def walk(manager: JobManager, jobs: Jobs, rules: Rules, bounds: settings) -> Counter[str]:
    """Walk at random within `bounds`; return how often each rule was taken, and what it met."""
    manager.store.ready()
    tally: Counter[str] = Counter()

    class Walk(StoreMachine):
        def __init__(self) -> None:
            super().__init__(manager, jobs, tally, rules)

    run_state_machine_as_test(Walk, settings=settings(bounds, suppress_health_check=list(HealthCheck)))
    return tally


@pytest.mark.fault("F61")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("write_concern", "walks"), [("majority", (15, 300)), (1, (100, 2000))])
def test_f61_the_store_keeps_to_the_rules(
    make_manager: MakeManager, jobs: Jobs, fault: FaultReport, write_concern: str | int, walks: tuple[int, int]
) -> None:
    """With ``w: 1`` on a server of one node nothing can be rolled back, and far more is tried in the time."""
    manager = make_manager(write_concern=write_concern)
    tally = walk(manager, jobs, Rules(), settings(max_examples=fault.length(*walks), stateful_step_count=40))
    for what in MET:
        fault.struck(tally[what], what)
    steps = sum(tally.values()) - sum(tally[met] for met in MET)
    fault.figure("rules x steps", f"{len(tally) - len(MET)} x {steps}")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_walk_beside_wrong_rules_is_noticed(make_manager: MakeManager, jobs: Jobs, name: str) -> None:
    """The walks get to where each rule makes a difference (the same walks every time, and without the disk)."""
    manager = make_manager(write_concern=1)
    bounds = settings(max_examples=2000, stateful_step_count=40, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError):
        walk(manager, jobs, BUGS[name].rules, bounds)
