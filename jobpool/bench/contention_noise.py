"""One noisy neighbour: what a claimer of large batches does to those of small ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .bench import Bench
from .contention_claimers import Claimers, Claiming
from .contention_figures import latency

REPEAT = 3
POOLS = 8
#: What the others ask for, and so does the neighbour when it is one of their kind.
SMALL = 10
NEIGHBOURS = {"equal": SMALL, "noisy": 500}
RATE, P95, SHARE = "rate beside a neighbour", "claim p95 beside a neighbour", "jobs of the neighbour"


def noisy_neighbour(bench: Bench, claimers: Claimers, strategies: Sequence[str]) -> None:
    """Let seven claimers work beside one of their kind, and beside one of large batches, by turns."""
    jobs, repeat = bench.size(4_000, 1_000), 1 if bench.quick else bench.repeat(REPEAT)
    bench.progress.expect(repeat * len(strategies) * len(NEIGHBOURS))
    found: defaultdict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for _ in range(repeat):
        for strategy in strategies:
            for neighbour, batch in NEIGHBOURS.items():
                bench.progress.step(f"{strategy}, {POOLS - 1} pools and one {neighbour}")
                claiming = claimers.claim(strategy, [batch] + [SMALL] * (POOLS - 1), jobs)
                found[strategy, neighbour].append(_of_the_others(claiming, jobs))
    for name, unit, better in (
        (RATE, "jobs/s per pool", "higher"),
        (P95, "s", "lower"),
        (SHARE, "of all jobs", ""),
    ):
        for (strategy, neighbour), ones in found.items():
            values = [one[name] for one in ones]
            bench.results.measure(name, values, unit, better, strategy=strategy, neighbour=neighbour)
    for strategy in strategies:
        _compare(bench, strategy, found[strategy, "noisy"], found[strategy, "equal"])


def _of_the_others(claiming: Claiming, jobs: int) -> dict[str, float]:
    others = [call for calls in claiming.calls[1:] for call in calls]
    return {
        RATE: sum(claiming.served[1:]) / claiming.seconds / (POOLS - 1),
        P95: latency(others)["p95"],
        SHARE: claiming.served[0] / jobs,
    }


def _compare(bench: Bench, strategy: str, noisy: list[dict[str, float]], equal: list[dict[str, float]]) -> None:
    """Add what the neighbour does to the others, as ratios."""
    for name, better in ((RATE, "higher"), (P95, "lower")):
        values = [one[name] / other[name] for one, other in zip(noisy, equal, strict=True)]
        bench.results.ratio(f"{name}, noisy / equal", values, better=better, strategy=strategy)
