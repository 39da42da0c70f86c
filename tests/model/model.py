"""Two pools, one job each time, a network and a replica set: every step that can be taken.

What a pool knows of a job is a `Slot`. The rules for the document are in
`rules`; those for the pools are here, with their source:

- a claim is never sent twice; what nobody learns of comes back by its lease
  (`claiming.batch`);
- a claim may start its job as well (``begin``). If its answer is lost the pool
  gives the job back, until that is answered, and the server does not apply
  the claim any more when the pool ends that (`pool.fetcher`, `claiming.claimed`);
- a start is repeated until answered, and may arrive after the deadline before
  which it was sent; then the deadline is looked at again, and without a
  certain lease the job is given back instead of called (`pool.starter`);
- an outcome is repeated until answered, lease or no lease (`pool.recorder`);
- a deadline counts from before the request was sent (`pool.heartbeat`): while
  a pool is certain of a lease the server's clock has not ended it.

Somebody who holds nothing may cancel the job (`store.cancelling`), and is told
what came of it or not. Whoever is told is believed: see `Job.barred`.

A call goes well, or it goes wrong in one of three ways that the pool cannot
tell apart: its request stays on its way (and arrives late or never), its
answer is lost, or it arrives twice. What went wrong is repeated.

Time is only this order: `late` lets a pool's deadline pass, and `expire` the
lease on the server, never before the deadline of its holder. Heartbeats that
change nothing are not steps. A pool that stands still takes no step; `pause`
jumps to where all its leases are over. Steps marked as faults cost one from
the budget of the search. What happens to one job does not depend on the
others, but for what strikes a pool or the server: see `strike`.

A replica set in trouble is ``isolated``: the primary takes writes which no
majority confirms, so every answer is lost. It ends with `heal`, or with
`failover`, which rolls those writes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .rules import CANCELLED, FAILED, FINAL, HELD, NO_CLAIM, RETRY, RUNNING, SNOOZE, SUCCEEDED, Claim, Doc, Rules

POOLS = (0, 1)

# Where a job is inside a pool; `AWAITED` is a claim whose answer takes its time.
# `UNKNOWN` is one that started its job, for all the pool knows.
FREE, AWAITED, QUEUED, STARTED, EXECUTING, ENDED = "free", "awaited", "queued", "started", "executing", "ended"
UNKNOWN = "unknown"
#: Of a job that nobody has been told to be cancelled or asked to end.
UNBARRED = -1


class Slot(NamedTuple):
    """What a pool knows of a job: its claim, and whether its lease is certain by the pool's own clock."""

    stage: str = FREE
    claim: Claim = NO_CLAIM
    attempt: int = 0
    outcome: str = ""
    certain: bool = False


class Message(NamedTuple):
    """A request on its way whose sender does not wait for it any more."""

    operation: str
    claim: Claim
    outcome: str = ""


class World(NamedTuple):
    """What all jobs share."""

    draining: tuple[bool, ...] = (False, False)
    isolated: bool = False

    def drained(self, pool: int) -> World:
        """Return the world in which a pool has begun to drain."""
        return self._replace(draining=(True, self.draining[1]) if pool == 0 else (self.draining[0], True))


class Job(NamedTuple):
    """One job, everywhere.

    `majority` is what a majority has while the primary is isolated, else
    None: the same. `runs` counts the calls of the executor, in the real world.
    `owed` is the serial of a claim that started the job without its pool
    learning of it: while the pool lives and is not late, it must come back.
    `barred` is set when somebody is told that it is cancelled, or asked to end:
    from then on only the claim of that serial, which ran then, may be called.
    """

    doc: Doc = Doc()
    majority: Doc | None = None
    runs: int = 0
    owed: int = 0
    barred: int = UNBARRED
    slots: tuple[Slot, ...] = (Slot(), Slot())
    network: tuple[Message, ...] = ()

    @property
    def committed(self) -> Doc:
        """The document that no failover takes back."""
        return self.doc if self.majority is None else self.majority

    def with_slot(self, pool: int, slot: Slot) -> Job:
        """Return the job with another slot of one pool."""
        return self._replace(slots=(slot, self.slots[1]) if pool == 0 else (self.slots[0], slot))

    def sending(self, message: Message) -> Job:
        """Return the job with one more request on its way; their order tells nothing."""
        return self._replace(network=tuple(sorted((*self.network, message))))

    @property
    def known(self) -> set[Claim]:
        """Every claim that some pool or some request still knows."""
        return {slot.claim for slot in self.slots} | {message.claim for message in self.network}

    def forgetting(self) -> Job:
        """Return the job without the records of claims that nobody knows any more."""
        known = self.known
        there = {claim.serial for claim in (*known, self.doc.claim, self.committed.claim)}
        if self.owed and self.owed not in there:
            return self._replace(owed=0).forgetting()
        if self.barred > 0 and not any(slot.claim.serial == self.barred for slot in self.slots):
            return self._replace(barred=0).forgetting()
        if not self.doc.recorded and not (self.majority and self.majority.recorded):
            return self
        majority = self.majority and self.majority.forgetting(known)
        return self._replace(doc=self.doc.forgetting(known), majority=majority)


