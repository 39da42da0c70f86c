"""How little it matters what else is in the collection: finished jobs, scheduled ones, types and priorities."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import StoreUnavailable
from . import plots
from .bench import Bench
from .flat_fill import add_finished, add_scheduled
from .flat_place import CLAIM, Found, Place, compare
from .results import Results, paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPEAT = 5
LOADS = (0, 100_000, 1_000_000)
DEEP = 10_000_000
TYPES = (1, 10, 50, 200)
PRIORITIES = (1, 10, 100, 1_000)
#: Where the bar is, and what is to be left there of the rate of an empty collection.
BARRED, BAR = 1_000_000, 0.9
UNCOUNTED = (
    "these pools do not count the backlog, as others do when they start and every 15 s: "
    "'counting' is a drain of a few seconds that begins with a count, and the count is measured alone"
)


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Declare the options."""
    parser.add_argument("--deep", action="store_true", help=f"also beside {DEEP:,} of each: takes much longer")


def measure(bench: Bench) -> None:
    """Measure beside more and more other jobs, then with more and more types and priorities."""
    loads = [0, 5_000] if bench.quick else [*LOADS, *([DEEP] if bench.options.deep else [])]
    types, priorities = (TYPES, PRIORITIES) if not bench.quick else ((1, 200), (1, 1_000))
    jobs, calls, beside = bench.size(20_000, 400), bench.size(50, 4), bench.size(20_000, 1_000)
    repeat = bench.repeat(REPEAT)
    bench.results.settings.update(jobs=jobs, claims=calls, jobs_per_claim=CLAIM, scheduled_beside_kinds=beside)
    bench.results.notes.append(UNCOUNTED)
    bench.progress.expect(repeat * (3 * len(loads) + len(types) + len(priorities)))
    by_load(bench, loads, jobs, calls, repeat)
    kinds = {number: Place(bench, types=number) for number in types}
    by_kind(bench, "types", kinds, beside, jobs // 2, calls, repeat)
    kinds = {number: Place(bench, priorities=number) for number in priorities}
    by_kind(bench, "priorities", kinds, beside, jobs // 2, calls, repeat)


def by_load(bench: Bench, loads: Sequence[int], jobs: int, calls: int, repeat: int) -> None:
    """Let one collection grow; at every size measure by turns with an empty one."""
    # Both have the same drains behind them: those leave traces in the claim index that a new one has not.
    full, empty, before = Place(bench), Place(bench), 0
    for load in loads:
        if load > before:
            bench.progress.say(f"adding jobs until there are {load:,} finished and {load:,} scheduled ones")
            add_finished(bench, full.manager, load - before)
            add_scheduled(bench, full.manager, load - before, full.types, full.priorities)
            before = load
        barred = load == (BARRED if not bench.quick else max(loads))
        _beside(bench, full, empty, load, jobs, calls, repeat, BAR if barred else None)
    full.drop()
    empty.drop()


def _beside(
    bench: Bench, full: Place, empty: Place, load: int, jobs: int, calls: int, repeat: int, bar: float | None
) -> None:
    """Measure in the full collection, in an empty one, and in the full one with a pool that counts the backlog."""
    found, counting, counts = {"full": Found(), "empty": Found()}, [], []
    for _ in range(repeat):
        bench.progress.step(f"beside {load:,} finished and {load:,} scheduled jobs")
        found["full"].take(full, jobs, calls)
        bench.progress.step("in an empty collection")
        found["empty"].take(empty, jobs, calls)
        empty.clear()
        bench.progress.step(f"beside {load:,} of each, and counting them")
        counting.append(full.drain(jobs)[0])
        try:
            counts.append(full.manager.backlog().seconds)
        except StoreUnavailable:  # beside ten million it may take longer than a manager waits
            bench.progress.say("the count of the backlog was given up")
    labels: dict[str, Any] = {"finished": load, "scheduled": load}
    results = bench.results
    measures = {name: one.report(results, "load", collection=name, **labels) for name, one in found.items()}
    counted = results.measure("drain by load", counting, "jobs/s", "higher", collection="full, counting", **labels)
    if counts:
        results.measure("count of the backlog by load", counts, "s", "lower", **labels)
    compare(results, measures["full"], measures["empty"], "full / empty", bar, **labels)
    results.ratio("drain that counts, full / empty", paired(counted, measures["empty"]["drain"]), **labels)


def by_kind(
    bench: Bench, over: str, places: dict[int, Place], beside: int, jobs: int, calls: int, repeat: int
) -> None:
    """Measure by turns with several numbers of types or priorities, beside scheduled jobs of the same ones."""
    found = {number: Found() for number in places}
    for place in places.values():
        add_scheduled(bench, place.manager, beside, place.types, place.priorities)
    for _ in range(repeat):
        for number, place in places.items():
            bench.progress.step(f"{number:,} {over}")
            found[number].take(place, jobs, calls)
    measures = {number: one.report(bench.results, over, **{over: number}) for number, one in found.items()}
    for place in places.values():
        place.drop()
    least, most = min(measures), max(measures)
    compare(bench.results, measures[most], measures[least], f"many {over} / one", None, **{over: most})


def draw(results: Results, figure: Figure) -> None:
    """Draw rates, claims and keys examined over the load, the types and the priorities."""
    figure.set_size_inches(11, 9)
    grid = figure.subplots(3, 3)
    for column, over in enumerate(("load", "types", "priorities")):
        label = "finished" if over == "load" else over
        rates, claims, keys = (grid[row][column] for row in range(3))
        _draw_lines(results, rates, f"drain by {over}", label)
        plots.finish(rates, f"drain by {over}", "jobs/s")
        for share in ("p50", "p95"):
            _draw_lines(results, claims, f"claim of {CLAIM} by {over}, {share}", label, share, scale=1000.0)
        plots.finish(claims, f"a claim of {CLAIM} jobs", "ms")
        _draw_lines(results, keys, f"examined by {over}", label)
        plots.finish(keys, "index keys examined in the drain", "keys/job")


def _draw_lines(
    results: Results, axes: Axes, name: str, over: str, share: str = "", *, scale: float = 1.0
) -> None:
    """Draw one measure: a line for each kind of collection."""
    found = results.find(name)
    for kind in dict.fromkeys(str(item.labels.get("collection", "")) for item in found):
        own = [item for item in found if item.labels.get("collection", "") == kind]
        plots.line(axes, own, over, label=", ".join(filter(None, (kind, share))), scale=scale)
    if over != "finished":
        plots.ticks(axes, found, over, log=10)
        return
    axes.set_xscale("symlog", linthresh=10_000)
    axes.minorticks_off()
    loads = sorted({float(item.labels[over]) for item in found})
    axes.set_xticks(loads, [f"{load / 1e6:g} million" if load >= 1e6 else f"{load:,.0f}" for load in loads])
    axes.set_xlabel("finished, and as many scheduled")
