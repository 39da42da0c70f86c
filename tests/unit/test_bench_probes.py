"""The way of a timed job, cut into its parts."""

from __future__ import annotations

import pytest

from jobpool.bench.probes import PARTS, Probes


def probes(**instants: float) -> Probes:
    made = Probes()
    made.at[0] = instants
    return made


def parts(made: Probes) -> dict[str, float]:
    return {part: seconds for part, (seconds,) in made.parts([0]).items()}


def test_the_parts_of_a_way_follow_one_another() -> None:
    made = probes(called=10, created=11, claiming=13, claimed=16, started=20, entered=25)
    assert parts(made) == {"insert": 1, "wake": 2, "claim": 3, "start": 4, "hand over": 5}
    assert made.totals([0]) == [15]


def test_a_job_that_was_started_by_its_claim_has_no_start() -> None:
    made = probes(called=10, created=11, claiming=13, claimed=16, entered=17)
    assert parts(made) == {"insert": 1, "wake": 2, "claim": 3, "start": 0, "hand over": 1}


def test_an_insert_ends_when_the_pool_has_heard_of_it() -> None:
    made = probes(called=10, created=13, claiming=12, claimed=16, started=20, entered=25)
    assert parts(made) == {"insert": 2, "wake": 0, "claim": 4, "start": 4, "hand over": 5}


def test_a_claim_that_was_on_its_way_before_counts_from_the_insert() -> None:
    made = probes(called=10, created=13, claiming=5, claimed=16, started=20, entered=25)
    assert parts(made) == {"insert": 3, "wake": 0, "claim": 3, "start": 4, "hand over": 5}


@pytest.mark.parametrize("created", [10.5, 11.5, 12.5, 13.5, 14.5])
def test_the_parts_make_up_the_whole_even_if_the_producer_hears_late(created: float) -> None:
    """The pool may have claimed a job, or run it, before its producer has the answer to the insert."""
    made = probes(called=10, created=created, claiming=11, claimed=12, started=13, entered=14)
    assert sum(parts(made).values()) == pytest.approx(4)
    assert parts(made).keys() == PARTS.keys()
    assert min(parts(made).values()) >= 0


def test_only_numbered_probes_are_timed() -> None:
    made = Probes()
    made.execute({"n": 7})
    made.execute({"probe": 3})
    assert made.others == [7]
    assert made.ran == [3]
    assert made.at.keys() == {3}
