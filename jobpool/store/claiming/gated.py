"""Jobs of limited types: keys take turns, and no more of them are held, or claimed per time, than limits say."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil, inf

import pymongo
from pymongo.client_session import ClientSession

from ...chance import RANDOM
from ...errors import StoreError, StoreRefused, StoreUnavailable
from ...limits import Gate
from ...logs import bounded_logger_of
from ..connection import Connection
from ..documents import Document
from ..driver import run
from ..gates import SECTION, GateName, Gates, Holders, Lock
from ..indexes import LIMIT_INDEXES, await_indexes, ensure_indexes
from .claimed import Claimed, Request, Unknown, nothing
from .keys import MOST_READS, Keys, Slot
from .quota import Quota, names_of, shares, wants_of
from .window import Window

logger = bounded_logger_of(__name__)

#: Seconds for which a gate that was full is not asked again, unless a place became free here.
FULL_FOR = 0.5
#: Seconds, about, until a gate that another pool has locked is tried again: some claims take so long. Twice as
#: long with every time that it is locked again, so that many pools at one gate do not live from asking.
BUSY_FOR, BUSY_FOR_MOST = 0.01, 0.32
#: Seconds between two reaps that a full gate asks for; there may be what cannot be taken back.
REAPS_EVERY = 1.0
#: From so many slots on, and while so large a share of gates turns out to be full, it is looked which are before
#: any is locked: a read costs less than a write, and nothing where it is not needed.
PEEKS, SHARE_FULL = 8, 0.2
#: Between two looks for gates to forget (seconds).
FORGETS_EVERY = 6 * 3600.0
#: Seconds without a look after one that found everything full, while other types have jobs.
RESTS = 0.05
#: Whoever wrote a list where a text is to be: it matches what is in it, and is no job of ours.
_NO_LIST: Document = {"$not": {"$type": "array"}}
#: The longest sleep for a token (seconds): the limit may be another one by then.
LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class _Shut:
    """A gate through which nobody gets before a monotonic instant; sooner if a place becomes free here."""

    until: float
    full: bool
    busy: bool = False  # somebody else has locked it: in a moment it may be open


class Gated(Window):
    """Claims what `Request.gates` lets through, the keys of each type in turns.

    `store.gates` says why never more are held than a limit allows. Priority is
    exact within a key. A claim takes equal shares of the keys whose turn it is.

    Attributes:
        waits: Whether jobs were due that a limit held back when it looked last, or that may have no key yet.
        expired: Whether a full gate has a holder whose lease is over: a reap frees its place; then `reopen`.

    Threads: one (a pool's fetcher); but for `freed`. `_shut` is a dict whose
    items are replaced whole, and `_freed` counts upward.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.waits = False
        self.expired = False
        self._gates = Gates(connection)
        self._keys = Keys(connection)
        self._shut: dict[GateName, _Shut] = {}
        self._freed = 0
        self._ready = False
        self._peeks = True
        self._busy_for = BUSY_FOR / 2
        self._reaps_at = 0.0
        self._rests_until = 0.0
        self._forgets_at = time.monotonic()
        self._chosen: frozenset[Slot] = frozenset()
        self._until: datetime | None = None
        self._sent = False
        self._won: int | None = None

    # --- what others ask ------------------------------------------------------------------

    def freed(self, owner: str, key: str) -> bool:
        """Hear that a place became free; return whether jobs were waiting. Threads: any."""
        self._freed += 1
        for name in ((owner, key), (owner, None)):
            shut = self._shut.get(name)
            if shut is not None and shut.full:
                self._shut.pop(name, None)
                self._rests_until = 0.0
        return self.waits

    def reopen(self) -> None:
        """Take note that places may have become free; `expired` begins anew."""
        self.expired, self._reaps_at = False, time.monotonic() + REAPS_EVERY
        self._freed += 1
        self._shut = {name: shut for name, shut in self._shut.copy().items() if not shut.full}

    @property
    def rests(self) -> bool:
        """Whether it found everything full a moment ago."""
        return time.monotonic() < self._rests_until

    @property
    def busy(self) -> bool:
        """Whether there may be more in a moment: somebody else has locked a gate, or jobs are to be given keys."""
        return self._keys.unseen or any(shut.busy for shut in self._shut.copy().values())

    @property
    def again_in(self) -> float:
        """In how many seconds what is held back may go through without a place becoming free; or infinity."""
        opens = (shut.until for shut in self._shut.copy().values() if not shut.full)
        return max(0.0, min(self._keys.more_at, *opens, inf) - time.monotonic())

    # --- the claim ------------------------------------------------------------------------

    def claim(self, request: Request) -> Claimed:
        """Take up to ``request.limit`` jobs that their gates let through."""
        if not request.gates:
            return nothing()
        freed = self._freed  # the first: what is told from here on may go by `_open`
        self._open()
        if not self._ready:
            run(ensure_indexes(self._connection, LIMIT_INDEXES))
        self._ready = False  # an error may say that they were dropped
        claimed = self._with_indexes(request, request.gates)
        self._ready = True
        if self._freed != freed:  # while we looked: what was full may not be
            self._shut = {name: shut for name, shut in self._shut.copy().items() if not shut.full}
            claimed = replace(claimed, drained=claimed.drained and not self.waits)
        self._rests_until = time.monotonic() + RESTS if claimed.drained and not claimed.documents else 0.0
        return claimed

    def _with_indexes(self, request: Request, gates: Mapping[str, Gate]) -> Claimed:
        """Claim, and once more if another pool was still building the indexes: the server lists those as well."""
        try:
            return self._claim(request, gates)
        except StoreRefused as error:
            if error.kind != "index":
                raise
            run(await_indexes(self._connection, LIMIT_INDEXES))
        return self._claim(request, gates)

    def _open(self) -> None:
        """Forget what was shut and may be open again, and now and then gates that nobody uses."""
        now = time.monotonic()
        self._shut = {name: shut for name, shut in self._shut.copy().items() if shut.until > now}
        if now >= self._forgets_at:
            self._forgets_at = now + FORGETS_EVERY
            self._gates.forget()

    def _claim(self, request: Request, gates: Mapping[str, Gate]) -> Claimed:
        held_back = 0

        def blocked(slot: Slot) -> bool:
            nonlocal held_back
            shut = any(name in self._shut for name, _ in names_of(gates[slot.type], slot.key))
            held_back += shut
            return shut

        slots = self._keys.slots(gates, blocked)
        if self._peeks and len(slots) > PEEKS:
            open_slots = self._peeked(slots, gates)
            self._peeks = len(open_slots) < len(slots) * (1 - SHARE_FULL)
            held_back += len(slots) - len(open_slots)
            slots = open_slots
        turn = self._turn_of(slots, gates, request.limit)
        self._keys.served(turn)
        claimed = self._through(request, gates, turn) if turn else None
        self._keys.contended = claimed is not None and claimed.conflicts > 0
        held_back += sum(blocked(slot) for slot in slots)
        self.waits = held_back > 0 or self._keys.unseen
        left = len(turn) < len(slots) or (bool(turn) and not self._keys.complete)
        if claimed is None:
            return nothing(drained=not left)
        self._learn(claimed)
        return replace(claimed, drained=claimed.drained and not left)

    def _peeked(self, slots: list[Slot], gates: Mapping[str, Gate]) -> list[Slot]:
        """Return those of `slots` whose gates were not full a moment ago."""
        for gate in dict.fromkeys(gates[slot.type] for slot in slots):
            keys = {slot.key for slot in slots if gates[slot.type] is gate}
            held = self._held(gate, keys)
            rated = {}
            for key in keys:
                for name, limit in names_of(gate, key):
                    if limit.running is not None and _of(held, name) >= limit.running:
                        self._found_full(name, held)
                    if limit.rate is not None:
                        rated[name] = limit
            for name, wait in (self._gates.next_tokens(rated) if rated else {}).items():
                if wait > 0:
                    self._shut[name] = _Shut(time.monotonic() + min(wait, LONGEST_WAIT), full=False)
        return [
            slot
            for slot in slots
            if not any(name in self._shut for name, _ in names_of(gates[slot.type], slot.key))
        ]

    def _turn_of(self, slots: list[Slot], gates: Mapping[str, Gate], limit: int) -> dict[Slot, int]:
        """Return the slots whose turn it is, and how many jobs of each to ask for.

        Of a type that lets a few through, no more keys than that. What is not
        known yet has to be read: of many keys one job each, in one read, or
        more of a few keys, in a read for each; whichever brings more.
        """
        turn = self._firsts(slots, gates, limit)
        if self._keys.complete:
            return shares(limit, gates, turn)  # of what there is, it is the turns that make equal shares
        deep = shares(ceil(limit / max(1, min(len(turn), MOST_READS))), gates, turn[:MOST_READS])
        return deep if sum(deep.values()) > len(turn) else dict.fromkeys(turn, 1)

    def _firsts(self, slots: list[Slot], gates: Mapping[str, Gate], limit: int) -> list[Slot]:
        left: dict[str, int] = {}
        turn: list[Slot] = []
        for slot in slots:
            if len(turn) == limit:
                break
            gate = gates[slot.type]
            if gate.limit is not None:
                left[gate.owner] = left.get(gate.owner, gate.limit.most) - 1
                if left[gate.owner] < 0:
                    continue
            turn.append(slot)
        return turn

    def _through(self, request: Request, gates: Mapping[str, Gate], most: Mapping[Slot, int]) -> Claimed:
        """Claim of these slots what goes through their gates."""
        wants = wants_of(request.limit, gates, most)
        self._sent = False
        if not wants:
            return self._take_some(request, gates, most, Quota())
        with self._gates.session() as session, pymongo.timeout(SECTION):
            lock = self._gates.lock(wants, session)
            self._note_refused(lock)
            if not lock.taken:
                return nothing()
            quota = Quota()
            try:
                self._count(quota, lock, gates, most, session)
                self._until = lock.until
                claimed = self._take_some(request, gates, most, quota)
            except BaseException:
                self._end(lock, quota, sent=self._sent)
                raise
            finally:
                self._until = None
        self._end(lock, quota, sent=self._sent)
        return claimed

    def _note_refused(self, lock: Lock) -> None:
        """Leave gates alone for a moment that others have locked."""
        self._busy_for = min(self._busy_for * 2, BUSY_FOR_MOST) if lock.refused else BUSY_FOR
        for name in lock.refused:
            until = time.monotonic() + self._busy_for * (0.5 + RANDOM.random())
            self._shut[name] = _Shut(until, full=False, busy=True)

    def _count(
        self, quota: Quota, lock: Lock, gates: Mapping[str, Gate], turn: Collection[Slot], session: ClientSession
    ) -> None:
        """Find out behind the lock how many may go through each gate."""
        for gate in dict.fromkeys(gates[slot.type] for slot in turn):
            keys = {slot.key for slot in turn if gates[slot.type] is gate}
            held = self._held(gate, keys, session)
            for name, limit in dict.fromkeys(pair for key in keys for pair in names_of(gate, key)):
                quota.tokens[name] = lock.taken.get(name, 0)
                quota.places[name] = inf if limit.running is None else limit.running - _of(held, name)
                if quota.places[name] <= 0:
                    self._found_full(name, held)
        full = sum(places <= 0 for places in quota.places.values())
        self._peeks = self._peeks or full > len(quota.places) * SHARE_FULL

    def _held(self, gate: Gate, keys: Collection[str], session: ClientSession | None = None) -> Holders:
        """Count the holders, if anybody wants to know."""
        if gate.limit is not None and gate.limit.running is not None:
            return self._gates.holders(gate, None, session)
        if gate.key_limit is not None and gate.key_limit.running is not None:
            return self._gates.holders(gate, keys, session)
        return Holders({}, None)

    def _found_full(self, name: GateName, held: Holders) -> None:
        self._shut[name] = _Shut(time.monotonic() + FULL_FOR, full=True)
        if held.first_end is not None and time.monotonic() >= self._reaps_at:
            self.expired |= held.first_end < self._connection.clock.now()

    def _take_some(
        self, request: Request, gates: Mapping[str, Gate], most: Mapping[Slot, int], quota: Quota
    ) -> Claimed:
        """Claim what the quota allows, of each slot in turn."""
        names = {slot: [name for name, _ in names_of(gates[slot.type], slot.key)] for slot in most}
        open_slots = [slot for slot in most if quota.allows(names[slot])]
        found = self._keys.jobs_of(open_slots, most, self.factor if self._until is None else 1)
        chosen: dict[str, Slot] = {}
        queues = {slot: deque(ids) for slot, ids in found.items()}
        while queues and len(chosen) < request.limit:
            for slot, ids in list(queues.items()):
                if not ids or not quota.allows(names[slot]):
                    del queues[slot]
                elif len(chosen) < request.limit:
                    quota.take(names[slot])
                    chosen[ids.popleft()] = slot
        if not chosen:
            return nothing()
        self._chosen = frozenset(chosen.values())
        claimed = self._take(replace(request, types=_types_of(self._chosen)), list(chosen), drained=not queues)
        if not self._sent and len(claimed.documents) == self._won:
            won = {document["_id"] for document in claimed.documents}
            for id, slot in chosen.items():
                if id not in won:
                    quota.give_back(names[slot])
        return self._checked(claimed)

    def _claimable(self, request: Request) -> Document:
        filter = super()._claimable(request)
        filter["key"] = {"$in": list({slot.key for slot in self._chosen}), **_NO_LIST}
        filter["type"] |= _NO_LIST
        if self._until is not None:
            in_time = {"$lt": ["$$NOW", self._until]}
            filter["$expr"] = {"$and": [filter["$expr"], in_time]} if "$expr" in filter else in_time
        return filter

    def _update(
        self, request: Request, ids: Sequence[str], token: str
    ) -> tuple[int | None, StoreUnavailable | None]:
        self._sent = True
        won, failure = super()._update(request, ids, token)
        if failure is None:
            self._sent, self._won = False, won  # it was answered: nothing of it comes later
        return won, failure

    def _checked(self, claimed: Claimed) -> Claimed:
        """Return a claim without jobs that are not what they were when found: removed, and created anew."""
        fit = [
            document for document in claimed.documents if Slot(document["type"], document["key"]) in self._chosen
        ]
        if len(fit) == len(claimed.documents):
            return claimed
        others = tuple(document["_id"] for document in claimed.documents if document not in fit)
        self.unknown.append(Unknown(claimed.token, others, time.monotonic()))
        return replace(claimed, documents=fit)

    def _end(self, lock: Lock, quota: Quota, *, sent: bool) -> None:
        """Unlock, unless a claim may be under way that nobody knows of; take note of what is shut now."""
        now = time.monotonic()
        for name in lock.taken:
            if quota.places.get(name, inf) <= 0:
                self._shut[name] = _Shut(now + FULL_FOR, full=True)
            elif quota.tokens.get(name, inf) <= 0:
                wait = min(lock.waits.get(name, 0.0), LONGEST_WAIT)
                self._shut[name] = _Shut(now + wait, full=False)
        if sent:
            return
        try:
            self._gates.unlock(lock, quota.taken)
        except StoreError as error:
            logger.debug("gates were not unlocked and open by themselves: %s", error)


def _of(held: Holders, name: GateName) -> int:
    return held.total if name[1] is None else held.by_key.get(name[1], 0)


def _types_of(slots: Iterable[Slot]) -> tuple[str, ...]:
    return tuple({slot.type for slot in slots})
