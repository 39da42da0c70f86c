"""Batches from all over a window of the order that widens while others take the same jobs."""

from __future__ import annotations

from ...chance import RANDOM
from ..connection import Connection
from ..documents import Document
from ..fields import place_of
from .batch import Batch, Choice
from .claimed import Claimed, Request, rank_of

#: Pools that share a backlog and take blocks of it at random collide on about 1/f of them; at 64
#: a fleet of 32 pools loses a third of its candidates, and at 8 pools one in fifteen.
MAX_FACTOR = 64
#: The server passes by about a million keys a second: 10,000 take some 10 ms. Batches of more
#: than 156 so have fewer blocks than `MAX_FACTOR`: 20 of 500.
MAX_CANDIDATES = 10_000
#: Above this share of lost candidates the window widens, below a tenth of it it narrows: a lost
#: block costs a claim call, a wide window nothing but the order.
CONTENDED = 0.05
CALM = CONTENDED / 10
#: Weight of the newest call in the share. A block is lost whole or not at all, so that single
#: calls say little: from the middle it takes one loss to widen, and 13 calls without to narrow.
SMOOTHING = 0.125
MIDDLE = CONTENDED / 2


class Window(Batch):
    """B jobs from a place in the first B * f candidates that is picked at random.

    f is 1 when alone, so the order is exact; it doubles while others win our
    candidates and halves when they stop. Order is then near-FIFO: a job is
    overtaken by B * f others on average. Priority stays exact: what has a higher one at the head of the order
    comes before what was found at the place.

    The server passes by what lies before the place (of more types than one
    read takes, it is read). To read the whole window and to pick from it here
    took two thirds of the time of 8 pools.

    Threads: one only (a pool's fetcher); all fields are its own.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.factor = 1
        self._share = MIDDLE

    def _look(self, request: Request) -> Choice:
        head = super()._look(request)
        while self.factor > 1 and not head.drained:
            block = self._block(request)
            if len(block) == request.limit:
                return Choice(_urgent(head.candidates, block)[: request.limit], drained=False)
            self._set(self.factor // 2)  # the backlog is shorter than the window
        return head

    def _block(self, request: Request) -> list[Document]:
        """Return a batch of candidates from a random place in the window.

        Places are whole batches apart, so that the head of the order is as
        likely as any other and waits f calls.
        """
        reach = min(request.limit * self.factor, max(request.limit, MAX_CANDIDATES))
        skipped = RANDOM.randrange(max(1, reach // request.limit)) * request.limit
        return self._candidates(request.types, request.limit, skipped)

    def _learn(self, answer: Claimed) -> None:
        if answer.drained:  # there was nothing to choose from
            self._set(self.factor // 2)
            return
        self._share += SMOOTHING * (answer.conflicts / max(answer.tried, 1) - self._share)
        if self._share > CONTENDED:
            self._set(self.factor * 2)
        elif self._share < CALM:
            self._set(self.factor // 2)

    def _set(self, factor: int) -> None:
        self.factor = max(1, min(factor, MAX_FACTOR))
        self._share = MIDDLE


def _urgent(head: list[Document], block: list[Document]) -> list[Document]:
    """Return what of `head` has a higher priority than the last of `block`, and then `block`, by priority."""
    lowest = rank_of(block[-1])
    found = {place_of(item["_id"]): item for item in (*(item for item in head if rank_of(item) > lowest), *block)}
    return sorted(found.values(), key=lambda item: -rank_of(item))
