"""What every claim strategy must do, and what each does in its own way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import Backoff, JobManager
from jobpool.outcome import Finish, Outcome
from jobpool.store import Store
from jobpool.store.claiming import STRATEGIES, Claimed, Request, Rule
from jobpool.store.claiming.batch import Batch, Choice
from jobpool.store.claiming.claimed import candidate_cursor
from jobpool.store.claiming.window import MAX_FACTOR, Window

from ..conftest import Jobs, MakeManager
from .conftest import claims_of, request

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager()


def drain(store: Store, name: str, limit: int = 10, types: tuple[str, ...] = ("a",)) -> list[dict[str, Any]]:
    """Claim until nothing is due."""
    strategy, won = store.strategy(name), []
    while documents := strategy.claim(request(limit, types)).documents:
        won += documents
    return won


@every_strategy
def test_a_claim_marks_the_job_and_nothing_else(manager: JobManager, jobs: Jobs, name: str) -> None:
    before = manager.create("a", {"k": 1}, max_attempts=3)
    claimed = manager.store.strategy(name).claim(request(5))
    stored = jobs.find_one({"_id": before.id})
    assert stored is not None
    assert (stored["state"], stored["pool"], stored["fence"]) == ("claimed", "test", 1)
    assert stored["claim"] == claimed.token
    left = (stored["lease_until"] - datetime.now(UTC)).total_seconds()
    assert 25 < left <= 30
    after = manager.get(before.id)
    untouched = ("data", "priority", "run_at", "attempts", "max_attempts", "created_at", "errors")
    assert [getattr(after, field) for field in untouched] == [getattr(before, field) for field in untouched]


@every_strategy
def test_a_claim_may_start_its_jobs_as_a_start_would(manager: JobManager, jobs: Jobs, name: str) -> None:
    """By the rule of each type, and by the job's own number where it has one."""
    patient = Backoff(base=7.0)
    rules = {"a": Rule(1, Backoff()), "b": Rule(3, patient), "$type": Rule(2, patient)}
    wanted = {
        ("a", None): (1, None),
        ("a", 4): (4, 1.0),
        ("b", None): (3, 7.0),
        ("b", 1): (1, None),
        ("$type", None): (2, 7.0),
    }
    for number, (type, own) in enumerate(wanted):
        manager.create(type, number, max_attempts=own)
    strategy, held = manager.store.strategy(name), []
    while documents := (claimed := strategy.claim(request(5, tuple(rules), rules=rules))).documents:
        assert claimed.started
        held += claims_of(claimed)
        assert {(document["state"], document["attempts"]) for document in documents} == {("running", 1)}
    stored = list(jobs.find({}, sort=[("data", 1)]))
    assert {(d["state"], d["attempts"], d["fence"], "lease_until" in d) for d in stored} == {
        ("running", 1, 1, True)
    }
    assert [(d["max_attempts"], d.get("backoff", {}).get("base")) for d in stored] == list(wanted.values())
    assert all(abs((d["started_at"] - datetime.now(UTC)).total_seconds()) < 25 for d in stored)
    assert manager.store.transitions.finish([Finish(claim, Outcome()) for claim in held]) == set(held)
    assert strategy.unknown == []


@every_strategy
def test_higher_priority_comes_first_then_the_older(manager: JobManager, name: str) -> None:
    for number, priority in enumerate((0, 5, 0, -1, 5)):
        manager.create("a", number, priority=priority)
    assert [document["data"] for document in drain(manager.store, name, limit=2)] == [1, 4, 0, 2, 3]


@every_strategy
def test_a_job_is_not_claimed_before_its_time(manager: JobManager, jobs: Jobs, name: str) -> None:
    later = manager.create("a", "later", delay=3600)
    manager.create("a", "now")
    assert [document["data"] for document in drain(manager.store, name)] == ["now"]
    jobs.update_one({"_id": later.id}, {"$set": {"run_at": datetime.now(UTC) - timedelta(hours=1)}})
    assert [document["data"] for document in drain(manager.store, name)] == ["later"]


@every_strategy
def test_only_the_types_asked_for_are_claimed(manager: JobManager, name: str) -> None:
    manager.create_many([{"type": type, "data": 0} for type in ("a", "b", "c")])
    assert {document["type"] for document in drain(manager.store, name, types=("a", "c"))} == {"a", "c"}
    assert manager.count(state="pending", type="b") == 1


@every_strategy
def test_more_types_than_one_read_takes_are_all_claimed(manager: JobManager, name: str) -> None:
    types = tuple(f"type-{number}" for number in range(450))
    manager.create_many([{"type": type} for type in types])
    assert {document["type"] for document in drain(manager.store, name, 100, types)} == set(types)


@every_strategy
def test_priority_counts_across_more_types_than_one_read_takes(manager: JobManager, name: str) -> None:
    types = tuple(f"type-{number:03}" for number in range(450))
    manager.create_many([{"type": type, "data": 0} for type in types])
    manager.create(types[-1], "first", priority=9)
    assert manager.store.strategy(name).claim(request(1, types)).documents[0]["data"] == "first"


@every_strategy
def test_the_fence_rises_with_every_claim(manager: JobManager, name: str) -> None:
    manager.create("a", 1)
    for fence in (1, 2, 3):
        claimed = manager.store.strategy(name).claim(request(1))
        assert claimed.documents[0]["fence"] == fence
        manager.store.transitions.release(claims_of(claimed))


@every_strategy
def test_tokens_are_never_shared_by_two_claim_calls(manager: JobManager, name: str) -> None:
    manager.create_many([{"type": "a", "data": n} for n in range(20)])
    strategy = manager.store.strategy(name)
    tokens = [strategy.claim(request(1)).token for _ in range(20)]
    assert len(set(tokens)) == 20


