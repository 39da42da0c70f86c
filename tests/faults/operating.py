"""An operator at work, at random: retries, revives, cancels, snoozes, removes, purges, pauses, and schedules.

Whatever it asks for is in the history before it is sent, as ``operate`` with the operation and whom it meant,
so that the judges can tell what somebody wanted from what nobody did. Now and then it uses the commands, which
are processes of their own and are killed as well.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from jobpool import JobManager
from jobpool.errors import JobHeld, JobNotFound, ScheduleNotFound, StoreError

from .history import History

#: Changes are of jobs that were created so many seconds ago at the most: a revival of all would drown the pools.
YOUNG = 6.0
ENDED = ("succeeded", "failed", "cancelled")
SCHEDULES = ("tick", "tock", "toll")
#: Data of scheduled jobs are numbered from here on.
FIRST_SCHEDULED = 900_000_000
#: What an operator is told in the middle of faults, or because somebody else was faster.
_REFUSED = (StoreError, JobNotFound, JobHeld, ScheduleNotFound)


class Operator:
    """Does one thing after the other. Threads: one."""

    def __init__(self, manager: JobManager, history: History, types: tuple[str, ...], seed: int) -> None:
        self._manager = manager
        self._history = history
        self._types = types
        self._chance = random.Random(seed)
        self._acts: tuple[Callable[[], object], ...] = (
            *(self._retry_many, self._revive_many, self._cancel_many, self._snooze_many, self._remove_many),
            *(self._one, self._one, self._one, self._purge, self._pause, self._schedule, self._steer_schedule),
            *(self._revive_many, self._command),
        )

    def act(self) -> None:
        """Do something."""
        with suppress(*_REFUSED):
            self._chance.choice(self._acts)()

    def rest(self) -> None:
        """Let everything go on and fire no more."""
        with suppress(*_REFUSED):
            self._manager.resume()
            for schedule in self._manager.schedules.list():
                self._manager.schedules.remove(schedule.name)

    def _say(self, operation: str, **meant: Any) -> None:
        self._history.say("operate", operation=operation, **meant)

    def _meant(self, operation: str, *states: str, cascade: bool = False) -> dict[str, Any]:
        """Choose whom a change means, and say so."""
        type = self._chance.choice(self._types)
        chosen = self._chance.sample(states, self._chance.randint(1, len(states))) if states else None
        self._say(operation, types=[type], states=chosen, cascade=cascade)
        meant: dict[str, Any] = {"type": type, "since": datetime.now(UTC) - timedelta(seconds=YOUNG)}
        return meant if chosen is None else {**meant, "state": chosen}

    def _retry_many(self) -> None:
        self._manager.retry_many(**self._meant("retry", "failed", "pending"))

    def _revive_many(self) -> None:
        self._manager.revive_many(**self._meant("revive", *ENDED))

    def _cancel_many(self) -> None:
        cascade = self._chance.random() < 0.5
        self._manager.cancel_many(cascade=cascade, **self._meant("cancel", cascade=cascade))

    def _snooze_many(self) -> None:
        self._manager.snooze_many(delay=self._chance.uniform(0, 3), **self._meant("snooze"))

    def _remove_many(self) -> None:
        if self._chance.random() < 0.5:
            self._manager.remove_many(**self._meant("remove", *ENDED))
        else:
            self._manager.remove_many(**self._meant("remove"))

    def _purge(self) -> None:
        type = self._chance.choice(self._types)
        self._say("purge", types=[type])
        self._manager.purge(self._chance.uniform(1, 30), type=type)

    def _one(self) -> None:
        """Change a few jobs one by one."""
        state = self._chance.choice((*ENDED, "pending", "claimed", "running"))
        operation = self._chance.choice(("retry", "revive", "snooze", "remove"))
        for job in self._manager.find(state=state, limit=3):
            self._say(operation, ids=[job.id])
            if operation == "retry":
                self._manager.retry(job.id)
            elif operation == "revive":
                self._manager.revive(job.id, succeeded=True)
            elif operation == "snooze":
                self._manager.snooze(job.id, delay=self._chance.uniform(0, 2))
            else:
                self._manager.remove(job.id)

    def _pause(self) -> None:
        types = self._chance.sample(self._types, 2)
        self._manager.pause(*types, reason="at random")
        threading.Event().wait(self._chance.uniform(0, 0.5))
        self._manager.resume(*types)

    def _schedule(self) -> None:
        """Store a schedule, or change it."""
        name = self._chance.choice(SCHEDULES)
        self._say("schedule", schedule=name)
        self._manager.schedule(
            name,
            1.0,
            self._chance.choice(self._types),
            {"n": FIRST_SCHEDULED + self._chance.randrange(1000), "ms": 5, "tenant": 0},
            overlap=self._chance.choice(("skip", "queue", "allow")),
        )

    def _steer_schedule(self) -> None:
        name, schedules = self._chance.choice(SCHEDULES), self._manager.schedules
        what: Callable[[str], object] = self._chance.choice(
            (schedules.run_now, schedules.run_now, schedules.pause, schedules.resume, schedules.remove)
        )
        what(name)

    def _command(self) -> None:
        """Have a command do it, and kill it in the middle, as often as not."""
        operation = self._chance.choice(("retry", "revive", "cancel", "snooze", "remove", "purge"))
        type = self._chance.choice(self._types)
        more = {"revive": ["--succeeded"], "snooze": ["--for", "1"], "purge": ["--older-than", "5"]}
        which = ["--type", type] if operation == "purge" else ["--type", type, "--newer-than", str(int(YOUNG))]
        self._say(operation, types=[type])
        place = ["--uri", os.environ["FAULTS_URI"], "--database", os.environ["FAULTS_DATABASE"]]
        command = [sys.executable, "-m", "jobpool", operation, *which, *more.get(operation, ()), "--yes", *place]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            process.wait(self._chance.uniform(0.5, 1.5) if self._chance.random() < 0.5 else 30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
