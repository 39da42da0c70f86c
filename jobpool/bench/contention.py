"""Claims under contention: pools by batch by strategy, with a noisy neighbour, with work, and at a low rate."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..store.claiming import STRATEGIES
from .bench import Bench
from .contention_claimers import Claimers, Claiming
from .contention_figures import disorder, displacements, fairness, latency, shares, steady
from .contention_noise import POOLS as BESIDE
from .contention_noise import noisy_neighbour
from .contention_picture import draw_all
from .contention_pools import all_commands, low_rate, with_work
from .counters import percentiles
from .results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPEAT = 2
POOLS, BATCHES = (1, 2, 4, 8, 16, 32), (1, 10, 100, 500)
MOST_POOLS, LARGEST_BATCH = 64, 10_000
#: Where the bars are, and so what is measured more often.
BAR_POOLS, BAR_BATCH, BAR_REPEAT = 8, 100, 5
#: Backlogs: some seconds of work for each batch, and some batches for each of 32 pools.
JOBS = {1: 500, 10: 4_000, 100: 40_000, LARGEST_BATCH: 40_000}


class Cell(NamedTuple):
    """One setting of the matrix."""

    pools: int
    batch: int
    strategy: str

    def labels(self) -> dict[str, str | int | float]:
        """Return the labels of its measures."""
        return dict(self._asdict())


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Declare what the matrix is made of."""
    parser.add_argument("--pools", type=_numbers("pools", MOST_POOLS), metavar="N,N", help="numbers of pools")
    parser.add_argument("--batches", type=_numbers("batch", LARGEST_BATCH), metavar="N,N", help="jobs per claim")
    parser.add_argument("--strategies", type=_strategies, metavar="NAME,NAME", help=", ".join(STRATEGIES))


def _numbers(what: str, most: int) -> Callable[[str], tuple[int, ...]]:
    def parse(text: str) -> tuple[int, ...]:
        try:
            numbers = sorted({int(part) for part in text.split(",")})
        except ValueError:
            numbers = [0]
        if not 1 <= numbers[0] <= numbers[-1] <= most:
            raise argparse.ArgumentTypeError(
                f"{what}: whole numbers from 1 to {most}, joined by commas, not {text!r}"
            )
        return tuple(numbers)

    return parse


def _strategies(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in STRATEGIES]:
        known = ", ".join(STRATEGIES)
        raise argparse.ArgumentTypeError(f"no such strategy: {', '.join(map(repr, unknown))}; known: {known}")
    return names


def measure(bench: Bench) -> None:
    """Claim backlogs by claimers alone, then drain them by pools."""
    options = bench.options
    pools = options.pools or ((2, BAR_POOLS) if bench.quick else POOLS)
    batches = options.batches or ((BAR_BATCH,) if bench.quick else BATCHES)
    strategies = options.strategies or tuple(STRATEGIES)
    cells = list(matrix(pools, batches, strategies))
    backlogs = {batch: backlog(bench, batch) for batch in batches}
    bench.results.settings.update(pools=pools, batches=batches, strategies=strategies, jobs_by_batch=backlogs)
    bench.results.proved = "was claimed exactly once, and ran exactly once where pools ran it"
    by_batches = [name for name in strategies if name != "single"]
    claimers = Claimers(bench, max(*pools, BESIDE))
    by_matrix(bench, claimers, cells)
    noisy_neighbour(bench, claimers, by_batches)
    claimers.close()
    with_work(bench, by_batches)
    all_commands(bench)
    low_rate(bench)


def matrix(pools: tuple[int, ...], batches: tuple[int, ...], strategies: tuple[str, ...]) -> Iterator[Cell]:
    """Yield the cells, those that are to be compared side by side; `single` has no batches but of one."""
    for number in pools:
        if "single" in strategies:
            yield Cell(number, 1, "single")
        for batch in batches:
            yield from (Cell(number, batch, name) for name in strategies if name != "single")


