"""A client to a real server whose calls raise what they are dealt, by what they are for."""

from __future__ import annotations

import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

#: What a call of the driver is for, by the function of the store that makes it and the driver's method.
_PURPOSES = {
    ("candidate_cursor", "find"): "look",
    ("_update", "update_many"): "claim",
    ("_carrying", "find"): "read the claim",
    ("_claim_of", "find_one_and_update"): "claim one",
    ("release", "bulk_write"): "release",
    ("report", "bulk_write"): "report",
    ("asked_to_end", "find"): "ask",
    ("_read", "find"): "confirm",
    ("expired", "find"): "look for expired",
    ("_statements", "update_many"): "reap",
    ("ensure_indexes", "list_indexes"): "read the indexes",
    ("ensure_indexes", "create_indexes"): "create the indexes",
}


def _purpose(method: str) -> str | None:
    """Return what a call of `method` is for, from the function of ours that is nearest in the stack."""
    frame = sys._getframe(2)
    if "/jobpool/store/" not in frame.f_code.co_filename:
        return None  # the driver's own, or a test's
    if frame.f_code.co_name == "_apply":
        operation: str = frame.f_locals["operation"]
        return operation
    return _PURPOSES.get((frame.f_code.co_name, method))


class Deck:
    """The errors to come, by purpose: each is raised once, and between two of them a call goes through.

    Threads: any; `_lock` guards all fields.
    """

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._errors: dict[str, deque[Exception]] = defaultdict(deque)
        self._always: dict[str, Exception] = {}

    def deal(self, purpose: str, errors: Iterable[Exception]) -> None:
        """Let calls for `purpose` meet each of `errors`."""
        with self._lock:
            self._errors[purpose].extend(errors)

    def always(self, purposes: Iterable[str], error: Exception | None) -> None:
        """Let all calls for `purposes` meet `error`; None lets them through again."""
        with self._lock:
            for purpose in purposes:
                if error is None:
                    self._always.pop(purpose, None)
                else:
                    self._always[purpose] = error

    def left(self) -> dict[str, int]:
        """Return how many errors were not met yet, by purpose, if any."""
        with self._lock:
            return {purpose: len(errors) for purpose, errors in self._errors.items() if errors}

    def play(self, purpose: str | None) -> None:
        """Raise what a call for `purpose` is to meet, if anything."""
        if purpose is None:
            return
        with self._lock:
            self.asked[purpose] += 1
            error = self._always.get(purpose)
            if error is None and self.asked[purpose] % 2 and self._errors[purpose]:
                error = self._errors[purpose].popleft()
            if error is None:
                return
            self.met[purpose] += 1
        raise error


class _Stream:
    """A change stream that meets errors when it is read."""

    def __init__(self, stream: Any, deck: Deck) -> None:
        self._stream = stream
        self._deck = deck

    def try_next(self) -> Any:
        self._deck.play("next")
        return self._stream.try_next()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class HostileCollection(Collection[Any]):
    """A collection whose calls are played against the deck first."""

    deck: Deck

    def with_options(self, *args: Any, **options: Any) -> HostileCollection:
        plain = super().with_options(*args, **options)
        return _hostile(plain, self.deck)

    def find(self, *args: Any, **options: Any) -> Any:
        self.deck.play(_purpose("find"))
        return super().find(*args, **options)

    def update_many(self, *args: Any, **options: Any) -> Any:
        self.deck.play(_purpose("update_many"))
        return super().update_many(*args, **options)

    def find_one_and_update(self, *args: Any, **options: Any) -> Any:
        self.deck.play(_purpose("find_one_and_update"))
        return super().find_one_and_update(*args, **options)

    def bulk_write(self, *args: Any, **options: Any) -> Any:
        self.deck.play(_purpose("bulk_write"))
        return super().bulk_write(*args, **options)

    def list_indexes(self, *args: Any, **options: Any) -> Any:
        self.deck.play(_purpose("list_indexes"))
        return super().list_indexes(*args, **options)

    def create_indexes(self, *args: Any, **options: Any) -> Any:
        self.deck.play(_purpose("create_indexes"))
        return super().create_indexes(*args, **options)

    def watch(self, *args: Any, **options: Any) -> Any:
        self.deck.play("watch")
        return _Stream(super().watch(*args, **options), self.deck)


def _hostile(collection: Collection[Any], deck: Deck) -> HostileCollection:
    """Return the same collection as a hostile one: the driver makes its own class only."""
    hostile = HostileCollection(
        collection.database,
        collection.name,
        codec_options=collection.codec_options,
        read_preference=collection.read_preference,
        write_concern=collection.write_concern,
        read_concern=collection.read_concern,
    )
    hostile.deck = deck
    return hostile


class _HostileDatabase(Database[Any]):
    deck: Deck

    def __getitem__(self, name: str) -> HostileCollection:
        return _hostile(super().__getitem__(name), self.deck)

    def command(self, command: Any, *args: Any, **options: Any) -> Any:
        if command == "hello":
            self.deck.play("hello")
        return super().command(command, *args, **options)


class HostileClient(MongoClient[Any]):
    """A client whose every call may raise what was dealt to its purpose; everything else is the server's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.deck = Deck()  # first: the driver asks for databases while it is made
        super().__init__(*args, **options)

    def __getitem__(self, name: str) -> Database[Any]:
        database = _HostileDatabase(self, name)
        database.deck = self.deck
        return database
