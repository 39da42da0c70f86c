"""Our histograms say what those of the library say."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram

from jobpool.metrics.families import Families
from jobpool.metrics.histograms import WAITING, Histogram

BOUNDS = (0.5, 1, 2.5, 30)


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(-1, 100)), max_size=50))
def test_it_counts_as_the_library_does(amounts: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Families(ours, {"h": BOUNDS}).histogram("h", "help", "type")
    other = TheirHistogram("h", "help", ["type"], registry=theirs, buckets=BOUNDS)
    other.labels("t")
    mine("t")
    for amount in amounts:
        mine("t").observe(amount)
        other.labels("t").observe(amount)
    assert samples(ours) == samples(theirs)


def test_nothing_is_lost_when_threads_observe_while_others_scrape() -> None:
    family = Histogram("h", "help", ["type"], BOUNDS)
    child = family.labels("t")
    threads, each = 4, 20 * WAITING
    ended = threading.Event()

    def observe() -> None:
        for _ in range(each):
            child.observe(1.0)

    def scrape() -> None:
        while not ended.is_set():
            family.collect()

    workers = [threading.Thread(target=observe) for _ in range(threads)]
    scraper = threading.Thread(target=scrape)
    for thread in (*workers, scraper):
        thread.start()
    for thread in workers:
        thread.join()
    ended.set()
    scraper.join()
    counts, total = child.now()
    assert (counts[-1], total) == (threads * each, float(threads * each))


def test_what_nobody_scrapes_does_not_pile_up() -> None:
    child = Histogram("h", "help", ["type"], BOUNDS).labels("t")
    for _ in range(10 * WAITING):
        child.observe(1.0)
    assert len(child._waiting) <= WAITING
