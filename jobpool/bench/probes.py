"""Jobs whose way is timed: from `create` to the entry of the executor, and what happens between.

All instants are of the monotonic clock, which the processes of a machine share.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

from prometheus_client import CollectorRegistry
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from ..manager import JobManager
from .bench import TYPE
from .child import GO, Parent
from .proof import PATIENCE, expect

#: The parts of the way, each by the instants at its ends.
PARTS = {
    "insert": ("called", "created"),
    "wake": ("created", "claiming"),
    "claim": ("claiming", "claimed"),
    "start": ("claimed", "started"),
    "hand over": ("started", "entered"),
}


class Probes:
    """Knows when each probe was where. The probes are numbered; other jobs have numbers of their own.

    Threads: any; each instant of a probe is written by one of them, once.

    Attributes:
        at: By number, the instants by name.
        ran: The numbers of the probes that ran, each as often as it did.
        others: The same of all other jobs.
    """

    def __init__(self) -> None:
        self.at: dict[int, dict[str, float]] = {}
        self.ran: list[int] = []
        self.others: list[int] = []
        self._ids: dict[str, int] = {}
        self._arrivals: SimpleQueue[int] = SimpleQueue()

    def execute(self, data: dict[str, Any]) -> None:
        """The executor of probes and others."""
        now = time.monotonic()
        number = data.get("probe")
        if number is None:
            self.others.append(data["n"])
            return
        self._of(number)["entered"] = now
        self.ran.append(number)
        self._arrivals.put(number)

    def _of(self, number: int) -> dict[str, float]:
        return self.at.setdefault(number, {})

    def created(self, stamps: Iterable[list[float]]) -> None:
        """Take what `create` returned, here or in another process."""
        for number, called, created in stamps:
            self._of(int(number)).update(called=called, created=created)

    def run(self, producer: JobManager, number: int) -> None:
        """Create one probe and wait until it is executed."""
        self.created([create(producer, number)])
        self.arrival(number)

    def arrival(self, number: int) -> None:
        """Wait until that probe, the next one, is executed."""
        try:
            arrived = self._arrivals.get(timeout=PATIENCE)
        except Empty:
            arrived = None
        expect(arrived == number, f"probe {number} was not run, but {arrived}")

    def watch(self, manager: JobManager) -> None:
        """Have the calls of `manager` to its store timed, of all pools that are made from now on."""
        store: Any = manager.store
        make = store.strategy
        store.transitions.start = self._starting(store.transitions.start)

        def strategy(name: str) -> Any:
            made = make(name)
            made.claim = self._claiming(made.claim)
            return made

        store.strategy = strategy

    def _claiming(self, claim: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def timed(request: Any) -> Any:
            began = time.monotonic()
            answer = claim(request)
            ended = time.monotonic()
            for document in answer.documents:
                number = document["data"].get("probe")
                if number is not None:
                    self._ids[document["_id"]] = number
                    self._of(number).update(claiming=began, claimed=ended)
            return answer

        return timed

    def _starting(self, start: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def timed(starts: Any) -> Any:
            answer = start(starts)
            now = time.monotonic()
            for one in starts:
                number = self._ids.get(one.claim.id)
                if number is not None:
                    self._of(number)["started"] = now
            return answer

        return timed

    def totals(self, numbers: Iterable[int]) -> list[float]:
        """Return the seconds from `create` to the executor's entry."""
        return [self.at[number]["entered"] - self.at[number]["called"] for number in numbers]

    def parts(self, numbers: Iterable[int]) -> dict[str, list[float]]:
        """Return the seconds of each part; together they are the totals.

        A job that was started by its claim has no start. A pool may hear of a
        job before its producer has the answer: the insert then ends there.
        """
        found: dict[str, list[float]] = {part: [] for part in PARTS}
        for number in numbers:
            at = dict(self.at[number])
            at.setdefault("started", at["claimed"])
            if at["claiming"] > at["called"]:  # else it was on its way before, for others
                at["created"] = min(at["created"], at["claiming"])
            limit = at["called"]
            for part, (_, end) in PARTS.items():
                instant = min(max(limit, at[end]), at["entered"])
                found[part].append(instant - limit)
                limit = instant
        return found


def create(producer: JobManager, number: int) -> list[float]:
    """Create a probe; return its number, and when that was called and answered."""
    called = time.monotonic()
    producer.create(TYPE, {"probe": number, "text": "x" * 60})
    return [number, called, time.monotonic()]


def produce(settings: dict[str, Any], parent: Parent) -> None:
    """Role: creates probes on demand, and says when it did only at the end, lest it disturbs what is measured.

    Settings: `uri`, `database`, `collection`. A word to go brings `first` and
    `count`; `gap`, the mean seconds between two; and `tell`, to say so right after the last.
    """
    stamps: list[list[float]] = []
    pause = threading.Event()
    with MongoClient[dict[str, Any]](settings["uri"]) as client:
        manager = producer(settings, client)
        parent.say("ready", os.getpid())
        while (order := parent.hear())["word"] == GO:
            for number in range(order["first"], order["first"] + order["count"]):
                pause.wait(random.uniform(0, 2 * order.get("gap", 0.0)))
                stamps.append(create(manager, number))
            if order.get("tell"):
                parent.say("created", stamps)
                stamps = []
    parent.say("report", stamps)


def producer(settings: dict[str, Any], client: MongoClient[dict[str, Any]]) -> JobManager:
    """Return the manager of a process that only creates."""
    collection, registry = settings["collection"], CollectorRegistry()
    manager = JobManager(settings["database"], client=client, collection=collection, registry=registry)
    manager.ensure_indexes()
    manager.count()  # what the first call costs is not part of a probe
    return manager


class DurableWrites(CommandListener):
    """Notes the commands that changed something in one collection. Threads: any; appends are atomic.

    Attributes:
        collection: Its name; set it before anything counts.
        done: When each began and ended, and its name.
    """

    def __init__(self) -> None:
        self.collection = ""
        self.done: list[tuple[float, float, str]] = []
        self._began: dict[int, float] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Remember when, if it is of that collection."""
        if event.command.get(event.command_name) == self.collection:
            self._began[event.request_id] = time.monotonic()

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Note it, if it wrote."""
        began = self._began.pop(event.request_id, None)
        changed = event.reply.get("lastErrorObject", event.reply).get("n", 0)
        if began is not None and changed:
            self.done.append((began, time.monotonic(), event.command_name))

    def failed(self, event: CommandFailedEvent) -> None:
        """Forget it."""
        self._began.pop(event.request_id, None)

    def usual_between(self, ways: Iterable[dict[str, float]]) -> tuple[str, ...]:
        """Return the names of those on the way of one job, as most of the ways have them."""
        seen = Counter(tuple(self._between(way["called"], way["entered"])) for way in ways)
        return seen.most_common(1)[0][0]

    def _between(self, began: float, ended: float) -> Iterator[str]:
        return (name for start, end, name in self.done if began <= start and end <= ended)
