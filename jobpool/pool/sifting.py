"""Going through what a pool holds when others are to be claimed than before."""

from __future__ import annotations

from .giving_back import GivingBack
from .held import Held
from .queue import ClaimedQueue
from .serving import Serving
from .workers import Workers


class Sifting:
    """Gives back what waits here for a thread and is of a type that is not claimed any more.

    What the starter has in hand it looks at itself, before it begins and when it was
    answered, and what a claim brings that is on its way, the fetcher.

    Threads: any, several at once; no state of its own.
    """

    def __init__(self, serving: Serving, queue: ClaimedQueue, workers: Workers, give_back: GivingBack) -> None:
        self._serving = serving
        self._queue = queue
        self._workers = workers
        self._give_back = give_back

    def __call__(self) -> None:
        """Go through it once."""
        wanted = self._serving.now.wanted

        def stays(held: Held) -> bool:
            return held.type in wanted

        self._give_back(self._queue.sift(stays, lambda: self._workers.recall(stays)))
