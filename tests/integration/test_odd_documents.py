"""Documents that somebody else wrote among the jobs: who looks, changes or claims does the same to all others."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobpool import JobManager, WorkerPool
from jobpool.data import LENIENT
from jobpool.errors import JobpoolError
from jobpool.job import State
from jobpool.store import explaining
from jobpool.store.claiming import STRATEGIES
from jobpool.store.fields import TEXT_ID
from jobpool.store.reaping import EXPIRED

from ..conftest import Jobs, MakeManager
from ..odd_documents import ERROR, IDS, ODD, STATES, VALUES, Document, catalogue, insert, job
from ..waiting import until

#: By one whom jobpool knows: ids of jobs are texts.
HELD: Document = {**TEXT_ID, "state": {"$in": ["claimed", "running"]}}
GOOD = {f"good {state}": state for state in STATES}
FEW = settings(
    max_examples=15,
    derandomize=True,  # what is found by chance belongs to who looks for it, not to who changed something else
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
#: Calls that read, and say nothing of one job alone.
LOOKS: dict[str, Callable[[JobManager], object]] = {
    "find": lambda manager: manager.find(limit=10_000),
    "oldest": lambda manager: manager.find(limit=10_000, oldest_first=True),
    "text": lambda manager: manager.find(text="x"),
    "group": lambda manager: manager.find(group="0" * 8),
    "each": lambda manager: list(manager.each()),
    "each text": lambda manager: list(manager.each(text="x")),
    "count": lambda manager: manager.count(text="x"),
    "backlog": lambda manager: manager.backlog(),
    "stats": lambda manager: manager.stats(finished=True),
    "activity": lambda manager: manager.activity(limit=1000),
    "errors": lambda manager: manager.errors(limit=1000),
    "types": lambda manager: manager.types(),
    "held": lambda manager: manager.held(),
    "running": lambda manager: manager.running(limit=1000),
    "failures": lambda manager: manager.recent_failures(limit=1000),
    "check": lambda manager: manager.check(),
    "last": lambda manager: manager.last_changes(10_000, data=True),
    "beginning": lambda manager: manager.ids_beginning("odd", limit=1000),
    "pages": lambda manager: list(manager.pages(to="remove")),
}


def good() -> list[Document]:
    """One job in every state, as we store them."""
    return [{**job(state, "g"), "_id": id} for id, state in GOOD.items()]


def usable(id: object) -> bool:
    """Say whether a call takes an id."""
    return isinstance(id, str) and 0 < len(id) <= 512 and id.isprintable()


@pytest.fixture
def manager(make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch) -> JobManager:
    monkeypatch.setattr(explaining, "PAUSE", 0.0)
    manager = make_manager(executors={"a": lambda data: None, "b": lambda data: None, "g": lambda data: None})
    manager.ensure_indexes()
    return manager


def some_of_all(number: int, states: tuple[str, ...] = STATES) -> list[Document]:
    """Return so many of the catalogue, the same in every run, and what is worst: bytes that are no UUID."""
    drawn = random.Random(number).sample(list(catalogue(states=states)), number)
    return [
        *drawn,
        *({**job(state), "_id": f"odd no uuid {state}", "data": VALUES["no uuid"]} for state in states),
    ]


def states_of(jobs: Jobs) -> dict[Any, Any]:
    """Return the states of the good jobs."""
    return {found["_id"]: found["state"] for found in jobs.find({"_id": {"$in": list(GOOD)}}, {"state": 1})}


def test_whoever_looks_at_all_sees_the_good_ones_whatever_the_others_are(manager: JobManager, jobs: Jobs) -> None:
    there = insert(jobs, [*good(), *some_of_all(1500)])
    found = {name: look(manager) for name, look in LOOKS.items()}
    shown: Any = found["each"]
    assert len(shown) >= len(there) - 2  # but for those whose ids cannot be asked for: code
    for several in (found["each"], found["find"], found["oldest"]):
        assert {one.id: one.state for one in several if one.id in GOOD} == GOOD  # type: ignore[attr-defined]
    assert {one.id for one in found["last"]} >= set(GOOD)  # type: ignore[attr-defined]
    assert found["backlog"].types["g"].failed == 1  # type: ignore[attr-defined]


def test_each_by_itself_is_shown_as_far_as_it_means_anything(manager: JobManager, jobs: Jobs) -> None:
    there = [id for id in insert(jobs, some_of_all(250)) if usable(id)]
    assert len(there) > 200
    for id in there:
        seen, relations = manager.relations(id)
        assert repr(seen) == repr(manager.get(id))  # what is no number is not equal to itself
        assert (seen.id, relations.id) == (id, id)
        assert manager.why(id).id == id


@FEW
@given(odd=st.lists(ODD, min_size=1, max_size=6))
def test_any_odd_documents_hide_no_good_one(manager: JobManager, jobs: Jobs, odd: list[Document]) -> None:
    jobs.delete_many({})
    there = insert(jobs, [*good(), *odd])
    for look in LOOKS.values():
        look(manager)
    assert {one.id: one.state for one in manager.each() if one.id in GOOD} == GOOD
    for id in filter(usable, there):
        assert repr(manager.relations(id)[0]) == repr(manager.get(id))
        manager.why(id)


def test_what_is_no_error_of_ours_is_told_as_its_message(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many(
        [
            {**job("failed"), "_id": "text", "error": "it broke", "errors": {"no": "list"}},
            {**job("failed"), "_id": "dict", "error": {"message": 5}, "errors": ERROR, "attempts": 2.0},
        ]
    )
    text, dict = manager.get("text"), manager.get("dict")
    assert text.error is not None
    assert (text.error.type, text.error.message) == ("?", "it broke")
    assert [error.message for error in text.errors] == ["{'no': 'list'}"]
    assert dict.error is not None
    assert (dict.error.type, dict.error.message, dict.attempts) == ("?", "5", 2)
    assert [error.type for error in dict.errors] == ["ValueError"]


#: Comes back as the dict that stands for it, which has another place in the order.
CODE = ("code", "scoped")


def test_pages_behind_an_odd_job_have_all_good_ones(manager: JobManager, jobs: Jobs) -> None:
    """Whatever it has in place of the time of its creation."""
    odd = [{**job("failed"), "created_at": VALUES[name], "_id": name} for name in VALUES if name not in CODE]
    insert(jobs, [*good(), *odd])
    for oldest_first in (False, True):
        seen: list[str] = []
        after = None
        while page := manager.find(limit=1, after=after, oldest_first=oldest_first):
            after = page[-1]
            seen.append(after.id)
            assert len(seen) <= len(odd) + len(GOOD), "it came again"
        assert set(GOOD) <= set(seen)


#: What becomes of the good jobs.
CHANGES: dict[str, tuple[Callable[[JobManager], object], dict[str, str]]] = {
    "cancel": (
        lambda manager: manager.cancel_many(all=True),
        dict.fromkeys(("good waiting", "good pending", "good claimed"), "cancelled"),
    ),
    "cascade": (
        lambda manager: manager.cancel_many(all=True, cascade=True),
        dict.fromkeys(("good waiting", "good pending", "good claimed"), "cancelled"),
    ),
    "retry": (lambda manager: manager.retry_many(all=True), {"good failed": "pending"}),
    "revive": (
        lambda manager: manager.revive_many(state=["succeeded", "failed", "cancelled"]),
        dict.fromkeys(("good succeeded", "good failed", "good cancelled"), "pending"),
    ),
    "snooze": (lambda manager: manager.snooze_many(all=True, delay=500), {}),
    "remove": (
        lambda manager: manager.remove_many(all=True),
        dict.fromkeys(
            ("good waiting", "good pending", "good failed", "good succeeded", "good cancelled"), "not there"
        ),
    ),
    "purge": (lambda manager: manager.purge(1.0), {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_all_changes_every_good_job_that_it_should(
    manager: JobManager, jobs: Jobs, change: str
) -> None:
    insert(jobs, [*good(), *catalogue()])
    do, changed = CHANGES[change]
    do(manager)
    expected = {**GOOD, **changed}
    assert states_of(jobs) == {id: state for id, state in expected.items() if state != "not there"}


@FEW
@given(odd=st.lists(ODD, min_size=1, max_size=6))
def test_a_change_of_one_odd_job_changes_it_or_says_why_not(
    manager: JobManager, jobs: Jobs, odd: list[Document]
) -> None:
    jobs.delete_many({})
    there = insert(jobs, [*good(), *odd])
    for id in (id for id in there if usable(id) and id not in GOOD):
        for do in (manager.retry, manager.cancel, manager.revive, manager.remove):
            with suppress(JobpoolError):  # it is held, say
                do(id)
    assert states_of(jobs) == GOOD


def drained(manager: JobManager, jobs: Jobs, **options: Any) -> None:
    """Let a pool run until all good jobs are done, one of them after another, while it takes back what is over."""
    ids = manager.create_many([{"type": "g", "data": n} for n in range(5)]).ids
    parent = manager.create("g", "parent", id="good parent").id
    child = manager.create("g", "child", id="good child", after=[parent]).id
    jobs.insert_many({**job(state, "g"), "_id": f"taken {state}"} for state in ("claimed", "running"))
    jobs.update_many({"state": "pending", "type": "a", "priority": 0}, {"$set": {"priority": 5}})
    with WorkerPool(manager, lease=2, **options):
        until(lambda: manager.count(ids=[*ids, parent, child], state="succeeded") == 7, "the good ones")
        held = {
            "_id": {"$regex": "^taken"},
            "state": {"$in": ["claimed", "running"]},
            "lease_until": job("claimed")["lease_until"],
        }
        until(lambda: not jobs.count_documents(held), "the good ones whose pool has died")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_job_behind_odd_documents_stops(manager: JobManager, jobs: Jobs, strategy: str) -> None:
    """`single` takes them one by one, and so gets fewer."""
    insert(jobs, some_of_all(400) if strategy == "single" else catalogue())
    drained(manager, jobs, strategy=strategy)


@settings(FEW, max_examples=4)
@given(odd=st.lists(ODD, min_size=5, max_size=30), strategy=st.sampled_from(sorted(STRATEGIES)))
def test_no_job_behind_any_odd_documents_stops(
    manager: JobManager, jobs: Jobs, odd: list[Document], strategy: str
) -> None:
    jobs.delete_many({})
    insert(jobs, odd)
    drained(manager, jobs, strategy=strategy)


def test_the_reaper_leaves_none_of_jobs_that_are_held(manager: JobManager, jobs: Jobs) -> None:
    """It words what it writes by what stands in a job, whatever that is."""
    insert(jobs, catalogue(states=("claimed", "running")))
    assert jobs.count_documents({**EXPIRED, **HELD}) > 3000
    manager.store.reaping.reap()
    assert jobs.count_documents({**EXPIRED, **HELD}) == 0


def test_run_all_goes_on_behind_data_that_python_has_no_value_for(manager: JobManager, jobs: Jobs) -> None:
    odd = ("no uuid", "year 33658", "year -1199", "regex", "least", "scoped", "reference")
    insert(jobs, ({**job("pending", priority=9), "data": VALUES[name], "_id": f"odd {name}"} for name in odd))
    jobs.insert_one({**job("pending", priority=9), "_id": ObjectId()})
    manager.create("g", 1)
    assert manager.run_all() == len(odd) + 2
    assert {State(found["state"]) for found in jobs.with_options(codec_options=LENIENT).find()} == {
        State.SUCCEEDED
    }


#: What is there beside the jobs, by the name of the collection: one document as we write it.
BESIDE: dict[str, Callable[[JobManager], object]] = {
    "pools": lambda manager: None,  # the pool of the test speaks for itself
    "settings": lambda manager: manager.pause("another"),
    "schedules": lambda manager: manager.schedule("hourly", 3600, "a", {"id": uuid4()}),
    "gates": lambda manager: None,
}
#: Fields that such documents have now and then.
SOMETIMES = (
    "fresh_until",
    "seen_at",
    "limits",
    "next_at",
    "locked_until",
    "tokens",
    "forget_at",
    "required",
    "all",
)


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_jobs_hinders_nobody(manager: JobManager, jobs: Jobs, name: str) -> None:
    BESIDE[name](manager)
    with WorkerPool(manager, name="here") as pool:
        until(manager.pools, "the first word of the pool")
        beside = jobs.database[f"{jobs.name}.{name}"]
        ours: Document = beside.find_one() or {}
        fields = {*ours, *SOMETIMES} - {"_id"}
        odd = [
            {**ours, field: VALUES[value], "_id": f"odd {field} {value}"} for field in fields for value in VALUES
        ]
        there = insert(beside, [*odd, *({"_id": id} for id in IDS.values())])
        assert len(there) > len(odd) / 2
        for look in LOOKS.values():
            look(manager)
        assert "here" in {known.name for known in manager.pools(dead=True)}
        assert manager.paused() is not None
        if name == "schedules":
            assert "hourly" in {schedule.name for schedule in manager.schedules.list()}
        assert manager.wait(manager.create("a", name).id, timeout=30).state is State.SUCCEEDED
        assert manager.why(manager.create("nobody runs it", 1).id).code == "no_executor"
    assert pool.state == "stopped"
