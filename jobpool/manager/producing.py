"""Producing: jobs are created, one or many, at most once per id."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, overload

from ..dependencies import FAIL, RUN
from ..job import Created, CreatedBatch, Job
from ..store.creation import KEEP
from ..store.driver import Session, run
from ..waitable import remember
from .batches import CREATE_BATCH
from .looking import Looking
from .requests import JobLike, document_of
from .room import RAISE


class Producing(Looking):
    """Creates jobs, and whoever created one may wait for it."""

    @overload
    def create(
        self,
        type: str,
        data: Any = None,
        *,
        id: str | None = None,
        priority: int = 0,
        run_at: datetime | None = None,
        delay: float | None = None,
        max_attempts: int | None = None,
        timeout: float | None = None,
        key: str | None = None,
        after: Iterable[str] | None = None,
        on_failure: str = FAIL,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
    ) -> Job: ...

    @overload
    def create(
        self,
        type: JobLike,
        /,
        *,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
    ) -> Job: ...

    @overload
    def create(
        self,
        type: JobLike,
        data: JobLike,
        /,
        *more: JobLike,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
    ) -> list[Job]: ...

    def create(
        self,
        type: str | JobLike,
        data: Any = None,
        *more: JobLike,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
        **fields: Any,
    ) -> Job | list[Job]:
        """Create a job, at most once per id, and return it as it is stored.

        A job whose id exists is not an error: the answer is the stored job,
        with ``created`` False and the state it is in. Several jobs can be
        given as mappings with the same names: ``create({"type": ..., "data":
        ...}, {...})`` returns a list.

        Args:
            type: Picks the executor; 1 to 128 characters.
            data: What it is called with; see `jobpool.data` for what it may hold.
            id: A key of your own for work that the data does not identify; the
                hash of type and data if None, so that equal work is done once.
            priority: Higher runs first.
            run_at: Not before this aware datetime.
            delay: Not before this many seconds from now.
            max_attempts: How often it may be started; the executor's number if None.
            timeout: Seconds that an attempt may take; the executor's number if None.
            after: Ids of jobs that have to end first, up to 20,000: until then it is
                ``waiting``. They exist, or are created in the same call of `create_many`.
                An id of its own that is met already keeps what it waits for.
            on_failure: If one of them fails, is cancelled or removed: ``"fail"`` fails this
                job at once with ``DependencyFailed``, ``"run"`` runs it all the same.
            key: Whose it is, for limits and turns, 1 to 256 characters; by the
                rule of its executor if None.
            on_duplicate: ``"keep"`` leaves a stored job alone, ``"revive"`` makes
                it pending again if it failed or was cancelled, ``"raise"`` raises.
            on_full: If as many jobs of the type are pending as its ``max_pending`` allows and
                this one is new: ``"raise"`` raises `QueueFull`, ``"wait"`` waits for room,
                ``"drop"`` creates nothing and answers with a job that is ``dropped``.
            full_timeout: With ``"wait"``, after so many seconds `QueueFull` is raised; never if None.
            session: Create it in the transaction of this pymongo session: it
                exists when that commits. Errors of MongoDB are then pymongo's
                own, for `with_transaction` to retry. The commit has the
                transaction's write concern.

        Raises:
            InvalidJob: Something in it cannot be accepted. Nothing was written.
            JobNotFound: A job in `after` does not exist, or not any more. Nothing was written.
            DuplicateJob: With ``on_duplicate="raise"``.
            QueueFull: There is no room. Nothing was written.
            StoreUnavailable: It may or may not be stored. Calling again with
                the same arguments is safe and creates it at most once.
            UnsupportedServer: A `session` on a standalone server.
        """
        creating = self._creating.create(
            type,
            data,
            more,
            fields,
            on_duplicate=on_duplicate,
            session=session,
            on_full=on_full,
            full_timeout=full_timeout,
        )
        created = run(creating)
        return [remember(job, self) for job in created] if isinstance(created, list) else remember(created, self)

    def create_many(
        self,
        jobs: Iterable[JobLike],
        *,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
        batch_size: int = CREATE_BATCH,
    ) -> Created:
        """Create any number of jobs, given as mappings, a batch per round trip.

        A list or tuple is checked whole before anything is written. Another
        iterable is read batch by batch, so it may be endless or generated.
        The jobs of a batch are created at one instant: among themselves they
        run in no particular order, unless their priorities say so, or one names
        another in its ``after``: those of a list may name each other in any
        order, those of another iterable what came before them and what is in their batch.

        Jobs for whose types there is no room (see `create`) are waited with, or left out and
        counted in ``dropped``; or `QueueFull` is raised, which says how many are stored: calling
        again later is safe, and goes on behind them. `full_timeout` is for all of the call.

        Raises:
            QueueFull: There is no room for a job; those before it are stored.
            InvalidJob: A job cannot be accepted; the message has its place and
                how many jobs before it are stored. Or jobs wait for each other in a circle.
            JobNotFound: A job is to run after one that does not exist; of a list nothing is
                stored then, of another iterable the batches before.
            StoreUnavailable: Unknown for one batch; those before it are
                stored, those behind it are not. Calling again is safe.
        """
        creating = self._creating.create_many(
            jobs,
            on_duplicate=on_duplicate,
            session=session,
            batch_size=batch_size,
            on_full=on_full,
            full_timeout=full_timeout,
        )
        return run(creating)

    def create_batch(
        self,
        jobs: Iterable[JobLike],
        *,
        then: JobLike,
        on_failure: str = RUN,
        on_duplicate: str = KEEP,
        session: Session | None = None,
    ) -> CreatedBatch:
        """Create up to 20,000 jobs, and one that runs when all of them are done.

        The callback finds their ids in its `Job.after`. It is created last, so
        a batch whose creator died in between has none: calling again with the
        same arguments creates what is missing.

        Args:
            jobs: Mappings, as of `create_many`. If there are none, the callback runs at once.
            then: The callback, as a mapping. Its default id is made of type, data and
                the ids of the jobs.
            on_failure: ``"run"`` runs it also when jobs have failed or were cancelled;
                ``"fail"`` fails it as soon as one has.

        Raises:
            InvalidJob: Something cannot be accepted. Nothing was written.
            StoreUnavailable: Some may be stored. Calling again is safe.
        """
        creating = self._creating.create_batch(
            jobs, then, on_failure=on_failure, on_duplicate=on_duplicate, session=session
        )
        created = run(creating)
        remember(created.callback, self)
        return created


__all__ = ["CREATE_BATCH", "Producing", "document_of"]
