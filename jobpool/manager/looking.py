"""Looking: jobs are read, counted and waited for; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Unpack

from ..backlog import AlivePool, Backlog
from ..job import Job
from ..names import MAX_ID, check_name
from ..pool.waiting import Waiting
from ..store.driver import run
from ..waitable import remember
from ..why import Why
from .asking import Selected, check_wait
from .base import Base
from .ends import ids_of


class Looking(Base):
    """Reads jobs."""

    def get(self, id: str) -> Job:
        """Return a snapshot of one job, or raise `JobNotFound`."""
        return remember(run(self._asking.get(id)), self)

    def find(
        self,
        *,
        limit: int = 100,
        after: Job | None = None,
        oldest_first: bool = False,
        **selected: Unpack[Selected],
    ) -> list[Job]:
        """Return jobs by the time they were created, newest first, a page at a time.

        The next page begins ``after`` the last job of this one. There is no
        index on the creation time (it would cost every claim): without `ids`
        the collection is read. Of failed jobs only, only those.

        Args:
            limit: Page size, 1 to 10,000.
            after: The last job of the page before.
            oldest_first: The other order.
            selected: Only these, see `Selected`: type, state, ids, since, until, error, group, text, key.
        """
        finding = self._asking.find(limit=limit, after=after, oldest_first=oldest_first, **selected)
        return [remember(job, self) for job in run(finding)]

    def count(self, **selected: Unpack[Selected]) -> int:
        """Return how many jobs there are; see `find`."""
        return run(self._asking.count(**selected))

    def backlog(self) -> Backlog:
        """Count the jobs that are not done with, by type, and the pools that live, of all processes and hosts.

        Takes some 0.6 s per million of pending and failed jobs; finished ones cost nothing. Nothing is
        created, not even an index: a collection that is not there has no jobs.

        Raises:
            StoreRefused: The collection lacks jobpool's indexes.
        """
        return run(self._asking.backlog())

    def pools(self, *, dead: bool = False) -> tuple[AlivePool, ...]:
        """Return the pools that said lately that they live, of all processes and hosts.

        A pool speaks every 10 s, and when it changes; what it says of itself, and its
        life, may be as old as `AlivePool.seen_at`. One that is killed is `AlivePool.silent` after 13 s at
        the latest, and counts as alive for up to 35 s.
        `run` and `run_all` are no pools.

        Args:
            dead: Those as well that ended without a word, `AlivePool.alive` false: they are
                remembered for about a day. Who spoke last comes first.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        return run(self._asking.pools(dead=dead))

    def why(self, id: str) -> Why:
        """Return why a job does not run, or what it does instead: in words, with facts, and what helps.

        It is not due, say, or paused, or no pool runs its type, or its limit is reached, and by
        whom; or it waits for others, or is held by a pool that died. See `jobpool.why.CODES`.

        Some ten reads by indexes, whatever the backlog. There is no snapshot of all that it
        looks at; see `Why`. Nothing is created or changed.

        Raises:
            JobNotFound: It does not exist.
            StoreUnavailable: Nothing is known.
        """
        return run(self._asking.why(id))

    def wait(self, id: str, timeout: float | None = None) -> Job:
        """Wait until a job is final and return it.

        In an executor, wait for nothing that needs a thread of the same pool: when all its threads wait like
        that, none is left to run what they wait for. An executor that returns early and creates its follower
        does not wait at all.

        Args:
            timeout: Seconds; None waits as long as it takes. A MongoDB that does not answer is
                waited for as long as by any call, beyond it.

        Raises:
            WaitTimeout: It is not final yet; it goes on regardless.
            JobNotFound: It does not exist, or was removed meanwhile.
            StoreUnavailable: Nothing is known of it, and nothing was changed; wait again.
            PoolStateError: The manager is closed, perhaps meanwhile.
        """
        id = check_name(id, "id", longest=MAX_ID)
        (job,) = chain.from_iterable(self._rounds([id], timeout))
        return job

    def wait_many(self, ids_or_jobs: Iterable[str | Job], timeout: float | None = None) -> list[Job]:
        """Wait until all of these jobs are final and return them, in the order given; see `wait`.

        Args:
            ids_or_jobs: Ids, or jobs. One that comes twice is twice in the answer.
            timeout: Seconds for all of them together; None waits as long as it takes.

        Raises:
            WaitTimeout: Some are not final yet; they go on regardless.
            JobNotFound: Some do not exist, or were removed meanwhile.
            StoreUnavailable, PoolStateError: See `wait`.
        """
        ids = ids_of(ids_or_jobs)
        ended = {job.id: job for job in chain.from_iterable(self._rounds(list(dict.fromkeys(ids)), timeout))}
        return [ended[id] for id in ids]

    def as_completed(self, ids_or_jobs: Iterable[str | Job], timeout: float | None = None) -> Iterator[Job]:
        """Return an iterator over these jobs, each once, as they become final; see `wait`.

        Args:
            ids_or_jobs: Ids, or jobs.
            timeout: Seconds from this call until the last is final; None waits as long as it takes.

        Raises:
            WaitTimeout: By the iterator: the rest is not final yet.
            JobNotFound: By the iterator, after those that ended: some do not exist, or were removed.
            StoreUnavailable, PoolStateError: See `wait`.
        """
        return chain.from_iterable(self._rounds(list(dict.fromkeys(ids_of(ids_or_jobs))), timeout))

    def _rounds(self, ids: list[str], timeout: float | None) -> Iterator[list[Job]]:
        """Check what was given, now, and return an iterator over the jobs as they end."""
        check_wait(timeout)
        self.store.ready()
        rounds = Waiting(self, self._waits, ids, timeout).rounds()
        return ([remember(job, self) for job in jobs] for jobs in rounds)
