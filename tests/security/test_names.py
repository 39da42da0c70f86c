"""Names are checked by their type first: no operator and no script gets into a query."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import product
from typing import Any

import pytest
from bson import Code
from pymongo import MongoClient

from jobpool import JobManager, PoolConfig, WorkerPool
from jobpool.errors import InvalidConfiguration, InvalidJob, JobNotFound, JobpoolError
from jobpool.ids import job_id
from jobpool.job import Job
from jobpool.names import MAX_ID, MAX_SHOWN, shown
from jobpool.store.queries import Selection

from ..conftest import Jobs, MakeManager
from .hostile import DISGUISED, NO_NAMES, Liar

Call = Callable[[JobManager, Any], object]


def page_after(manager: JobManager, value: Any) -> list[Job]:
    """Ask for the page behind a job whose id is `value`."""
    stored = manager.find(limit=1)[0]
    return manager.find(after=Job(**{name: getattr(stored, name) for name in Job.__slots__} | {"id": value}))


CALLS: dict[str, Call] = {
    "create": lambda m, v: m.create(v, 1),
    "create id": lambda m, v: m.create("a", 1, id=v),
    "create mapping": lambda m, v: m.create({"type": v, "data": 1}),
    "create mapping id": lambda m, v: m.create({"type": "a", "id": v}),
    "create key": lambda m, v: m.create({"type": "a", v if v.__hash__ else "$ne": 1}),
    "create_many": lambda m, v: m.create_many([{"type": "a", "data": "new"}, {"type": v}]),
    "create_many stream": lambda m, v: m.create_many(iter([{"type": v}])),
    "on_duplicate": lambda m, v: m.create("a", 0, on_duplicate=v),
    "create_many on_duplicate": lambda m, v: m.create_many([{"type": "a"}], on_duplicate=v),
    "get": lambda m, v: m.get(v),
    "find type": lambda m, v: m.find(type=v),
    "find types": lambda m, v: m.find(type=["a", v]),
    "find states": lambda m, v: m.find(state=["failed", v]),
    "find error": lambda m, v: m.find(error=v),
    "find key": lambda m, v: m.find(key=v),
    "find group": lambda m, v: m.find(group=v),
    "count error": lambda m, v: m.count(error=v),
    "pages type": lambda m, v: m.pages(type=v),
    "pages to": lambda m, v: m.pages(to=v),
    "errors type": lambda m, v: m.errors(type=["a", v]),
    "find state": lambda m, v: m.find(state=v),
    "find ids": lambda m, v: m.find(ids=[v]),
    "find after id": page_after,
    "find after": lambda m, v: m.find(after=v),
    "find since": lambda m, v: m.find(since=v),
    "find limit": lambda m, v: m.find(limit=v if v != 5 else "5"),  # type: ignore[arg-type]
    "count type": lambda m, v: m.count(type=v),
    "count ids": lambda m, v: m.count(ids=[v]),
    "wait": lambda m, v: m.wait(v, timeout=0),
    "cancel": lambda m, v: m.cancel(v),
    "retry": lambda m, v: m.retry(v),
    "retry_many types": lambda m, v: m.retry_many(type=["a", v]),
    "revive": lambda m, v: m.revive(v),
    "revive_many group": lambda m, v: m.revive_many(group=v),
    "snooze": lambda m, v: m.snooze(v, delay=5),
    "snooze run_at": lambda m, v: m.snooze("a", run_at=v),
    "snooze_many key": lambda m, v: m.snooze_many(key=v, delay=5),
    "remove": lambda m, v: m.remove(v),
    "remove_many type": lambda m, v: m.remove_many(type=v),
    "remove_many state": lambda m, v: m.remove_many(state=v),
    "remove_many ids": lambda m, v: m.remove_many(ids=["zz", v]),
    "remove_many until": lambda m, v: m.remove_many(until=v),
    "run": lambda m, v: m.run(v),
    "run_all": lambda m, v: m.run_all("a", v),
    "start_watch": lambda m, v: m.start_watch(v),
    "start_watch name": lambda m, v: m.start_watch(name=v),
    "pool types": lambda m, v: WorkerPool(m, [v]),
    "pool strategy": lambda m, v: WorkerPool(m, strategy=v),
    "pool push": lambda m, v: WorkerPool(m, push=v if v is not True else "yes"),  # type: ignore[arg-type]
    "executor": lambda m, v: m.executor(v)(print),
    "job_id": lambda m, v: job_id(v, None),
    "selection": lambda m, v: Selection(type=v).filter(),
}


#: What some calls take all the same: several types, the key of who has none, and the id of a job in whose place
#: somebody else wrote: pages go on behind it.
TAKEN = {
    *((call, value) for value in ("list", "tuple") for call in ("find type", "count type", "pages type")),
    *((call, value) for value in ("list", "tuple") for call in ("remove_many type", "selection")),
    *((call, "empty") for call in ("find key", "snooze_many key")),
    *(("find after id", value) for value in ("empty", "long", "newline", "nul", "escape")),
}


@pytest.mark.parametrize(("call", "value"), [one for one in product(CALLS, NO_NAMES) if one not in TAKEN])
def test_what_is_no_name_is_refused_and_nothing_changes(
    victim: JobManager, client: MongoClient[dict[str, Any]], call: str, value: str
) -> None:
    jobs = client[victim._store.name.partition(".")[0]]["jobs"]
    before = list(jobs.find())
    with pytest.raises((InvalidJob, InvalidConfiguration)) as refused:
        CALLS[call](victim, NO_NAMES[value])
    assert isinstance(refused.value, JobpoolError)
    assert isinstance(refused.value, ValueError)
    text = str(refused.value)
    assert len(text) < 400, "a hostile value does not flood the log of who prints the error"
    assert text.isprintable()
    assert list(jobs.find()) == before


@pytest.mark.parametrize("value", [{"$ne": ""}, {"a": 1}, b"ab", 5, True])
def test_ids_are_several_names_and_nothing_else(victim: JobManager, value: Any) -> None:
    for call in (victim.find, victim.count, victim.remove_many):
        with pytest.raises(InvalidJob, match=r"^ids? must be"):
            call(ids=value)
    assert victim.count() == 4


@pytest.mark.parametrize("value", [5, True, {"$ne": ""}, b"a", "a", None])
def test_jobs_to_create_are_mappings_in_an_iterable(victim: JobManager, value: Any) -> None:
    with pytest.raises(InvalidJob):
        victim.create_many(value)
    assert victim.count() == 4


@pytest.mark.parametrize("value", [{"id": 1}, "session", 1])
def test_a_session_is_a_session(victim: JobManager, value: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^session must be"):
        victim.create("a", "new", session=value)
    with pytest.raises(InvalidJob, match=r"^session must be"):
        victim.create_many([{"type": "a", "data": "new"}], session=value)
    assert victim.count() == 4


@pytest.mark.parametrize("value", [{"$ne": ""}, b"x", 5, True, ["x"], "a\0b", ""])
def test_names_of_databases_and_collections_are_checked(value: Any) -> None:
    with pytest.raises(InvalidConfiguration):
        JobManager(value)
    with pytest.raises(InvalidConfiguration):
        JobManager("x", collection=value)


@pytest.mark.parametrize("value", DISGUISED)
def test_of_a_text_in_disguise_only_the_text_counts(make_manager: MakeManager, jobs: Jobs, value: str) -> None:
    name = DISGUISED[value]
    manager = make_manager(executors={"a": lambda data: data})
    assert manager.create(name, 1, id=name).created
    assert [(type(doc["_id"]), type(doc["type"])) for doc in jobs.find()] == [(str, str)]
    assert manager.get(name).id == manager.find(type=name)[0].id == manager.find(ids=[name])[0].id == "a"
    assert not manager.create("a", 1, id="a").created
    done = manager.run(name)
    assert done is not None
    assert (done.state, manager.remove(name)) == ("succeeded", True)
    with pytest.raises(JobNotFound):
        manager.get(name)


def test_a_text_in_disguise_cannot_be_longer_than_it_may(victim: JobManager) -> None:
    for call in (victim.get, victim.cancel, victim.remove):
        with pytest.raises(InvalidJob, match="512 characters, not 513"):
            call(Liar("x" * (MAX_ID + 1)))
    with pytest.raises(InvalidConfiguration, match="control"):
        PoolConfig(name=Liar("a\nb"))


def test_an_enumeration_may_hold_the_types(make_manager: MakeManager) -> None:
    class Types(StrEnum):
        RESIZE = "resize"

    manager = make_manager(executors={Types.RESIZE: lambda data: data})
    assert manager.create(Types.RESIZE, 1).id == manager.create("resize", 1).id == job_id(Types.RESIZE, 1)


def test_ids_may_be_generated(make_manager: MakeManager) -> None:
    """Or a selection that is looked at twice would mean nothing the second time."""
    manager = make_manager()
    made = [manager.create("a", n).id for n in range(3)]
    assert manager.count(ids=(id for id in made)) == 3
    assert manager.remove_many(ids=(id for id in made[:2])) == 2


def test_no_ids_are_no_jobs(victim: JobManager) -> None:
    assert (victim.count(ids=[]), victim.find(ids=[]), victim.remove_many(ids=[])) == (0, [], 0)


@pytest.mark.parametrize("name", ["a", "v1:" + "0" * 64, "grün", "with space", "it's"])
def test_a_usual_name_is_shown_whole(name: str) -> None:
    assert shown(name) == repr(name)


@pytest.mark.parametrize(
    "name", ["\u202e" * 512, "x" * 512, "\U000e0001" * 20, "\x1b[2J" * 100, Code("x" * 512), Liar("y" * 10**6)]
)
def test_a_long_or_odd_name_is_shown_escaped_and_short(name: str) -> None:
    text = shown(name)
    assert len(text) <= MAX_SHOWN
    assert text.endswith("...")
    assert text.isprintable()
