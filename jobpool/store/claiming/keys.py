"""Which keys of limited types have due jobs, in turns, and which jobs of theirs are next.

With few due jobs one read shows all of them. With many, of which all may be
of one key, the server skips through the key index, from key to key: one key
of the index for each. A page of keys is served once, then the next is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from pymongo import ASCENDING

from ...chance import RANDOM
from ...limits import Gate
from ..connection import Connection
from ..documents import Document
from ..indexes import CLAIM_INDEX, KEY_INDEX
from .claimed import MAX_TYPES, ORDER, due
from .keying import Keying, usable

#: Due jobs in one read: up to there all of them are seen, and so are their keys.
HEAD = 1000
#: Keys in one page. The server looks at up to 30,000 for it, in 40 ms, as it fills a buffer of its own.
PAGE = 1000
#: While there are more due jobs than `HEAD`, it is looked whether there still are so often (seconds).
LOOK_AGAIN = 2.0
#: What was read of a page is good for so long (seconds) unless others take what is in it, and else for so long;
#: then the heads of its keys are read anew.
FRESH, FRESH_AMONG_OTHERS = 2.0, 0.02
#: A page without anything to claim is followed by the next after so many times as long as it took.
RESTS = 10
#: Keys of which more than the first job is asked for in one claim: a read each.
MOST_READS = 16
_BY_TYPE = {"state": ASCENDING, "type": ASCENDING, "priority": -1, "run_at": ASCENDING}
_BY_KEY = {"state": ASCENDING, "type": ASCENDING, "key": ASCENDING, "priority": -1, "run_at": ASCENDING}


class Slot(NamedTuple):
    """The jobs of one type and key."""

    type: str
    key: str


@dataclass(slots=True)
class Page:
    """Some keys of a type that had due jobs when they were read, in the order to serve them."""

    keys: list[str] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)
    place: int = 0
    cursor: str = ""
    read_at: float = 0.0
    rests_until: float = 0.0


class Keys:
    """Finds slots with due jobs. Threads: one (a pool's fetcher); all fields are its own.

    Attributes:
        complete: Whether the slots that `slots` returned last are all there are; their jobs are known then.
        contended: Whether others take jobs of the same keys; the caller says so.
        unseen: Whether there may be due jobs without a key that nobody has looked at yet.
        more_at: Monotonic instant of the next page, if none of the keys of this one can be served, or of
            the next look for such jobs; or infinity.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = connection.reading
        self._keying = Keying(connection)
        self._pages: dict[str, Page] = {}
        self._ids: dict[Slot, list[str]] = {}
        self._many_until = 0.0
        self._after: Slot | None = None
        self._turn = 0
        self.complete = True
        self.contended = False
        self.unseen = False
        self.more_at = inf

    def slots(self, gates: Mapping[str, Gate], blocked: Callable[[Slot], bool]) -> list[Slot]:
        """Return slots with due jobs in the order of their turns, but for the blocked ones.

        Raises:
            StoreUnavailable: Nothing was changed, but for keys that jobs lacked.
        """
        types = self._types_of(gates)
        self.unseen, self.more_at = False, inf
        if time.monotonic() >= self._many_until:
            found = self._all(types, gates)
            if found is not None:
                self.complete = True
                return self._in_turn([slot for slot in found if not blocked(slot)])
            self._many_until = time.monotonic() + LOOK_AGAIN
        if self.complete:
            self.complete = False
            self._keying.begin()
        given = self._keying.given
        self._keying.newly_due(types, gates)
        self._keying.walk(types, gates)
        if self._keying.given != given:  # to those that a page without any has not seen
            for page in self._pages.values():
                page.rests_until = 0.0
        self.more_at = self._keying.first_round_goes_on_at(types)
        self.unseen = self.more_at < inf
        return self._of_pages(types, blocked)

    def _types_of(self, gates: Mapping[str, Gate]) -> tuple[str, ...]:
        """Return the types to look at now: all, unless they are more than one read takes."""
        types = tuple(gates)
        if len(types) <= MAX_TYPES:
            return types
        self._turn = (self._turn + MAX_TYPES) % len(types)
        return (*types[self._turn :], *types[: self._turn])[:MAX_TYPES]

    def _all(self, types: tuple[str, ...], gates: Mapping[str, Gate]) -> dict[Slot, list[str]] | None:
        """Return all due jobs by slot, their order that of the claim; None if they are too many."""
        with self._connection.call("claim", what="looking for due jobs of limited types"):
            read = self._jobs.find(due(self._connection, types), {"type": 1, "key": 1}).sort(ORDER)
            listed = list(read.limit(HEAD).batch_size(HEAD + 1).hint(CLAIM_INDEX))
        found = [item for item in listed if usable(item["_id"])]
        lacking = {item["_id"]: item["type"] for item in found if not isinstance(item.get("key"), str)}
        given = self._keying.give(lacking, gates) if lacking else {}
        self._ids = {}
        for item in found:
            key = item.get("key") if item["_id"] not in lacking else given.get(item["_id"])
            if isinstance(key, str) and isinstance(item["type"], str):
                self._ids.setdefault(Slot(item["type"], key), []).append(item["_id"])
        return self._ids if len(listed) < HEAD else None

    def _in_turn(self, slots: list[Slot]) -> list[Slot]:
        """Return the slots from the one on that follows the last one served."""
        slots.sort()
        if self._after is None:
            first = RANDOM.randrange(len(slots)) if slots else 0
        else:
            after = self._after
            first = next((place for place, slot in enumerate(slots) if slot > after), 0)
        return slots[first:] + slots[:first]

    # --- many ---------------------------------------------------------------------------

    def _of_pages(self, types: tuple[str, ...], blocked: Callable[[Slot], bool]) -> list[Slot]:
        """Return the rest of the pages of all types, the types taking turns in being the first."""
        slots: list[Slot] = []
        if len(types) > 1:
            types = self._with_due_jobs(types)
        if not types:
            return []
        first = self._turn = (self._turn + 1) % len(types)
        for type in types[first:] + types[:first]:
            page = self._pages.setdefault(type, Page())
            rest = self._rest_of(page, type, blocked)
            if not rest and time.monotonic() >= page.rests_until:
                self._turn_over(page, type)
                rest = self._rest_of(page, type, blocked)
                if not rest:
                    page.rests_until = time.monotonic() + RESTS * (time.monotonic() - page.read_at)
            if not rest and page.cursor:
                self.more_at = min(self.more_at, page.rests_until)
            slots += rest
        return slots

    def _with_due_jobs(self, types: tuple[str, ...]) -> tuple[str, ...]:
        """Return those that have any: one key of the index for each, instead of a page."""
        pipeline: list[Document] = [
            {"$match": due(self._connection, types)},
            {"$sort": _BY_TYPE},
            {"$group": {"_id": "$type"}},
        ]
        with self._connection.call("claim", what="looking for types with due jobs"):
            found = [item["_id"] for item in self._jobs.aggregate(pipeline, hint=CLAIM_INDEX)]
        return tuple(type for type in types if type in found)

    def _rest_of(self, page: Page, type: str, blocked: Callable[[Slot], bool]) -> list[Slot]:
        slots = [Slot(type, key) for key in page.keys[page.place :]]
        return [slot for slot in slots if not blocked(slot)]

    def _turn_over(self, page: Page, type: str) -> None:
        """Read the next page: the keys behind the last one, or from the first one on."""
        page.read_at = time.monotonic()
        heads = self._heads(type, {"$gt": page.cursor}, PAGE) if page.cursor else {}
        if not heads:  # behind the last page comes the first
            heads = self._heads(type, {"$gte": ""}, PAGE)
        keys = sorted(heads)
        first = RANDOM.randrange(len(keys)) if keys else 0
        page.keys, page.heads, page.place = keys[first:] + keys[:first], heads, 0
        page.cursor = keys[-1] if len(keys) >= PAGE else ""

    def _heads(self, type: str, keys: Document, most: int) -> dict[str, str]:
        """Return the first due job of each key: one key of the index for each, and none of their others."""
        pipeline = heads(self._connection, type, keys, most)
        with self._connection.call("claim", what="looking for keys with due jobs"):
            found = self._jobs.aggregate(pipeline, hint=KEY_INDEX, batchSize=most + 1)
            return {
                item["_id"]: item["id"] for item in found if isinstance(item["_id"], str) and usable(item["id"])
            }

    def served(self, slots: Iterable[Slot]) -> None:
        """Take note that these had their turn."""
        for slot in slots:
            self._after = slot
            page = self._pages.get(slot.type)
            if not self.complete and page is not None:
                page.place = max(page.place, page.keys.index(slot.key, page.place) + 1)

    def jobs_of(self, slots: list[Slot], most: Mapping[Slot, int], skips: int) -> dict[Slot, list[str]]:
        """Return the ids of the next due jobs of each of `slots`, so many as `most` says.

        Args:
            skips: Where more are free to be taken than others would take: so many
                batches behind the first are as good.
        """
        if self.complete:
            return {slot: self._ids[slot][: most[slot]] for slot in slots if slot in self._ids}
        deep = [slot for slot in slots if most[slot] > 1]
        found = {slot: self._next(slot, most[slot], skips) for slot in deep}
        for type in dict.fromkeys(slot.type for slot in slots):
            shallow = [slot.key for slot in slots if slot.type == type and slot not in found]
            for key, id in self._heads_of(type, shallow).items():
                found[Slot(type, key)] = [id]
        return {slot: found[slot] for slot in slots if found.get(slot)}

    def _heads_of(self, type: str, keys: list[str]) -> Mapping[str, str]:
        page = self._pages[type]
        if not keys:
            return {}
        if time.monotonic() - page.read_at < (FRESH_AMONG_OTHERS if self.contended else FRESH):
            return {key: page.heads[key] for key in keys}
        return self._heads(type, {"$in": keys}, len(keys))

    def _next(self, slot: Slot, most: int, skips: int) -> list[str]:
        skipped = RANDOM.randrange(skips) * most if skips > 1 else 0
        filter = {**due(self._connection, (slot.type,)), "key": {"$eq": slot.key}}
        with self._connection.call("claim", what="looking for due jobs of a key"):
            while True:
                read = self._jobs.find(filter, {"_id": 1}).sort(ORDER).skip(skipped).limit(most)
                found = [id for item in read.batch_size(most + 1).hint(KEY_INDEX) if usable(id := item["_id"])]
                if found or not skipped:
                    return found
                skipped = 0


def heads(connection: Connection, type: str, keys: Document, most: int) -> list[Document]:
    """Return the pipeline that finds the first due job of each key by `KEY_INDEX`."""
    return [
        {"$match": {**due(connection, (type,)), "type": type, "key": keys}},
        {"$sort": _BY_KEY},
        {"$group": {"_id": "$key", "id": {"$first": "$_id"}}},
        {"$limit": most},
    ]
