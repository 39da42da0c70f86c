"""Ways of the model, gone on a real mongod: after every step the document is as the model says."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from jobpool.job import Claim
from jobpool.store import Store

from ..conftest import Jobs, MakeManager
from ..faults.report import FaultReport
from . import real
from .model import Job, Message, Scope
from .rules import HELD, NO_CLAIM, Doc, Rules
from .search import Event, Search

ID = "x"
#: What happens within a pool, or to the network: the store sees nothing of it.
INSIDE = ("call", "executor", "crash", "drain", "late", "claim answered late", "disown nothing")


def landmark(action: str, job: Job) -> Hashable:
    """One way for each action on each different document."""
    return action, job.doc.state, job.doc.attempts, job.doc.fence, job.doc.live, job.doc.marked


class Replay:
    """The store's part of a way, on the real store. `claims` has the real ones by their serial."""

    def __init__(self, store: Store, jobs: Jobs) -> None:
        self.store = store
        self.jobs = jobs
        self.claims: dict[int, Claim] = {}
        self.refused = 0
        jobs.delete_many({})

    def step(self, event: Event, before: Job, after: Job) -> None:
        """Do what the event does to the store."""
        action = event.action
        if action == "expire" or action == "pause":
            self._expire(before.doc, after.doc)
        elif action.startswith("reap"):
            assert sum(reaped.jobs for reaped in self.store.reaping.reap()) == 1
        elif action.endswith(" delayed") and action != "claim, answer delayed":
            pass  # on its way
        elif action in ("late claim arrives", "claim", "claim, answer delayed", "claim, answer lost"):
            self._claim(before, after)
        elif action in ("late begin arrives", "begin", "begin, answer lost"):
            self._claim(before, after, begun=True)
        elif action.startswith("cancel") or action == "late cancel arrives":
            real.cancel(self.store, ID)
        elif action.startswith("late ") and action.endswith(" arrives"):
            (message,) = set(before.network) - set(after.network)
            self._write(message, before.doc)
        elif action.startswith("disown"):
            self._disown(event, before)
        elif not action.startswith(INSIDE):
            assert event.pool is not None
            slot = before.slots[event.pool]
            self._write(Message(action.partition(",")[0], slot.claim, slot.outcome), before.doc)

    def _claim(self, before: Job, after: Job, *, begun: bool = False) -> None:
        real.make_due(self.jobs)
        strategy = "single" if len(self.claims) % 2 else "window"
        claimed = real.claim(self.store, strategy, 1, begun=begun)
        assert len(claimed.documents) == (before.doc.fence != after.doc.fence)
        for document in claimed.documents:
            self.claims[after.doc.claim.serial] = Claim(document["_id"], claimed.token, document["fence"])

    def _disown(self, event: Event, before: Job) -> None:
        assert event.pool is not None
        serial = before.slots[event.pool].claim.serial
        if serial:  # else the claim never came to the store
            real.disown(self.store, self.claims[serial])

    def _expire(self, before: Doc, after: Doc) -> None:
        if before.live and not after.live:
            real.end_leases(self.jobs, ID)

    def _write(self, message: Message, doc: Doc) -> None:
        claim = self.claims[message.claim.serial]
        rules = Rules()
        matches = rules.write(doc, message.operation, message.claim, message.outcome) is not None
        answer = real.write(self.store, message.operation, claim, message.outcome)
        if message.operation != "release":
            assert answer == (True if matches else rules.stands(doc, message.operation, message.claim))
        self.refused += not matches

    def check(self, doc: Doc) -> None:
        """The document is as the model says."""
        stored = self.jobs.find_one({})
        assert stored is not None
        assert (stored["state"], stored["attempts"], stored["fence"]) == (doc.state, doc.attempts, doc.fence)
        holder = self.claims[doc.claim.serial].token if doc.claim != NO_CLAIM else None
        assert stored.get("claim") == holder
        assert ("cancel_requested_at" in stored) == doc.marked
        assert stored.get("snoozes", 0) == doc.snoozes
        assert ("lease_until" in stored) == (doc.state in HELD)
        assert real.is_live(stored) == doc.live


@pytest.mark.fault("F62")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("begins", "cancels"), [(False, False), (True, False), (True, True)])
def test_f62_the_store_goes_the_ways_of_the_model(
    make_manager: MakeManager, jobs: Jobs, fault: FaultReport, begins: bool, cancels: bool
) -> None:
    manager = make_manager()
    manager.store.ready()
    scope = Scope(
        jobs=1,
        faults=fault.length(1, 2),
        claims=2 if begins or cancels else 3,
        failovers=False,
        begins=begins,
        cancels=cancels,
        snoozes=cancels,
    )
    search = Search(Rules(), scope)
    ways = search.landmarks(landmark)
    steps = refused = 0
    for way in ways:
        replay = Replay(manager.store, jobs)
        manager.create(real.TYPE, id=ID, max_attempts=2)
        for event, before, after in search.walk(way):
            replay.step(event, before, after)
            try:
                replay.check(after.doc)
            except AssertionError as error:
                error.add_note(f"after {event} of {' -> '.join(map(str, way))}")
                raise
            steps += 1
        refused += replay.refused
    fault.struck(refused, "writes refused or recognised")
    fault.figure("ways replayed", len(ways))
    fault.figure("steps replayed", steps)