class Step(NamedTuple):
    """One thing that may happen to a job; `broken` is the invariant that the step itself breaks."""

    action: str
    pool: int | None
    job: Job
    fault: bool = False
    broken: str = ""


@dataclass(frozen=True)
class Scope:
    """How much of it is tried."""

    jobs: int = 2
    faults: int = 2
    claims: int = 3  # of one job
    network: int = 1  # requests of one job that nobody waits for
    drains: int = 1
    failovers: bool = True
    begins: bool = False  # claims that start their job as well
    cancels: bool = False
    snoozes: int = 0  # of one job


@dataclass(frozen=True)
class Model:
    """The steps of one job under some rules."""

    rules: Rules
    scope: Scope

    def steps(self, job: Job, world: World) -> Iterator[Step]:
        """Yield everything that may happen to `job` next."""
        for pool, slot in enumerate(job.slots):
            if slot.stage == FREE:
                yield from self._claim(job, world, pool)
                if self.scope.begins:
                    yield from self._begin(job, world, pool)
                continue
            if slot.stage == UNKNOWN:
                yield from self._disown(job, world, pool, slot)
            if slot.stage == AWAITED and self._answered(world):
                yield Step("claim answered late", pool, job.with_slot(pool, self._queued(slot)))
            elif slot.stage == QUEUED:
                yield from self._start(job, world, pool, slot)
            elif slot.stage == STARTED:
                yield from self._execute(job, pool, slot)
            elif slot.stage == EXECUTING:
                yield from self._end(job, pool, slot)
            elif slot.stage == ENDED:
                yield from self._finish(job, world, pool, slot)
            yield from self._give_back(job, world, pool, slot)
            yield from self._lease(job, world, pool, slot)
        if self.scope.cancels and job.barred == UNBARRED:
            yield from self._cancel(job, world)
        yield from self._network(job, world)
        yield from self._housekeeping(job)

    # --- a pool's way with a job ------------------------------------------------------------

    def _claim(self, job: Job, world: World, pool: int) -> Iterator[Step]:
        if world.draining[pool] or job.doc.fence >= self.scope.claims:
            return
        claim, doc = self._claimed(job)
        if doc is not None:
            won = Slot(AWAITED, claim, job.doc.attempts + 1, certain=True)
            taken = job._replace(doc=doc)
            if self._answered(world):
                yield Step("claim", pool, taken.with_slot(pool, self._queued(won)))
            yield Step("claim, answer delayed", pool, taken.with_slot(pool, won), fault=not world.isolated)
            yield Step("claim, answer lost", pool, taken, fault=not world.isolated)
        if self._room(job):
            yield Step("claim delayed", pool, job.sending(Message("claim", NO_CLAIM)), fault=True)

    def _begin(self, job: Job, world: World, pool: int) -> Iterator[Step]:
        """Claim for a thread that is free."""
        if world.draining[pool] or job.doc.fence >= self.scope.claims:
            return
        claim, doc = self._claimed(job, begun=True)
        lost = Slot(UNKNOWN, claim, certain=True) if self.rules.begin_disowned else Slot()
        if doc is not None:
            taken = job._replace(doc=doc)
            if self._answered(world):
                won = Slot(STARTED, claim, doc.attempts, certain=True)
                yield Step("begin", pool, taken.with_slot(pool, won))
            unknown = taken._replace(owed=claim.serial).with_slot(pool, lost)
            yield Step("begin, answer lost", pool, unknown, fault=not world.isolated)
        if self._room(job):
            waiting = job.with_slot(pool, lost._replace(claim=NO_CLAIM))
            yield Step("begin delayed", pool, waiting.sending(Message("begin", NO_CLAIM)), fault=True)

    def _disown(self, job: Job, world: World, pool: int, slot: Slot) -> Iterator[Step]:
        """Give back what may be running under a claim whose answer was lost, for as long as it may come to run."""
        on_its_way = self.rules.begin_bounded and any(message.operation == "begin" for message in job.network)
        if slot.claim != NO_CLAIM:
            given = slot if on_its_way else Slot()
            then: dict[bool | None, Slot] = {True: given, False: given, None: slot}
            for step in self._call(job, world, pool, Message("release", slot.claim), then):
                yield step._replace(action=step.action.replace("release", "disown"))
        elif not on_its_way and self._answered(world):
            yield Step("disown nothing", pool, job.with_slot(pool, Slot()))

    def _queued(self, slot: Slot) -> Slot:
        return slot._replace(stage=QUEUED, certain=slot.certain or not self.rules.deadline_from_request)

    def _start(self, job: Job, world: World, pool: int, slot: Slot) -> Iterator[Step]:
        started = slot._replace(stage=STARTED)
        request = Message("start", slot.claim)
        if self.rules.start_before_call:
            yield from self._call(job, world, pool, request, {True: started, False: Slot(), None: slot})
        elif self._room(job):
            yield Step("start unasked", pool, job.sending(request).with_slot(pool, started))

    def _execute(self, job: Job, pool: int, slot: Slot) -> Iterator[Step]:
        if slot.certain or not self.rules.deadline_before_call:
            called = job.with_slot(pool, slot._replace(stage=EXECUTING))
            broken = "" if slot.certain else "I3"  # called under a lease that may be over
            if job.barred not in (UNBARRED, slot.claim.serial):
                broken = "I8"
            yield Step("call executor", pool, called._replace(runs=job.runs + 1), broken=broken)

    def _end(self, job: Job, pool: int, slot: Slot) -> Iterator[Step]:
        failure = RETRY if slot.attempt < job.doc.allowed else FAILED
        ends = [("executor returns", SUCCEEDED), ("executor raises", failure)]
        if job.doc.snoozes < self.scope.snoozes:
            ends.append(("executor snoozes", SNOOZE))
        for action, outcome in ends:
            yield Step(action, pool, job.with_slot(pool, slot._replace(stage=ENDED, outcome=outcome)))

    def _finish(self, job: Job, world: World, pool: int, slot: Slot) -> Iterator[Step]:
        request = Message("finish", slot.claim, slot.outcome)
        unsure = slot if self.rules.finish_until_answered else Slot()
        for step in self._call(job, world, pool, request, {True: Slot(), False: Slot(), None: unsure}):
            doc = step.job.doc
            dropped = unsure != slot and slot.certain and step.job.slots[pool] == Slot()
            # The lease was ours, the work is done, and nobody will ever say so.
            broken = "I6" if dropped and slot.claim.serial not in doc.recorded else step.broken
            yield step._replace(broken=broken)

    def _give_back(self, job: Job, world: World, pool: int, slot: Slot) -> Iterator[Step]:
        """Release what was not called: because its lease is not certain any more, or because the pool stops.

        It leaves the pool before the request is sent, so nobody waits for the answer.
        """
        uncalled = slot.stage in (QUEUED, STARTED)
        called = slot.stage == EXECUTING and not self.rules.release_only_uncalled
        if (uncalled and not slot.certain) or ((uncalled or called) and world.draining[pool]):
            free = dict.fromkeys((True, False, None), Slot())
            yield from self._call(job, world, pool, Message("release", slot.claim), free)

    def _call(
        self, job: Job, world: World, pool: int, request: Message, then: dict[bool | None, Slot]
    ) -> Iterator[Step]:
        """Ask the store; `then` is the slot by the answer, of None if there was none."""
        name = request.operation
        doc = self._apply(job.doc, request)
        stands = True if doc is not None else self.rules.stands(job.doc, name, request.claim)
        after = job if doc is None else job._replace(doc=doc)
        broken = _stale(job.doc, doc, request.claim) or _untrue(after.doc, request, stands)
        fault = not world.isolated
        if self._answered(world):
            answered = after.with_slot(pool, then[stands])
            yield Step(name, pool, answered, broken=broken)
            if self._room(job):
                yield Step(f"{name}, twice", pool, answered.sending(request), fault=True, broken=broken)
        yield Step(f"{name}, answer lost", pool, after.with_slot(pool, then[None]), fault=fault, broken=broken)
        if self._room(job):
            yield Step(f"{name} delayed", pool, job.sending(request).with_slot(pool, then[None]), fault=True)

    def _cancel(self, job: Job, world: World) -> Iterator[Step]:
        """Let somebody who holds nothing cancel the job, and be told what came of it, or not."""
        request = Message("cancel", NO_CLAIM)
        after = job._replace(doc=self.rules.cancel(job.doc) or job.doc)
        if after.doc.state == CANCELLED or after.doc.marked:
            fault = not world.isolated
            runs = after.doc.state == RUNNING
            told = after._replace(barred=after.doc.claim.serial if runs else 0)
            if self._answered(world):
                yield Step("cancel", None, told)
                if self._room(job):
                    yield Step("cancel, twice", None, told.sending(request), fault=True)
            if after != job:
                yield Step("cancel, answer lost", None, after, fault=fault)
        if self._room(job) and job.doc.state not in FINAL:
            yield Step("cancel delayed", None, job.sending(request), fault=True)

    def _network(self, job: Job, world: World) -> Iterator[Step]:
        """Let a request arrive that nobody waits for any more."""
        for message in dict.fromkeys(job.network):
            rest = list(job.network)
            rest.remove(message)
            if message.operation == "begin":
                yield from self._late_begin(job, job._replace(network=tuple(rest)))
                continue
            if message.operation == "claim":
                doc, broken = self._claimed(job)[1], ""
            else:
                doc = self._apply(job.doc, message)
                broken = "" if message.operation == "cancel" else _stale(job.doc, doc, message.claim)
            after = job._replace(doc=doc or job.doc, network=tuple(rest))
            yield Step(f"late {message.operation} arrives", None, after, broken=broken)

    def _late_begin(self, job: Job, rest: Job) -> Iterator[Step]:
        """Let a claim arrive late: not too late for the server, as long as its pool waits for that."""
        waits = [pool for pool, slot in enumerate(job.slots) if slot.stage == UNKNOWN and slot.claim == NO_CLAIM]
        claim, doc = self._claimed(job, begun=True)
        if doc is None or not (waits or not self.rules.begin_bounded):
            yield Step("late begin refused", None, rest)
            return
        late = waits and not job.slots[waits[0]].certain
        begun = rest._replace(doc=doc, owed=0 if late else claim.serial)
        for pool in waits[:1]:
            begun = begun.with_slot(pool, job.slots[pool]._replace(claim=claim))
        yield Step("late begin arrives", None, begun)
        yield Step("late begin refused", None, rest)

    # --- leases -----------------------------------------------------------------------------

    def _lease(self, job: Job, world: World, pool: int, slot: Slot) -> Iterator[Step]:
        """Pass a pool's deadline for want of confirmed heartbeats, or let a heartbeat come through after all."""
        request = Message("extend", slot.claim)
        if slot.certain:
            unkept = world.draining[pool] and not self.rules.heartbeat_outlives_drain
            excused = world.isolated or unkept or slot.stage == AWAITED
            passed = _unowed(job, pool).with_slot(pool, slot._replace(certain=False))
            yield Step("late", pool, passed, fault=not excused)
            if self._room(job):
                yield Step("extend delayed", pool, passed.sending(request), fault=True)
        elif slot.stage not in (AWAITED, UNKNOWN) and self._answered(world):
            doc = self._apply(job.doc, request)
            if doc is not None:
                extended = job._replace(doc=doc).with_slot(pool, slot._replace(certain=True))
                yield Step("extend", pool, extended, broken=_stale(job.doc, doc, slot.claim))

    def _housekeeping(self, job: Job) -> Iterator[Step]:
        doc = job.doc
        if doc.live and not any(slot.certain and slot.claim == doc.claim for slot in job.slots):
            yield Step("expire", None, job._replace(doc=doc._replace(live=False)))
        reaped = self.rules.reap(doc)
        if reaped is not None:
            # Its attempt was spent, and it never ran.
            broken = "I5" if doc.state == RUNNING and doc.claim.serial == job.owed else ""
            yield Step(f"reap {doc.state} to {reaped.state}", None, job._replace(doc=reaped), broken=broken)

    # --- details ----------------------------------------------------------------------------

    def _apply(self, doc: Doc, message: Message) -> Doc | None:
        return self.rules.write(doc, message.operation, message.claim, message.outcome)

    def _claimed(self, job: Job, *, begun: bool = False) -> tuple[Claim, Doc | None]:
        serial = job.doc.fence + 1
        if serial == job.owed or any(claim.serial == serial for claim in (*job.known, job.committed.claim)):
            serial += 100  # a claim that was rolled back had this fence
        claim = self.rules.new_claim(job.doc, serial)
        return claim, self.rules.begin(job.doc, claim) if begun else self.rules.claim(job.doc, claim)

    def _room(self, job: Job) -> bool:
        return len(job.network) < self.scope.network

    def _answered(self, world: World) -> bool:
        return not (world.isolated and self.rules.majority)


