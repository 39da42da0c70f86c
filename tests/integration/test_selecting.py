"""Which jobs are meant: every key of a selection, in every call that takes one, and walks through many jobs."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from jobpool import Job, JobManager, State
from jobpool.errors import InvalidConfiguration, InvalidJob, StoreRefused
from jobpool.job import Brief
from jobpool.store import pages as pages_module

from ..conftest import Jobs, MakeManager

MESSAGES = ["no file '/a/1'", "no file '/b/2'", "user 5 unknown", "user 77 unknown"]


def fail(data: Any) -> None:
    error = TimeoutError if data["n"] % 2 else KeyError
    raise error(MESSAGES[data["n"] % 4])


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    """Twelve failed jobs of two types, twelve pending ones, and a succeeded one."""
    manager = make_manager(executors={"mail": fail, "fax": fail, "ok": lambda data: None})
    manager.create_many(
        {
            "type": ("mail", "fax")[n % 3 == 0],
            "data": {"n": n, "to": {"Name": f"Customer {n}"}},
            "key": f"k{n % 2}",
        }
        for n in range(12)
    )
    manager.create("ok", {"n": 3})
    manager.run_all()
    for n in range(12, 24):
        manager.create("mail", {"n": n, "tags": ["Urgent", n * 1.5]}, key=f"k{n % 2}")
    return manager


#: What is selected, and which jobs that means.
SELECTIONS: list[tuple[str, dict[str, Any], Callable[[Job], bool]]] = [
    ("type", {"type": "mail"}, lambda job: job.type == "mail"),
    ("types", {"type": ["mail", "ok"]}, lambda job: job.type in ("mail", "ok")),
    ("no type", {"type": []}, lambda job: False),
    ("state", {"state": "pending"}, lambda job: job.state == "pending"),
    ("states", {"state": (State.FAILED, "succeeded")}, lambda job: job.state in ("failed", "succeeded")),
    ("error", {"error": "KeyError"}, lambda job: bool(job.error and job.error.type == "KeyError")),
    ("error and another state", {"error": "KeyError", "state": "pending"}, lambda job: False),
    ("key", {"key": "k1"}, lambda job: job.key == "k1"),
    ("text", {"text": "customer 1"}, lambda job: "Customer 1" in str(job.data)),
    ("text in a number", {"text": "22.5"}, lambda job: "22.5" in str(job.data)),
    ("text nowhere", {"text": "nobody"}, lambda job: False),
    (
        "text of a type",
        {"text": "TAGS", "type": "mail"},
        lambda job: job.state == "pending" and job.type == "mail",
    ),
    ("text of failed ones", {"text": "customer", "state": "failed"}, lambda job: job.state == "failed"),
    (
        "all together",
        {"type": "mail", "state": ["failed"], "key": "k1", "error": "TimeoutError", "text": "n"},
        lambda job: job.type == "mail" and job.state == "failed" and job.key == "k1",
    ),
]
IDS = [name for name, _, _ in SELECTIONS]


@pytest.mark.parametrize(("selected", "meant"), [item[1:] for item in SELECTIONS], ids=IDS)
def test_a_selection_means_the_same_to_every_call(
    manager: JobManager, selected: dict[str, Any], meant: Callable[[Job], bool]
) -> None:
    everything = manager.find(limit=100)
    expected = [job.id for job in everything if meant(job)]
    assert [job.id for job in manager.find(limit=100, **selected)] == expected
    assert [job.id for job in manager.find(limit=100, oldest_first=True, **selected)] == expected[::-1]
    assert manager.count(**selected) == len(expected)
    assert [brief.id for page in manager.pages(**selected) for brief in page] == sorted(expected)
    assert manager.remove_many(**selected) == len(expected)
    assert {job.id for job in manager.find(limit=100)} == {job.id for job in everything} - set(expected)


def test_cancelling_and_purging_go_by_texts_as_well(manager: JobManager) -> None:
    assert manager.cancel_many(text="urgent", key="k0").ended == 6
    assert manager.purge(0, text="urgent", key="k0") == 6
    assert manager.count(text="urgent") == 6


def test_a_group_means_what_failed_alike(manager: JobManager) -> None:
    groups = manager.errors()
    assert [(group.pattern, group.error, group.type, group.count) for group in groups] == sorted(
        ((g.pattern, g.error, g.type, g.count) for g in groups), key=lambda row: (-row[3], row[2], row[1], row[0])
    )
    for group in groups:
        found = manager.find(group=group.group, limit=100)
        assert len(found) == group.count == manager.count(group=group.group.upper())
        assert {(job.type, job.error and job.error.type) for job in found} == {(group.type, group.error)}
    assert manager.find(group=groups[0].group, state="pending") == []
    assert manager.retry_many(group=groups[0].group).failed == groups[0].count
    assert groups[0].group not in {group.group for group in manager.errors()}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_of_matched_jobs_cover_everything_once(manager: JobManager, limit: int) -> None:
    seen: list[str] = []
    after = None
    while page := manager.find(text="customer", limit=limit, after=after):
        assert len(page) <= limit
        seen += [job.id for job in page]
        after = page[-1]
    assert seen == [job.id for job in manager.find(text="customer")]
    assert len(seen) == 12


@pytest.mark.parametrize(
    "selection",
    [
        {"type": ["a", 5]},
        {"type": {"$ne": ""}},
        {"state": ["done"]},
        {"state": {"$ne": 1}},
        {"error": {"$gt": ""}},
        {"key": {"$gt": ""}},
        {"text": {"$gt": ""}},
        {"group": {"$gt": ""}},
        {"group": "done"},
        {"text": ""},
    ],
    ids=str,
)
def test_nonsense_is_refused(make_manager: MakeManager, selection: dict[str, Any]) -> None:
    manager = make_manager()
    for call in (manager.find, manager.count, manager.pages, manager.remove_many, manager.cancel_many):
        with pytest.raises((InvalidJob, InvalidConfiguration)):
            call(**selection)


def test_a_text_that_is_a_filter_elsewhere_is_a_text_here(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.create("a", {"$where": "1"})
    manager.create("a", {"x": ".*"})
    assert manager.count(text="$where") == 1
    assert manager.count(text=".*") == 1
    assert manager.count(text="$ne") == 0


# Walks


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let looks be of a few jobs."""
    for name, value in (("LOOK", 7), ("SLOW_LOOK", 5), ("SIZE", 6), ("HEAVY", 2)):
        monkeypatch.setattr(pages_module, name, value)


