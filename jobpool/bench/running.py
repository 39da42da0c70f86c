"""One run of one benchmark, from the server to the results."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module

from pymongo.errors import PyMongoError

from ..embedded import EmbeddedMongo
from ..store.failures import translate
from .bench import bench, served
from .results import Results


def measure(name: str, options: argparse.Namespace) -> Results:
    """Run the benchmark `name` on ``options.uri``, or on an embedded server, and return what it found.

    Raises:
        BenchmarkFailed: A job was lost or ran twice, or nothing happened for too long.
        EmbeddedMongoError: There is no mongod to start.
        StoreError: MongoDB did not answer, or not any more, or refused something.
    """
    with ExitStack() as stack:
        stack.enter_context(_translated(name))
        stack.enter_context(served(options.metrics_port))
        uri = options.uri or stack.enter_context(EmbeddedMongo()).uri
        made = stack.enter_context(bench(name, uri, options))
        made.progress.say(f"{name}: {made.results.setting['MongoDB']} on {made.results.setting['server']}")
        import_module(f"{__package__}.{name}").measure(made)
        return made.results


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what the driver says to a benchmark itself into an error of ours: one line and an exit code."""
    try:
        yield
    except PyMongoError as error:
        raise translate(error, f"the benchmark {name}") from error