# --- what strikes a pool or the server -------------------------------------------------------


def strike(what: str, job: Job, pool: int | None) -> Job:
    """Return the job after what strikes all jobs at once."""
    if pool is not None:
        return {"crash": _crash, "pause": _pause, "drain": _drain}[what](job, pool)
    return {"isolate": _isolate, "heal": _heal, "failover": _failover}[what](job)


def _crash(job: Job, pool: int) -> Job:
    """Forget all that the pool knew."""
    return _unowed(job, pool).with_slot(pool, Slot())


def _unowed(job: Job, pool: int) -> Job:
    """Excuse a pool from giving back what it may have started: it cannot any more, or not in time."""
    slot = job.slots[pool]
    waits = slot.stage == UNKNOWN and slot.claim.serial in (NO_CLAIM.serial, job.owed)
    return job._replace(owed=0) if waits else job


def _pause(job: Job, pool: int) -> Job:
    """Stand still until every lease of the pool is over, here and on the server."""
    slot = job.slots[pool]
    ours = slot.certain and job.doc.state in HELD and job.doc.claim == slot.claim
    doc = job.doc._replace(live=False) if ours else job.doc
    return _unowed(job._replace(doc=doc), pool).with_slot(pool, slot._replace(certain=False))


def _drain(job: Job, pool: int) -> Job:
    """Nothing changes for a job: its pool only claims no more, and may give it back."""
    return job


