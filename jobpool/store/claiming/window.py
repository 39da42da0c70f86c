"""Batches from a window of the order that widens while others take the same jobs."""

from __future__ import annotations

import random
from itertools import groupby

from ..connection import Connection
from ..documents import Document
from .batch import Batch
from .claimed import Claimed

#: Pools that share a backlog and pick evenly from B * f candidates collide on about 1/f of them;
#: at 64 a fleet of 32 pools loses half a batch at the worst.
MAX_FACTOR = 64
#: Candidates are ids from a covered scan at about 300,000/s: 10,000 take some 30 ms.
MAX_CANDIDATES = 10_000
#: Above this share of lost candidates the window widens: a retry costs more than the wider read.
CONTENDED = 0.05
#: Calls in a row without a conflict before it narrows again.
CALM_CALLS = 4


class Window(Batch):
    """B of the first B * f candidates, picked at random within a priority.

    f is 1 when alone, so the order is exact; it doubles while others win our
    candidates and halves when they stop. Order is then near-FIFO, bounded by B * f.

    Threads: one only (a pool's fetcher); all fields are its own.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.factor = 1
        self._calm = 0

    def _window(self, limit: int) -> int:
        return min(limit * self.factor, max(limit, MAX_CANDIDATES))

    def _choose(self, found: list[Document], limit: int) -> list[Document]:
        if len(found) <= limit or self.factor == 1:
            return found[:limit]
        chosen: list[Document] = []
        for _, group in groupby(found, key=lambda candidate: candidate["priority"]):
            members = list(group)
            room = limit - len(chosen)
            if room >= len(members):
                chosen += members
            else:
                chosen += [members[index] for index in sorted(random.sample(range(len(members)), room))]
        return chosen

    def _learn(self, answer: Claimed) -> None:
        if answer.conflicts > CONTENDED * answer.tried:
            self._calm = 0
            self.factor = min(self.factor * 2, MAX_FACTOR)
        elif not answer.conflicts:
            self._calm += 1
            if self._calm >= CALM_CALLS:
                self._calm = 0
                self.factor = max(1, self.factor // 2)
