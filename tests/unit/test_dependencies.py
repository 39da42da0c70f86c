"""What jobs may wait for, and the order in which they are created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.dependencies import MAX_AFTER, check_after, in_order, waited_for
from jobpool.errors import InvalidJob
from jobpool.request import JobRequest, request_of


@dataclass
class Asked:
    job_id: str
    after: tuple[str, ...] | None = None


def test_ids_are_kept_once_and_in_order() -> None:
    assert check_after(["b", "a", "b"], "c") == ("b", "a")
    assert check_after("abc", "c") == ("abc",)
    assert check_after((id for id in "ab"), "c") == ("a", "b")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "after must be the ids of jobs, not int"),
        ({"a": 1}, "after must be the ids of jobs, not dict"),
        (b"a", "after must be the ids of jobs, not bytes"),
        ([5], "an id in after must be a str, not int"),
        ([""], "an id in after must have 1 to 512 characters"),
        (["own"], "job 'own' cannot run after itself"),
        ([str(n) for n in range(MAX_AFTER + 1)], "after must hold at most 20000 ids, not 20001"),
        ([f"{n:0500}" for n in range(5000)], "must take at most 2097152 bytes together, not"),
    ],
    ids=["int", "mapping", "bytes", "no-name", "empty", "itself", "too-many", "too-long"],
)
def test_what_are_no_ids_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidJob, match=message):
        check_after(value, "own")


def test_on_failure_is_checked() -> None:
    assert request_of({"type": "t", "after": ["a"], "on_failure": "run"}, 1000).on_failure == "run"
    with pytest.raises(InvalidJob, match="on_failure must be one of fail, run, not 'stop'"):
        request_of({"type": "t", "after": ["a"], "on_failure": "stop"}, 1000)


def test_the_id_is_made_of_type_and_data_alone() -> None:
    assert request_of({"type": "t", "after": ["a"]}, 1000).job_id == JobRequest(type="t", limit=1000).job_id


def test_without_dependencies_the_order_stays() -> None:
    requests = [Asked("b"), Asked("a", ("elsewhere",)), Asked("b")]
    assert in_order(requests) == requests
    assert waited_for(requests) == {"a": ("elsewhere",)}


def test_twins_stand_together_behind_what_any_of_them_waits_for() -> None:
    first, second, third = Asked("x"), Asked("x", ("y",)), Asked("y")
    assert in_order([first, second, third]) == [third, first, second]


def test_a_long_chain_is_no_deep_recursion() -> None:
    chain = [Asked(str(n), (str(n + 1),)) for n in range(20_000)] + [Asked("20000")]
    assert in_order(chain) == chain[::-1]


def test_a_circle_is_shown() -> None:
    chain = [Asked("a", ("b",)), Asked("b", ("c", "x")), Asked("c", ("b",))]
    with pytest.raises(InvalidJob, match=r"could ever run: 'b' after 'c' after 'b'; none of them was created"):
        in_order(chain)


def test_of_a_large_circle_some_are_shown() -> None:
    circle = [Asked(str(n), (str((n + 1) % 1000),)) for n in range(1000)]
    with pytest.raises(InvalidJob, match=r"'9' after \.\.\. \(1000 jobs in all\) after '0'; none"):
        in_order(circle)


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 9), max_size=3), max_size=10))
def test_either_there_is_an_order_or_a_circle(graph: dict[int, set[int]]) -> None:
    requests = [Asked(str(id), tuple(map(str, after))) for id, after in graph.items()]
    free = {id: after & graph.keys() for id, after in graph.items()}
    while ready := [id for id, after in free.items() if not after & free.keys()]:
        for id in ready:
            del free[id]
    if free:
        with pytest.raises(InvalidJob):
            in_order(requests)
        return
    ordered = in_order(requests)
    assert sorted(request.job_id for request in ordered) == sorted(map(str, graph))
    place = {request.job_id: index for index, request in enumerate(ordered)}
    for request in ordered:
        assert all(place[id] < place[request.job_id] for id in request.after or () if id in place)
