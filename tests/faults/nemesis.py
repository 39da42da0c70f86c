"""``python -m tests.faults nemesis``: all faults at random over workers, creators and operators, then the judges.

A replica set of three behind proxies, workers, creators and operators as processes. The
seed fixes what is done and when; what the machine makes of it is its own.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..waiting import until
from .app import FLOWING
from .flow_judge import judge_flow
from .measures import cancels, executions, fired, longest_gap, operated, outcomes, refused
from .processes import Program, Run
from .proxy import FAIR, Weather
from .replicas import Node, ReplicaSet
from .schedule_judge import judge_schedules
from .violation import Violation

WORKERS, CREATORS, OPERATORS = 4, 2, 2
LEASE = 3.0
#: Outages of the majority do not overlap: at least two members are well at a time.
QUIET_TIME = 180.0


class Nemesis:
    """Does harm, one act after the other, and mends what it did at the end."""

    def __init__(self, replicas: ReplicaSet, run: Run, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._replicas = replicas
        self._run = run
        self._chance = random.Random(seed)
        self._created = 0
        self._workers = [self._worker() for _ in range(WORKERS)]
        self._creators = [self._creator() for _ in range(CREATORS)]
        self._canceller = self._run.canceller(seed=seed, wait=False)
        self._operators = [self._operator() for _ in range(OPERATORS)]
        self._acts: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker paused": self._pause_worker,
            "worker stopped": self._stop_worker,
            "creator killed": self._kill_creator,
            "canceller killed": self._kill_canceller,
            "operator killed": self._kill_operator,
            "type paused": self._pause_type,
            "step-down": self._step_down,
            "member killed": self._kill_member,
            "member restarted": self._restart_member,
            "member frozen": self._freeze_member,
            "member cut off": self._hole,
            "slow network": self._slow,
            "connections reset": self._cut,
            "replies lost": self._lose,
        }

    def rage(self, seconds: float) -> None:
        """Do harm for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._pass(self._chance.uniform(0.2, 2.0))
            name = self._chance.choice(list(self._acts))
            print(f"{end - time.monotonic():6.0f} s left: {name}", file=sys.stderr, flush=True)
            self._acts[name]()
            self.done[name] += 1

    def rest(self) -> None:
        """Let everything be well, the creators end, the jobs run out, and the workers stop."""
        for node in self._replicas.nodes:
            self._heal(node)
        self._replicas.settle()
        for program in (*self._creators, self._canceller, *self._operators):
            program.end()
        self._run.manager.resume()
        for schedule in self._run.manager.schedules.list():
            self._run.manager.schedules.remove(schedule.name)
        for worker in self._workers:
            worker.send(signal.SIGCONT)
        self._run.wait_until_done(QUIET_TIME)
        for worker in self._workers:
            worker.end()

    def _worker(self) -> Program:
        pool = {"threads": self._chance.choice([1, 4, 8]), "lease": LEASE, "grace": 2.0, "types": FLOWING}
        return self._run.worker(wait=False, variables={"FAULTS_TIMEOUT": "3"}, **pool)

    def _creator(self) -> Program:
        self._created += 1
        return self._run.creator(first=self._created * 10_000_000, pause=0.1, flow=True, wait=False)

    def _operator(self) -> Program:
        return self._run.operator(seed=self._chance.randrange(10**6), wait=False)

    def _pass(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        until(lambda: time.monotonic() >= at, patience=seconds + 60)

    def _kill_worker(self) -> None:
        place = self._chance.randrange(WORKERS)
        self._workers[place].kill()
        self._workers[place] = self._worker()

    def _pause_worker(self) -> None:
        worker = self._chance.choice(self._workers)
        worker.send(signal.SIGSTOP)
        self._pass(self._chance.uniform(0.3, 2.5) * LEASE)
        worker.send(signal.SIGCONT)

    def _stop_worker(self) -> None:
        place = self._chance.randrange(WORKERS)
        self._workers[place].send(signal.SIGTERM)
        self._workers[place] = self._worker()

    def _kill_creator(self) -> None:
        place = self._chance.randrange(CREATORS)
        self._creators[place].kill()
        self._creators[place] = self._creator()

    def _kill_canceller(self) -> None:
        self._canceller.kill()
        self._canceller = self._run.canceller(seed=self._chance.randrange(10**6), wait=False)

    def _kill_operator(self) -> None:
        place = self._chance.randrange(OPERATORS)
        self._operators[place].kill()
        self._operators[place] = self._operator()

    def _pause_type(self) -> None:
        type = self._chance.choice(FLOWING)
        self._run.manager.pause(type)
        self._pass(self._chance.uniform(0.2, 2.0))
        self._run.manager.resume(type)

    def _step_down(self) -> None:
        self._replicas.step_down()

    def _kill_member(self) -> None:
        self._restart(signal.SIGKILL)

    def _restart_member(self) -> None:
        self._restart(signal.SIGTERM)

    def _restart(self, number: signal.Signals) -> None:
        node = self._member()
        node.end(number)
        self._pass(self._chance.uniform(0, 4))
        node.start()
        self._replicas.settle()

    def _freeze_member(self) -> None:
        node = self._member()
        node.send(signal.SIGSTOP)
        self._pass(self._chance.uniform(1, 8))
        node.send(signal.SIGCONT)
        self._replicas.settle()

    def _hole(self) -> None:
        self._weather(Weather(hole=True), self._chance.uniform(1, 8))

    def _slow(self) -> None:
        self._weather(Weather(latency=0.05, jitter=0.05), self._chance.uniform(1, 4))

    def _weather(self, weather: Weather, seconds: float) -> None:
        node = self._member()
        assert node.proxy is not None
        node.proxy.weather = weather
        self._pass(seconds)
        node.proxy.weather = FAIR
        self._replicas.settle()

    def _cut(self) -> None:
        node = self._member()
        assert node.proxy is not None
        node.proxy.cut(half=self._chance.random() < 0.5)

    def _lose(self) -> None:
        proxy = self._replicas.primary().proxy
        assert proxy is not None
        for command in ("update", "insert", "find", "findAndModify"):
            proxy.lose_reply_of(command, self._chance.randrange(1, 5), reset=self._chance.random() < 0.5)

    def _member(self) -> Node:
        """Return the primary, as often as not."""
        return (
            self._replicas.primary() if self._chance.random() < 0.5 else self._chance.choice(self._replicas.nodes)
        )

    def _heal(self, node: Node) -> None:
        assert node.proxy is not None
        node.proxy.forgive()
        if not node.running:
            node.start()
        node.send(signal.SIGCONT)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the nemesis, judge, and print one line; return 1 if there are violations."""
    directory = Path(tempfile.mkdtemp(prefix="jobpool-nemesis-"))
    with (
        ReplicaSet(proxied=True, oplog_mb=990) as replicas,
        replicas.client() as client,
        Run(replicas.uri, client, directory, lease=LEASE) as run,
    ):
        run.manager.ensure_indexes()
        nemesis = Nemesis(replicas, run, args.seed)
        nemesis.rage(args.minutes * 60)
        violations = settle(nemesis, run)
        print(summary(args, run, nemesis, violations), flush=True)
    for violation in violations[:20]:
        print(violation, file=sys.stderr)
    if violations:
        print(f"histories and logs are kept in {directory}", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0


def settle(nemesis: Nemesis, run: Run) -> list[Violation]:
    """Let everything come to rest and return the violations; not coming to rest is one."""
    try:
        nemesis.rest()
    except AssertionError as error:
        return [Violation("I6", "-", str(error)), *judged(run)]
    return judged(run)


def judged(run: Run) -> list[Violation]:
    """Return what all judges find."""
    return [*run.violations(), *judge_flow(run), *judge_schedules(run)]


def summary(args: argparse.Namespace, run: Run, nemesis: Nemesis, violations: list[Violation]) -> str:
    """Return the line that says it all."""
    events = run.events()
    faults = ", ".join(f"{count} {name}" for name, count in sorted(nemesis.done.items()))
    return (
        f"seed {args.seed}, {args.minutes:g} min: jobs {run.jobs.count_documents({})}, "
        f"executions {executions(events)}, longest gap {longest_gap(events, 'finish-ok'):.1f} s, "
        f"stale writes refused {refused(events)}, snoozes {outcomes(events)['snoozed']}, "
        f"retries by rule or backoff {outcomes(events)['retried']}, cancels acknowledged {cancels(events)}, "
        f"asked for by operators {operated(events)}, jobs fired by schedules {fired(run.changes())}, "
        f"faults {sum(nemesis.done.values())} ({faults}), violations {len(violations)}"
    )