def briefs(jobs: list[Job]) -> list[Brief]:
    return sorted((Brief(job.id, job.type, job.state) for job in jobs), key=lambda brief: brief.id)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("selected", "meant"), [item[1:] for item in SELECTIONS], ids=IDS)
def test_a_walk_meets_each_job_once_whatever_its_way(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch, selected: dict[str, Any], meant: Callable[[Job], bool]
) -> None:
    """Through all jobs, too many for an index, by an index; in pages of any size."""
    expected = briefs([job for job in manager.find(limit=100) if meant(job)])
    middle = expected[len(expected) // 2].id if expected else "x"
    named = [brief.id for brief in expected[::2]]
    for few, size in product((0, 3, 100), (1, 4, 100)):
        monkeypatch.setattr(pages_module, "FEW", few)
        pages = list(manager.pages(size=size, **selected))
        assert [brief for page in pages for brief in page] == expected
        assert all(len(page) == size for page in pages[:-1])
        rest = [brief for page in manager.pages(size=size, after=middle, **selected) for brief in page]
        assert rest == [brief for brief in expected if brief.id > middle]
        found = manager.pages(size=size, ids=[*named, *named, "nowhere"], **selected)
        assert [brief.id for page in found for brief in page] == named


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("by", ["state", "walk", "ids"])
def test_a_walk_meets_no_job_twice_while_jobs_change(manager: JobManager, jobs: Jobs, by: str) -> None:
    """Every job that it may meet still moves in every index before each page."""
    ids = [job.id for job in manager.find(state="pending")]
    ways: dict[str, dict[str, Any]] = {"state": {"state": "pending"}, "walk": {}, "ids": {"ids": ids}}
    met: list[str] = []
    for page in manager.pages(size=2, **ways[by]):
        met += [brief.id for brief in page]
        for document in list(jobs.find({"state": "pending"}, {"_id": 1})):
            moved = {
                "run_at": datetime.now(UTC) + timedelta(seconds=random.randint(0, 1000)),
                "priority": len(met),
            }
            jobs.update_one(document, {"$set": moved})
    assert len(met) == len(set(met))
    assert set(met) >= set(ids)


def test_jobs_of_others_are_no_jobs(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([{"_id": 5}, {"_id": {"a": 1}, "type": "a", "state": "failed"}, {"_id": "typeless"}])
    jobs.insert_one({"_id": "new", "type": "a", "state": "on hold"})
    states = {brief.id: brief.state.value for page in manager.pages() for brief in page}
    assert len(states) == 26
    assert states["new"] == "on hold"
    assert len(next(manager.pages(state="failed", size=100))) == 12


def test_a_walk_needs_no_index(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create_many({"type": "a", "data": n} for n in range(5))
    jobs.drop_indexes()
    assert sum(map(len, manager.pages(state="pending"))) == 5


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"size": "5"},
        {"to": "destroy"},
        {"to": "snooze"},
        {"to": "purge"},
        {"to": "purge", "older_than": -1},
        {"to": "snooze", "run_at": datetime(2026, 1, 1)},
        {"after": 5},
    ],
    ids=str,
)
def test_nonsense_about_pages_is_refused(make_manager: MakeManager, options: dict[str, Any]) -> None:
    with pytest.raises((InvalidConfiguration, InvalidJob)):
        make_manager().pages(**options)


