"""Importing: jobs of another system are carried over."""

from __future__ import annotations

from ..importing import Imported, Source
from ..manager.importing import OnRound, OnSkipped, carried_over
from .base import Base


class Importing(Base):
    """Imports jobs."""

    async def import_jobs(
        self,
        source: Source,
        *,
        database: str,
        collection: str = "jobs",
        uri: str | None = None,
        dry_run: bool = False,
        on_round: OnRound | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> Imported:
        """Carry the jobs of another system over into this collection; see `JobManager.import_jobs`.

        As this manager knows no executors, no job gets the key that its executor would give it. The callbacks
        are functions, and are called in the event loop.
        """
        return await carried_over(
            self,
            source,
            database=database,
            collection=collection,
            uri=uri,
            dry_run=dry_run,
            on_round=on_round,
            on_skipped=on_skipped,
        )
