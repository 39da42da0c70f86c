"""The benchmarks: ``jobpool bench`` and ``python -m benchmarks``; benchmarks/README.md says how to read them.

A new one is a module here with `measure(bench)`, which fills ``bench.results``,
`draw(results, figure)`, `add_arguments(parser)` if it has settings of its own,
and a line in `BENCHMARKS`. It proves that every job ran exactly once before it
says how fast.
"""

from __future__ import annotations

#: The benchmark, which is the name of its module, and the question it answers.
BENCHMARKS = {
    "contention": "how pools that claim the same jobs get on with each other",
    "throughput": "how many jobs a pool drains, against PyMongo alone",
    "create": "how many jobs are stored, against PyMongo alone",
    "latency": "how long a job waits until it is started, on an idle pool and among others",
    "flat": "what else may be in the collection without slowing anything",
    "distance": "what a distant MongoDB costs, and which settings help",
    "metrics": "what the metrics cost",
    "recovery": "how long jobs wait when their worker, or the primary, dies",
    "limits": "what limits and keys cost, whom full ones hold up, and how long a small tenant waits",
    "soak": "whether anything grows in the course of millions of jobs",
}