def by_matrix(bench: Bench, claimers: Claimers, cells: list[Cell]) -> None:
    """Measure every cell, by turns, those of the bars more often."""
    repeats = {cell: bench.repeat(BAR_REPEAT if _of_bars(cell) else REPEAT) for cell in cells}
    bench.progress.expect(sum(repeats.values()))
    found: defaultdict[Cell, list[dict[str, float]]] = defaultdict(list)
    for turn in range(max(repeats.values())):
        for cell in cells:
            if turn < repeats[cell]:
                bench.progress.step(f"{cell.strategy}, {cell.pools} pools, batch {cell.batch}")
                jobs = backlog(bench, cell.batch)
                found[cell].append(figures(claimers.claim(cell.strategy, [cell.batch] * cell.pools, jobs), jobs))
    for name, (unit, better) in FIGURES.items():
        for cell, all_of_it in found.items():
            values = [one[name] for one in all_of_it if name in one]
            if values:
                bench.results.measure(name, values, unit, better, **cell.labels())
    _compare(bench.results, found)


def _of_bars(cell: Cell) -> bool:
    return cell.pools == BAR_POOLS and cell.batch == BAR_BATCH


def backlog(bench: Bench, batch: int) -> int:
    """Return how many jobs are claimed in batches of that size: enough for a middle between start and end."""
    full = next(jobs for largest, jobs in JOBS.items() if batch <= largest)
    return max(4 * batch, bench.size(full, 50 if batch == 1 else 1_000))


#: What is told of a cell: unit, and which way is better. What depends on the size of the backlog has no better.
FIGURES = {
    "claim rate": ("jobs/s", "higher"),
    "steady rate": ("jobs/s", "higher"),
    "conflicts": ("of candidates", "lower"),
    "steady conflicts": ("of candidates", "lower"),
    "contended calls": ("of calls", "lower"),
    "empty calls": ("of calls", ""),
    "commands": ("round trips/job", "lower"),
    "examined documents": ("documents/job", "lower"),
    "examined keys": ("keys/job", "lower"),
    "written documents": ("documents/job", "lower"),
    "oplog bytes": ("bytes/job", "lower"),
    "time in find": ("ms/job", ""),
    "time in update": ("ms/job", ""),
    "claim p50": ("s", "lower"),
    "claim p95": ("s", "lower"),
    "claim p99": ("s", "lower"),
    "fairness": ("least/most served", "higher"),
    "disorder": ("of 1", ""),
    "displacement p99": ("places", ""),
}


def figures(claiming: Claiming, jobs: int) -> dict[str, float]:
    """Return the `FIGURES` of one backlog; those that the server does not tell are missing."""
    calls, took = claiming.all_calls, claiming.took
    places = [float(places) for places in displacements(claiming.order)]
    return {
        "claim rate": jobs / claiming.seconds,
        **steady(calls, jobs),
        **shares(calls),
        "commands": claiming.commands / jobs,
        **{name: work / jobs for name, work in claiming.server.items() if name in FIGURES},
        "time in find": took["find"] * 1000 / jobs,
        "time in update": (took["update"] + took["findAndModify"]) * 1000 / jobs,
        **{f"claim {name}": seconds for name, seconds in latency(calls).items()},
        "fairness": fairness(claiming.served),
        "disorder": disorder(claiming.order),
        "displacement p99": percentiles(places)["p99"],
    }


def _compare(results: Results, found: dict[Cell, list[dict[str, float]]]) -> None:
    """Add the ratios of `window` to `batch`, and how far it is from no conflicts."""
    for cell, ours in found.items():
        others = found.get(cell._replace(strategy="batch"))
        if cell.strategy != "window" or others is None or cell.pools == 1:
            continue
        bars = (1.3, 0.1) if _of_bars(cell) else (None, None)
        rates = [one["steady rate"] / other["steady rate"] for one, other in zip(ours, others, strict=True)]
        lost = [one["steady conflicts"] for one in ours]
        ratio = partial(results.ratio, pools=cell.pools, batch=cell.batch)
        ratio("claim rate, window / batch", rates, bar=bars[0])
        ratio("conflicts / candidates, window", lost, better="lower", bar=bars[1])


def draw(results: Results, figure: Figure) -> None:
    """Draw the matrix, and what others do to a pool."""
    draw_all(results, figure)
