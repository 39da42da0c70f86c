"""How long the jobs of a killed worker wait until they run elsewhere, and all jobs for another primary."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from . import plots
from .arguments import within
from .bench import Bench
from .mortal import THREADS, Scene, scene
from .proof import expect, wait_for
from .replicas import ELECTION_TIMEOUT, Client, Node, ReplicaSet
from .results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPEAT = 8
LEASES = (2.0, 5.0)
QUICK_LEASES = (1.0,)
#: Jobs that come at once before a kill, so that it strikes full hands. Few enough to be run again in no time.
BURST = 120
#: What a pool must hold to be killed: as many as its threads run, and more that it has not started.
RUNNING, CLAIMED = THREADS, THREADS
HELD = ("claimed", "running")
FAULTS = {"worker": "a worker process is killed", "primary": "the primary of three is killed"}
#: What is found each time: name, unit, better, and a label of its own.
FIGURES: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "taken back": ("until the last job is taken back", "s", "lower", {}),
    "last": ("until the last job runs elsewhere", "s", "lower", {}),
    "leases": ("until the last job runs elsewhere", "leases", "", {}),
    "gap": ("longest gap without a finish", "s", "", {}),
    "claimed": ("jobs in hand", "jobs", "", {"state": "claimed"}),
    "running": ("jobs in hand", "jobs", "", {"state": "running"}),
    "waiting": ("jobs in hand", "jobs", "", {"state": "not begun"}),
    "refused": ("creates that raised", "calls", "lower", {}),
    "twice": ("jobs that ran more than once", "jobs", "", {"were": "running"}),
    "wrong": ("jobs that ran more than once", "jobs", "lower", {"were": "not running"}),
    "again": ("jobs that ran more than once", "jobs", "", {"were": "anything"}),
}

Found = defaultdict[str, list[float]]


def add_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare the settings of this benchmark."""
    group.add_argument(
        "--lease",
        type=within("a lease", float, 1, 3600),
        action="append",
        metavar="SECONDS",
        help=f"of the pools; may be repeated (default: {' and '.join(f'{lease:g}' for lease in LEASES)})",
    )


def measure(bench: Bench) -> None:
    """Kill workers, then primaries, by turns with every lease."""
    leases = tuple(bench.options.lease or (QUICK_LEASES if bench.quick else LEASES))
    repeat = bench.repeat(REPEAT)
    elections = 1 if bench.quick else repeat
    own_set = bench.options.uri is None
    bench.results.settings.update(leases=list(leases), threads=THREADS, heartbeat="lease / 3", reap="lease / 2")
    bench.progress.expect((repeat + elections * own_set) * len(leases))
    report(bench, "worker", by_turns(bench, "worker", leases, repeat))
    if own_set:
        bench.results.settings["election timeout"] = ELECTION_TIMEOUT
        bench.progress.say("starting a replica set of three")
        with ReplicaSet(Node) as replicas, replicas.client() as client:
            report(bench, "primary", by_turns(bench, "primary", leases, elections, replicas, client))
    else:
        bench.results.notes.append("no death of a primary: that takes a replica set of its own, so no --uri")
    bench.results.notes.append("no attempt was begun twice, no job was lost, and all succeeded")


def by_turns(
    bench: Bench,
    fault: str,
    leases: tuple[float, ...],
    repeat: int,
    replicas: ReplicaSet[Node] | None = None,
    client: Client | None = None,
) -> dict[float, Found]:
    """Let the fault happen `repeat` times with every lease; return the figures by lease."""
    found: dict[float, Found] = {lease: defaultdict(list) for lease in leases}
    for turn in range(repeat):
        for lease in leases:
            bench.progress.step(f"{FAULTS[fault]}, lease {lease:g} s")
            if replicas is not None:
                make_whole(replicas)
            uri = bench.uri if replicas is None else replicas.uri
            with scene(bench, uri, client or bench.client, lease) as now:
                # A kill hits any phase of the reaper: the turns divide its period evenly.
                threading.Event().wait(lease / 2 * (turn + 0.5) / repeat)
                figures = kill_worker(now) if replicas is None else kill_primary(now, replicas)
                bench.results.executed += now.prove()
                figures |= {"leases": figures["last"] / lease, "gap": now.longest_gap()}
            for name, value in figures.items():
                found[lease][name].append(value)
    return found


def kill_worker(now: Scene) -> dict[str, float]:
    """Kill a pool with its hands full; go on until all that it held has run elsewhere."""
    name = next(iter(now.workers))
    now.overload(BURST, lambda: _caught(now, name))
    killed_at = time.monotonic()
    now.workers.pop(name).kill()
    held = list(now.jobs.find({"pool": name, "state": {"$in": HELD}}, {"data.n": 1, "state": 1}))
    numbers = {item["data"]["n"] for item in held}
    running = {item["data"]["n"] for item in held if item["state"] == "running"}
    ids = {"_id": {"$in": [item["_id"] for item in held]}}
    its = {**ids, "pool": name, "state": {"$in": HELD}}
    wait_for(lambda: now.jobs.count_documents(its) == 0, "the end of the killed pool's claims")
    taken_back = time.monotonic() - killed_at
    done = {**ids, "state": "succeeded"}
    wait_for(lambda: now.jobs.count_documents(done) == len(held), "the end of what the killed pool held")
    now.end()
    # One whose finish was under way when the pool was killed may have succeeded behind our look.
    late = [
        entry.at - killed_at for entry in now.journal.entries if entry.number in numbers and entry.at > killed_at
    ]
    expect(bool(late), "nothing that the killed pool held ran elsewhere")
    twice = now.ran_more_than_once()
    expect(twice <= running, "a job ran more than once that was not running in the killed pool")
    return {
        "taken back": taken_back,
        "last": max(late),
        "claimed": len(held) - len(running),
        "running": len(running),
        "twice": len(twice),
        "wrong": len(twice - running),
    }


