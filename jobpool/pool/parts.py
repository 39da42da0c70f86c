"""What a pool is made of, and who knows whom."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import replace

from ..backlog import DRAINING, PoolCounts, TypeLimits
from ..config import PoolConfig
from ..executors import Executors
from ..installed import version
from ..observer import PoolGauges
from ..store.cards import PoolCard
from .attempt import Engines
from .cancels import Cancels
from .census import Census
from .fetcher import Fetcher
from .giving_back import GivingBack
from .heartbeat import Heartbeat
from .held import HeldJobs
from .host import Host
from .pace import Pace
from .queue import ClaimedQueue
from .reaper import Reaper
from .recorder import Recorder
from .resolver import Resolver
from .room import Rooms
from .running import Running
from .scheduler import Scheduler
from .service import Service
from .serving import Serving
from .settings import Settings
from .sifting import Sifting
from .starter import Starter
from .stuck import StuckReports
from .tally import Starts
from .time_limits import TimeLimits
from .waker import Listener
from .watchdog import Watchdog
from .workers import Workers


class Parts:
    """The parts of one pool, joined and not started. Threads: any; nothing here is replaced.

    A job goes from the fetcher into the queue, by the starter to the workers,
    or to them directly, and its outcome to the recorder. Each wakes the one before it when it has room.
    """

    def __init__(self, host: Host, config: PoolConfig, types: tuple[str, ...]) -> None:
        name, store, observer = config.name, host.store, host.observer
        self.id = secrets.token_hex(6)
        self.config = config
        self.store = store
        self.wakeups = host.wakeups
        self.serving = Serving(host.executors, config, types)
        self.held = HeldJobs()
        self.give_back = GivingBack(name, store, self.held, observer)
        self.queue = ClaimedQueue()
        self.pace = Pace(config.threads)
        self.starts = Starts()
        self.engines = Engines.of(name)
        self.coroutines = self.engines.coroutines
        self.resolver = Resolver(name, store, observer, host.wakeups.released)
        self.recorder = Recorder(
            name,
            store,
            self.held,
            self.pace,
            observer,
            lambda: self.fetcher.make_room(),
            host.middleware,
            followed=self.resolver.wake,
        )
        run = Running(name, host, self.held, self.give_back, self.engines, self.recorder)
        self.workers = Workers(config.threads, name, run, self._thread_freed, config.most_stuck)
        self.sift = Sifting(self.serving, self.queue, self.workers, self.give_back)
        self.starter = Starter(
            name,
            store,
            host.executors,
            self.held,
            self.give_back,
            self.queue,
            self.workers,
            self.pace,
            observer,
            room=lambda: self.fetcher.make_room(),
            serving=self.serving,
            sift=self.sift,
            starts=self.starts,
        )
        self.heartbeat = Heartbeat(
            name, store, self.held, config.lease, config.heartbeat_interval, observer, config.longest_run
        )
        self.reaper = Reaper(name, store, config.reap_every, observer, results=lambda: self.serving.now.results)
        card = _card(self.id, config, types)
        self.census = Census(
            name,
            store,
            observer,
            card=lambda: self._said(card, host.executors),
            interval=config.backlog_interval,
            types=self._types,
            owner=host.executors.owner,
        )
        seated = self.workers.seated
        self.stuck = StuckReports(name, store, self.coroutines, config.stuck_after, seated)
        limits = TimeLimits(name, host.executors, self.coroutines, seated, run.give_up, self.workers.replace)
        cancels = Cancels(store, self.coroutines)
        duties = (limits, cancels, self.stuck)
        self.watchdog = Watchdog(name, store, observer, seated, duties, lambda: self.serving.now.shortest)
        self.scheduler = Scheduler(name, host)
        self.fetcher = Fetcher(
            config,
            self.serving,
            store,
            self.held,
            self.give_back,
            self.queue,
            self.workers,
            Rooms(config, self._claimed, self.workers, self.pace, queued=self._queued, taken=self._taken),
            self.sift,
            observer,
            starts=self.starts,
            fenced=lambda: self.heartbeat.failing,
            fetched=self.starter.wake,
            idle=host.wakeups.idle,
            pushed_since=host.wakeups.pushing_since,
            middleware=host.middleware,
            holder=self.id,
        )
        self.settings = Settings(name, store, observer, self.serving, self.turned)
        self.held.on_gone = self.fetcher.freed
        self.listener = self._listener("local")
        self.pushed = self._listener("push")
        #: In the order of their start: nobody claims before everything behind it runs.
        self.services: tuple[Service, ...] = (
            self.recorder,
            self.starter,
            self.heartbeat,
            self.reaper,
            self.resolver,
            self.census,
            self.watchdog,
            self.scheduler,
            self.settings,
            self.fetcher,
        )

    def turned(self) -> None:
        """Obey a change of what is claimed: give back what is not, and look for what is. Threads: any."""
        self.fetcher.wake("settings")  # before the way to the store
        self.sift()
        self.census.card_changed()

    def _listener(self, source: str) -> Listener:
        woken = self.fetcher
        return Listener(self.serving, lambda: woken.waiting, lambda: woken.wake(source), self.scheduler.wake)

    def _said(self, card: PoolCard, executors: Executors) -> PoolCard:
        """Return the card as it is now. Threads: the census, as rates are counted from one call to another."""
        types = self._types()
        return replace(
            card,
            types=types,
            threads=self.workers.threads,
            rates=self.recorder.tally.rates(),
            state=DRAINING if self.fetcher.stopping else "running",
            aliases={type: owner for type in types if (owner := executors.owner(type)) != type},
            limits=_limits(executors, types),
            busy=self.workers.busy,
            queued=self._waiting(),
            counts=self._counts(),
            start_rates=self.starts.rates(),
        )

    def _counts(self) -> PoolCounts:
        """Return what came and went; what comes last is read first."""
        ended, started = self.recorder.tally.total, self.starts.begun
        return PoolCounts(self.starts.claimed, started, ended)

    def _types(self) -> tuple[str, ...]:
        return self.serving.now.types

    def _claimed(self) -> tuple[str, ...]:
        return self.serving.now.claimed

    def _thread_freed(self) -> None:
        if self.workers.ready <= self.workers.low_water:
            self.starter.wake()
            self.fetcher.make_room()

    def _taken(self) -> int:
        """Return how many jobs take up room: claimed and not running, or run and not recorded."""
        return self._waiting() + self.recorder.backlog

    def _waiting(self) -> int:
        return self._queued() + self.workers.ready

    def _queued(self) -> int:
        return len(self.queue) + self.starter.starting

    def gauges(self) -> PoolGauges:
        """Return what the pool looks like now."""
        return PoolGauges(
            threads=self.workers.threads,
            busy=self.workers.busy,
            queued=self._waiting(),
            queue_capacity=self.config.queue_size,
            busy_seconds=self.workers.busy_seconds(),
            longest_running=self.workers.longest_running(),
            stuck=len(self.stuck.stuck) + self.workers.replaced + self.workers.irreplaceable,
        )


def _limits(executors: Executors, types: tuple[str, ...]) -> dict[str, TypeLimits]:
    gates = {gate.owner: gate for type in types if (gate := executors.gate(type)) is not None}
    return {
        owner: TypeLimits(limit=gate.limit, key_limit=gate.key_limit, keyed=gate.keys is not None)
        for owner, gate in gates.items()
    }


def _card(id: str, config: PoolConfig, types: tuple[str, ...]) -> PoolCard:
    return PoolCard(
        id=id,
        name=config.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        types=types,
        threads=config.threads,
        version=version(),
        lease=config.lease,
    )