@every_strategy
def test_claimers_at_once_never_share_a_job(manager: JobManager, name: str) -> None:
    total = 400
    manager.create_many([{"type": "a", "data": n} for n in range(total)])
    won: list[str] = []
    together = threading.Barrier(4)

    def claim() -> None:
        together.wait()
        won.extend(document["_id"] for document in drain(manager.store, name, limit=20))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A claimer that lost a whole batch stopped early; what is left is still there for the next.
    won += [document["_id"] for document in drain(manager.store, name)]
    assert len(won) == total
    assert len(set(won)) == total


@every_strategy
def test_an_empty_backlog_is_drained(manager: JobManager, name: str) -> None:
    manager.ensure_indexes()
    claimed = manager.store.strategy(name).claim(request(5))
    assert (claimed.documents, claimed.drained, claimed.tried) == ([], True, 0)


@pytest.mark.parametrize("name", ["batch", "window"])
def test_a_candidate_that_was_postponed_meanwhile_is_left_alone(
    manager: JobManager, jobs: Jobs, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the update a job may have failed and be pending again, but later."""
    job = manager.create("a", 1)
    strategy = manager.store.strategy(name)
    assert isinstance(strategy, Batch)
    look = strategy._look

    def postpone_after_the_look(request: Request) -> Choice:
        found = look(request)
        jobs.update_one({"_id": job.id}, {"$set": {"run_at": datetime.now(UTC) + timedelta(hours=1)}})
        return found

    monkeypatch.setattr(strategy, "_look", postpone_after_the_look)
    claimed = strategy.claim(request(5))
    assert (claimed.documents, claimed.conflicts) == ([], 1)
    assert manager.get(job.id).fence == 0


def answer(tried: int, won: int, *, drained: bool = False) -> Claimed:
    return Claimed([{}] * won, "token", 0.0, tried, drained)


def test_the_window_widens_while_others_win_and_narrows_when_they_stop(store: Store) -> None:
    window = store.strategy("window")
    assert isinstance(window, Window)
    for expected in (2, 4, 8, 16, 32, 64, 64):
        window._learn(answer(tried=100, won=50))
        assert window.factor == expected
    assert window.factor == MAX_FACTOR
    for _ in range(100):
        window._learn(answer(tried=100, won=100))
    assert window.factor == 1


def test_the_window_learns_nothing_where_there_is_nothing_to_choose_from(store: Store) -> None:
    """One job is due, and another pool gets it: that is no reason to spread out."""
    window = store.strategy("window")
    assert isinstance(window, Window)
    for _ in range(20):
        window._learn(answer(tried=1, won=0, drained=True))
    assert window.factor == 1


@pytest.mark.parametrize("types", [("a",), tuple(f"t{n}" for n in range(250))], ids=["one type", "two reads"])
def test_a_wide_window_takes_blocks_from_all_over_it_and_respects_priority(
    manager: JobManager, types: tuple[str, ...]
) -> None:
    started = datetime.now(UTC) - timedelta(hours=1)
    for n in range(100):
        run_at = started + timedelta(seconds=n)
        manager.create(types[n % len(types)], n, id=f"{n:02}", priority=int(n < 5), run_at=run_at)
    window = manager.store.strategy("window")
    assert isinstance(window, Window)
    window.factor = 4
    picks = [[int(found["_id"]) for found in window._look(request(20, types)).candidates] for _ in range(30)]
    assert {len(set(pick)) for pick in picks} == {20}
    assert all(set(pick[:5]) == set(range(5)) for pick in picks), "all of the higher priority, and first"
    assert all(pick[5:] == sorted(pick[5:]) for pick in picks), "in order"
    assert max(n for pick in picks for n in pick) > 40
    assert window.factor == 4


def test_a_window_wider_than_the_backlog_narrows_until_it_fits(manager: JobManager) -> None:
    manager.create_many([{"type": "a", "data": n} for n in range(30)])
    window = manager.store.strategy("window")
    assert isinstance(window, Window)
    window.factor = MAX_FACTOR
    picks = [len(window._look(request(20)).candidates) for _ in range(20)]
    assert set(picks) == {20}
    assert window.factor <= 2


def stages(plan: dict[str, Any]) -> list[str]:
    below = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    return [plan["stage"], *(stage for part in below for stage in stages(part))]


@pytest.mark.parametrize("types", [("a",), ("a", "b", "c")])
def test_the_candidate_read_is_a_covered_scan_in_proportion_to_the_batch(
    manager: JobManager, jobs: Jobs, types: tuple[str, ...]
) -> None:
    """50,000 finished and 50,000 scheduled jobs beside it cost the claim nothing."""
    batch, beside = 100, 50_000
    manager.create_many([{"type": "a", "data": n} for n in range(2 * batch)])
    template = jobs.find_one()
    assert template is not None
    later = datetime.now(UTC) + timedelta(days=1)
    for kind, values in (("done", {"state": "succeeded"}), ("later", {"run_at": later})):
        jobs.insert_many(({**template, **values, "_id": f"{kind}{n}"} for n in range(beside)), ordered=False)
    explained = candidate_cursor(manager.store._connection, types, batch).explain()
    assert set(stages(explained["queryPlanner"]["winningPlan"])) <= {
        "LIMIT",
        "PROJECTION_COVERED",
        "PROJECTION_DEFAULT",
        "SORT_MERGE",
        "IXSCAN",
    }
    figures = explained["executionStats"]
    assert figures["nReturned"] == batch
    assert figures["totalDocsExamined"] == 0
    # One seek more for each range of the index.
    assert figures["totalKeysExamined"] <= batch + 2 * len(types)
