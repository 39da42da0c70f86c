"""The queue between fetcher and starter."""

from __future__ import annotations

from jobpool.pool.held import Held
from jobpool.pool.queue import ClaimedQueue

from .jobs_held import held


def test_jobs_come_out_in_their_order() -> None:
    queue = ClaimedQueue()
    a, b, c = held("a"), held("b"), held("c")
    queue.put([a, b])
    queue.put([c])
    assert queue.take(lambda job: True) == [a, b, c]


def test_a_job_comes_out_once() -> None:
    queue = ClaimedQueue()
    queue.put([held("a")])
    queue.take(lambda job: True)
    assert queue.take(lambda job: True) == []


def test_the_first_that_does_not_fit_ends_the_taking() -> None:
    queue = ClaimedQueue()
    a, b, c = held("a"), held("b"), held("c")
    queue.put([a, b, c])
    assert queue.take(lambda job: job is not b) == [a]
    assert queue.take(lambda job: True) == [b, c]


def test_taking_from_an_empty_queue_does_not_wait() -> None:
    assert ClaimedQueue().take(lambda job: True) == []


def test_the_length_is_what_waits() -> None:
    queue = ClaimedQueue()
    queue.put([held("a"), held("b")])
    assert len(queue) == 2
    queue.take(lambda job: job.claim.id == "a")
    assert len(queue) == 1


def test_an_open_queue_accepts() -> None:
    assert ClaimedQueue().put([held("a")]) is True


def test_closing_returns_what_is_left() -> None:
    queue = ClaimedQueue()
    a, b = held("a"), held("b")
    queue.put([a, b])
    assert queue.close() == [a, b]
    assert len(queue) == 0


def test_a_closed_queue_refuses_all() -> None:
    queue = ClaimedQueue()
    queue.close()
    assert queue.put([held("a")]) is False
    assert len(queue) == 0


def test_closing_may_be_repeated() -> None:
    queue = ClaimedQueue()
    queue.put([held("a")])
    queue.close()
    assert queue.close() == []


def test_what_passes_by_is_handed_over_until_the_queue_is_closed() -> None:
    queue = ClaimedQueue()
    handed: list[Held] = []
    a, b = held("a"), held("b")
    assert queue.pass_by([a], handed.extend)
    assert (handed, len(queue)) == ([a], 0)
    queue.close()
    assert not queue.pass_by([b], handed.extend)
    assert handed == [a]