def _caught(now: Scene, name: str) -> bool:
    """Freeze the pool if its hands are full, and say whether they still are: else it goes on."""
    if not _full_hands(now, name):
        return False
    os.kill(now.workers[name].pid, signal.SIGSTOP)
    if _full_hands(now, name):
        return True
    os.kill(now.workers[name].pid, signal.SIGCONT)
    return False


def _full_hands(now: Scene, name: str) -> bool:
    """Say whether the pool runs some jobs and holds others that it has not started."""
    running, claimed = (
        now.jobs.count_documents({"pool": name, "state": state}) for state in ("running", "claimed")
    )
    return running >= RUNNING and claimed >= CLAIMED


def kill_primary(now: Scene, replicas: ReplicaSet[Node]) -> dict[str, float]:
    """Kill the primary when many jobs wait; go on until all of them have run."""
    primary = replicas.primary()
    now.trickle.burst(BURST)
    stored, killed_at = now.trickle.created, time.monotonic()
    primary.close()
    begun = {entry.number for entry in now.journal.refresh() if entry.at <= killed_at}
    waiting = set(range(stored)) - begun
    expect(bool(waiting), "no job waited when the primary was killed")
    wait_for(lambda: waiting <= {entry.number for entry in now.journal.refresh()}, "the jobs that waited")
    now.end()
    first = {entry.number: entry.at for entry in reversed(now.journal.entries)}
    return {
        "last": max(first[number] for number in waiting) - killed_at,
        "waiting": len(waiting),
        "refused": now.trickle.refused,
        "again": len(now.ran_more_than_once()),
    }


def make_whole(replicas: ReplicaSet[Node]) -> None:
    """Bring back the member that was killed."""
    for node in replicas.nodes:
        if not node.running:
            node.start()
    replicas.settle()


def report(bench: Bench, fault: str, found: dict[float, Found]) -> None:
    """Put the figures into the results."""
    for name, (title, unit, better, labels) in FIGURES.items():
        for lease, figures in found.items():
            if name in figures:
                bench.results.measure(title, figures[name], unit, better, fault=fault, lease=lease, **labels)
    if fault == "worker":
        for lease, figures in found.items():
            # What README promises. The slowest counts, not the median, so it is the only value.
            slowest = max(figures["taken back"]) / (lease + lease / 2)
            bench.results.ratio(
                "slowest taking back / (lease + reap interval)", [slowest], better="lower", bar=1.0, lease=lease
            )


def draw(results: Results, figure: Figure) -> None:
    """Draw how long it took each time, by lease, and what it cost."""
    (worker, primary), (in_hand, again) = figure.subplots(2, 2)
    for axes, fault in ((worker, "worker"), (primary, "primary")):
        _scatter(axes, results, fault)
    _costs(in_hand, results, "jobs in hand")
    _costs(again, results, "jobs that ran more than once")


def _scatter(axes: Axes, results: Results, fault: str) -> None:
    """Draw a point for each time that it happened, beside the others of the same lease."""
    names = [FIGURES[name][0] for name in ("taken back", "last", "gap")]
    leases = sorted({float(item.labels["lease"]) for item in results.find(names[1], fault=fault)})
    for number, name in enumerate(names):
        for item in results.find(name, fault=fault):
            if item.unit == "s":
                place = leases.index(float(item.labels["lease"])) + 0.25 * (number - 1)
                across = [place + 0.012 * turn for turn in range(len(item.values))]
                axes.plot(across, item.values, "o", color=f"C{number}", label=name, alpha=0.7)
    if fault == "worker":
        for place, lease in enumerate(leases):
            span = (place - 0.4, place + 0.4)
            axes.hlines(lease, *span, "gray", "dotted", label="lease")
            axes.hlines(1.5 * lease, *span, "gray", "dashed", label="lease + reap interval")
    axes.set_xticks(range(len(leases)), [f"lease {lease:g} s" for lease in leases])
    axes.set_xlim(-0.5, max(len(leases), 1) - 0.5)
    plots.finish(axes, FAULTS[fault] + ("" if leases else ": not measured"), "s")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.4)  # room for the names
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), fontsize=7, ncols=2)


def _costs(axes: Axes, results: Results, name: str) -> None:
    """Draw numbers of jobs as bars."""
    found = results.find(name)
    names = [
        f"{item.labels['fault']}, {item.labels['lease']:g} s\n{item.labels.get('state') or item.labels['were']}"
        for item in found
    ]
    plots.bars(axes, found, names)
    axes.tick_params(axis="x", labelsize=6, labelrotation=30)
    plots.finish(axes, name, "jobs")