# Groups of errors


def test_groups_are_counted_in_rounds_as_all_at_once(
    make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds end between two instants, of many jobs that failed in the same one as well."""
    from jobpool.matching import group_of
    from jobpool.store import grouping

    manager = make_manager()
    manager.ensure_indexes()
    now = datetime.now(UTC).replace(microsecond=0)
    drawn = random.Random(5)
    jobs.insert_many(
        {
            "_id": f"j{n}",
            "type": drawn.choice(["a", "a", "a", "b", "c", "d"]),
            "state": "failed",
            "finished_at": now - timedelta(seconds=drawn.choice([1, 1, 1, 2, 3, 5, 8])),
            "error": {"type": drawn.choice(["E", "F"]), "message": f"no {drawn.choice('xy')} {n}"},
        }
        for n in range(200)
    )
    expected: dict[str | None, list[dict[str, Any]]] = {}
    for document in jobs.find():
        expected.setdefault(group_of(document), []).append(document)
    for size in (7, 40, 1000):
        monkeypatch.setattr(grouping, "ROUND", size)
        groups = {group.group: group for group in manager.errors(limit=100)}
        assert groups.keys() == expected.keys()
        for sign, alike in expected.items():
            group = groups[sign]  # type: ignore[index]
            assert group.count == len(alike)
            assert (group.first_at, group.last_at) == (
                min(job["finished_at"] for job in alike),
                max(job["finished_at"] for job in alike),
            )
            (example,) = [job for job in alike if job["_id"] == group.example]
            assert (example["finished_at"], example["error"]["message"]) == (group.last_at, group.message)
        since = now - timedelta(seconds=3)
        lately = manager.errors(limit=100, since=since, type=["a", "b"])
        wanted = [job for alike in expected.values() for job in alike if job["finished_at"] >= since]
        assert sum(group.count for group in lately) == sum(job["type"] in ("a", "b") for job in wanted)
        before = manager.errors(limit=100, until=since)
        assert sum(group.count for group in before) == 200 - len(wanted)


def test_the_largest_groups_come_first_and_no_more_than_asked_for(manager: JobManager) -> None:
    groups = manager.errors()
    assert [group.count for group in groups] == sorted((group.count for group in groups), reverse=True)
    assert manager.errors(limit=1) == groups[:1]
    assert manager.errors(type="ok") == []


def test_what_others_wrote_is_left_out_of_groups(manager: JobManager, jobs: Jobs) -> None:
    groups = manager.errors()
    now = datetime.now(UTC)
    odd: list[Any] = [None, "text", {"type": 5, "message": "x"}, {"message": "x"}]
    jobs.insert_many({"type": "a", "state": "failed", "finished_at": now, "error": error} for error in odd)
    jobs.insert_one({"_id": "at", "type": "a", "state": "failed", "finished_at": "x", "error": {"type": "E"}})
    jobs.insert_one({"_id": "t", "type": 5, "state": "failed", "finished_at": now, "error": {"type": "E"}})
    assert manager.errors() == groups
    number = {"type": "E", "message": 5}
    jobs.insert_one({"_id": "m", "type": "a", "state": "failed", "finished_at": now, "error": number})
    assert [group.pattern for group in manager.errors() if group.type == "a"] == [""]


@pytest.mark.parametrize("options", [{"limit": 0}, {"type": 5}, {"since": datetime(2026, 1, 1)}], ids=str)
def test_nonsense_about_groups_is_refused(make_manager: MakeManager, options: dict[str, Any]) -> None:
    with pytest.raises((InvalidConfiguration, InvalidJob)):
        make_manager().errors(**options)


def test_groups_need_their_index_and_say_so(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create("a")
    jobs.drop_indexes()
    with pytest.raises(StoreRefused, match="index"):
        manager.errors()
