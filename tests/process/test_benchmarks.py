"""The benchmarks run, prove what they must, and write what they say. Never how fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobpool.bench import BENCHMARKS
from jobpool.bench.results import Results, load
from jobpool.embedded import EmbeddedMongo

from .conftest import ROOT

#: What each benchmark must have measured, and how many ratios it must have with a bar.
EXPECTED = {
    "contention": ({"claim rate", "conflicts", "fairness", "disorder", "rate beside a neighbour"}, 2),
    "throughput": ({"drain", "cpu", "drain by executor", "share of the ideal", "drain by result"}, 3),
    "create": ({"by batch", "by threads", "by duplicates", "batches by duplicates", "in transactions"}, 1),
    "latency": ({"create to start", "part", "durable round trips of a job", "capacity", "load"}, 4),
    "flat": (
        {
            "drain by load",
            "drain by types",
            "drain by priorities",
            "examined by load",
            "claim of 100 by load, p95",
        },
        1,
    ),
    "distance": ({"round trip", "drain no-op", "drain 10 ms", "create", "create_many", "create to start"}, 0),
    "metrics": ({"drain", "count of the backlog"}, 1),
    "recovery": ({"until the last job is taken back", "until the last job runs elsewhere", "jobs in hand"}, 1),
    "limits": ({"drain", "drain beside", "commands", "idle commands", "wait of a small tenant"}, 1),
    "soak": ({"memory", "memory slope", "threads", "sockets", "index size per job", "rate"}, 1),
}


def run_quick(name: str, server: EmbeddedMongo, target: Path) -> tuple[str, Results]:
    """Run a benchmark; return what it printed and the results it kept."""
    command = ["-m", "benchmarks", name, "--quick", "--uri", server.uri, "--out", str(target)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, load(target / f"{name}.json")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_proves_once_only_and_keeps_its_figures(
    name: str, server: EmbeddedMongo, tmp_path: Path
) -> None:
    said, results = run_quick(name, server, tmp_path)
    names, barred = EXPECTED[name]
    assert f"every one of {results.executed:,} jobs {results.proved}" in said
    assert results.executed > 0
    assert results.quick
    assert names <= {item.name for item in results.measures}
    assert sum(item.bar is not None for item in results.ratios) >= barred
    assert all(item.values for item in [*results.measures, *results.ratios])
    assert {"MongoDB", "topology", "write concern", "cores", "PyMongo"} <= results.setting.keys()
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert "<svg" in (tmp_path / f"{name}.svg").read_text()[:500]
