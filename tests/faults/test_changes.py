"""Changes of jobs while a replica set loses its primary: each is told once, to threads and to event loops."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from jobpool import AsyncJobManager, JobManager
from jobpool.errors import StoreUnavailable

from ..awaited import EventLoop, Waited
from ..waiting import until
from .replicas import ReplicaSet

AWAIT = 0.1


def test_changes_go_on_behind_the_last_one_after_an_election(replicas: ReplicaSet) -> None:
    with ExitStack() as stack:
        loop = EventLoop()
        stack.callback(loop.close)
        awaited = AsyncJobManager("changes", uri=replicas.uri, timeout=5)
        stack.callback(lambda: loop.run(awaited.close()))
        manager = stack.enter_context(JobManager("changes", uri=replicas.uri, timeout=5))
        manager.ensure_indexes()
        watched: list[Any] = [
            stack.enter_context(manager.changes(max_await=AWAIT)),
            stack.enter_context(Waited(awaited.changes(max_await=AWAIT), loop)),
        ]
        heard: list[list[str]] = [[], []]

        def create(ids: list[str]) -> None:
            for id in ids:
                until(lambda id=id: stored(manager, id), f"job {id}")  # type: ignore[misc]

        def all_heard(number: int) -> bool:
            for changes, ids in zip(watched, heard, strict=True):
                try:
                    ids += [change.id for change in changes.read()]
                except StoreUnavailable:
                    continue
            return all(len(ids) >= number for ids in heard)

        before, after = ([f"{when} {n}" for n in range(20)] for when in ("before", "after"))
        create(before)
        until(lambda: all_heard(20), "what was before")
        replicas.kill_primary()
        create(after)
        until(lambda: all_heard(40), "what came after")
        assert heard == [before + after] * 2


def stored(manager: JobManager, id: str) -> bool:
    """Create a job, however often it takes: by its id it is created once."""
    try:
        return bool(manager.create("a", id=id))
    except StoreUnavailable:
        return False