def _isolate(job: Job) -> Job:
    """From here on no majority has what the primary writes."""
    return job._replace(majority=job.doc)


def _heal(job: Job) -> Job:
    """The majority catches up."""
    return job._replace(majority=None)


def _failover(job: Job) -> Job:
    """Roll back what no majority has; the answers that were awaited never come."""
    slots = tuple(Slot() if slot.stage == AWAITED else slot for slot in job.slots)
    return job._replace(doc=job.committed, majority=None, slots=slots)


# --- invariants ------------------------------------------------------------------------------


def broken_by(before: Job, after: Job) -> str:
    """Return the invariant that going from `before` to `after` breaks, or an empty string.

    I2: what is final stays as it is.
    I3: no two pools are certain of a lease on one job (and none calls an executor without one).
    I4: only the current claim writes, and it is told the truth; see `_stale` and `_untrue`.
    I5: no more executions than allowed.
    I5 count: each is counted as an attempt before it begins, and attempts stay within what is allowed.
        One that ended in a snooze is counted no more, once.
    I6: nobody lets go of work that is done and not recorded; where nothing went
        wrong, nothing is reaped (`search`).
    I8: what somebody was told to be cancelled is not called, and what was asked to end not again (`Job.barred`).
    """
    old, new = before.committed, after.committed
    if old.state in FINAL and new.state != old.state:
        return "I2"
    if all(_holds(slot, after.doc) for slot in after.slots):
        return "I3"
    runs = after.runs - new.snoozes
    if runs > new.allowed:
        return "I5"
    return "" if runs <= new.attempts <= new.allowed else "I5 count"


def _holds(slot: Slot, doc: Doc) -> bool:
    """Whether the pool was told of its claim, is certain of its lease, and has not ended it by its finish."""
    return slot.certain and slot.stage not in (FREE, AWAITED, UNKNOWN) and slot.claim.serial not in doc.recorded


def _stale(before: Doc, after: Doc | None, claim: Claim) -> str:
    """I4: a write was applied although the job is under another claim."""
    return "I4" if after is not None and before.claim.serial != claim.serial else ""


def _untrue(doc: Doc, request: Message, stands: bool | None) -> str:
    """I4: a finish was called lost although it was recorded, or recorded although it was not."""
    if request.operation != "finish" or stands is None:
        return ""
    return "" if stands == (request.claim.serial in doc.recorded) else "I4"
