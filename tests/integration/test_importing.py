"""Jobs of another system are carried over: each once, however often it is tried and wherever it breaks off."""

from __future__ import annotations

import hashlib
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from jobpool import Executor, JobManager, Limit, State
from jobpool.errors import InvalidConfiguration, StoreUnavailable
from jobpool.importing import Imported, Skipped, Togedo
from jobpool.store import importing

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..togedo import document, source
from ..waiting import until

__all__ = ["source"]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager(executors={"mail": lambda data: data["to"]})


def carry(manager: JobManager, source: Jobs, **options: Any) -> Imported:
    knows = Togedo(active=options.pop("active", "skip"), ids=options.pop("ids", "recompute"))
    return manager.import_jobs(knows, database=source.database.name, **options)


def fill(source: Jobs, number: int = 30) -> None:
    states = ("queued", "done", "error", "active", "queued")
    source.insert_many([document(f"{n:05}", states[n % 5], nTries=n % 3) for n in range(number)])


def test_every_document_becomes_a_job_of_its_state(manager: JobManager, source: Jobs) -> None:
    fill(source)
    report = carry(manager, source)
    assert (report.read, report.inserted, report.left_out, report.skipped, report.missing) == (30, 24, 6, 0, 0)
    assert report.source_states == {"active": 6, "done": 6, "error": 6, "queued": 12}
    assert report.target_states == {"pending": 12, "succeeded": 6, "failed": 6}
    assert (report.finished, report.flawless, report.source_jobs) == (True, True, 30)
    assert manager.count() == 24
    failed = manager.get("00002")
    assert (failed.state, failed.error_count, len(failed.errors), failed.fence) == (State.FAILED, 1, 1, 0)


def test_what_is_imported_runs(manager: JobManager, source: Jobs) -> None:
    fill(source)
    carry(manager, source, active="pending")
    assert manager.run_all("mail") == 18
    assert manager.get("00003").result == "00003"


def test_attempts_that_were_spent_there_count_and_one_more_is_left(
    make_manager: MakeManager, source: Jobs
) -> None:
    """What was never tried has as many as its executor allows, what was tried as many as there, or one more."""

    def fail(data: Any) -> None:
        raise OSError(data)

    manager = make_manager(executors={"mail": Executor(fail, max_attempts=2, backoff=0)})
    source.insert_many([document(f"{n}", nTries=n) for n in (0, 1, 2, 3)])
    source.insert_one(document("4", "active", nTries=3))
    carry(manager, source, active="pending")
    manager.run_all("mail")
    jobs = [manager.get(str(n)) for n in range(5)]
    assert {job.state for job in jobs} == {State.FAILED}
    assert [job.attempts for job in jobs] == [2, 3, 3, 4, 4]
    assert manager.retry("3").state is State.PENDING
    until(lambda: manager.run("mail") is not None, "it is due by the manager's idea of the server's clock, too")
    assert (manager.get("3").state, manager.get("3").attempts) == (State.FAILED, 5)
    assert carry(manager, source).already == 4


def test_a_second_import_changes_nothing_whatever_became_of_the_jobs(
    manager: JobManager, source: Jobs, jobs: Jobs
) -> None:
    fill(source)
    there = list(source.find())
    carry(manager, source)
    assert manager.run("mail") is not None
    manager.cancel("00004")
    before = list(jobs.find().sort("_id", 1))
    again = carry(manager, source)
    assert (again.inserted, again.already, again.existing) == (0, 24, 0)
    assert again.target_states["cancelled"] == 1
    assert list(jobs.find().sort("_id", 1)) == before
    assert list(source.find()) == there, "the source is only read"
    assert set(source.index_information()) == {"_id_"}


def test_equal_work_stays_done_once(manager: JobManager, source: Jobs) -> None:
    """What was created here before the import is met, and so is what the import brought."""
    texts = ['{"date":1764265200000}', '{"date":1764265200001}']
    ids = [hashlib.sha1(f"mail{text}".encode()).hexdigest() for text in texts]
    data = [{"date": 1764265200000.0}, {"date": 1764265200001.0}]
    source.insert_many([document(id, "done", data=one) for id, one in zip(ids, data, strict=True)])
    mine = manager.create("mail", {"date": 1764265200000})
    report = carry(manager, source)
    assert (report.inserted, report.existing, report.notes["id_recomputed"]) == (1, 1, 2)
    assert manager.get(mine.id).state is State.PENDING
    met = manager.create("mail", {"date": 1764265200001})
    assert (met.created, met.state) == (False, State.SUCCEEDED)


def test_a_view_is_refused(manager: JobManager, source: Jobs) -> None:
    fill(source)
    source.database.command("create", "seen", viewOn=source.name)
    with pytest.raises(InvalidConfiguration, match=r"\.seen is a view"):
        carry(manager, source, collection="seen")


def test_of_two_imports_at_once_each_job_is_the_work_of_one(
    manager: JobManager, make_manager: MakeManager, source: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other comes between the look and the insert."""
    fill(source)
    reports: list[Imported] = []
    look = importing.Importing.present

    async def present(self: importing.Importing, ids: list[str]) -> dict[str, Any]:
        found = await look(self, ids)
        if not reports:
            monkeypatch.setattr(importing.Importing, "present", look)
            reports.append(carry(make_manager(), source))
        return found

    monkeypatch.setattr(importing.Importing, "present", present)
    report = carry(manager, source)
    assert (reports[0].inserted, reports[0].already) == (24, 0)
    assert (report.inserted, report.already, report.existing, report.missing) == (0, 24, 0, 0)


def test_states_of_the_source_are_told_apart_as_far_as_that_helps(manager: JobManager, source: Jobs) -> None:
    """What is no collection of jobs may have as many as documents."""
    source.insert_many([document(f"{n:02}", f"state {n:02}") for n in range(30)])
    states = carry(manager, source).source_states
    assert (len(states), states["state 00"], states["other"]) == (21, 1, 10)


def test_jobs_that_were_revived_or_removed_meanwhile(manager: JobManager, source: Jobs, jobs: Jobs) -> None:
    """A revived one is known and left alone; one that was removed comes again, as it is there."""
    fill(source)
    carry(manager, source)
    manager.revive("00002")
    manager.remove("00001")
    report = carry(manager, source)
    assert (report.already, report.inserted, report.skipped) == (23, 1, 0)
    assert manager.get("00002").state is State.PENDING
    assert manager.get("00001").state is State.SUCCEEDED
    assert jobs.count_documents({}) == 24


def test_two_ids_that_are_the_same_as_text_are_not_one_job(manager: JobManager, source: Jobs) -> None:
    source.insert_many([document(7), document("7", data="other")])
    skipped: list[Skipped] = []
    report = carry(manager, source, on_skipped=skipped.append)
    assert (report.inserted, report.skipped, report.flawless) == (1, 1, False)
    assert [(one.id, one.problem) for one in skipped] == [("'7'", "id")]
    again = carry(manager, source)
    assert (again.already, again.skipped) == (1, 1)


def test_a_job_of_somebody_else_with_an_id_that_is_kept_is_no_reason_to_be_silent(
    manager: JobManager, source: Jobs
) -> None:
    manager.create("mail", "mine", id="order-1")
    source.insert_one(document("order-1"))
    report = carry(manager, source)
    assert (report.skipped, report.problems, report.inserted) == (1, {"id": 1}, 0)
    assert manager.get("order-1").data == "mine"


def test_what_cannot_be_held_is_skipped_and_said(manager: JobManager, source: Jobs) -> None:
    source.insert_many(
        [
            document("a", data={"re": bson.Regex("x")}),
            document("b", status="odd"),
            document("c", type=""),
            document("d", scheduledTime="soon"),
            document("e", "done", result={"n": float("nan")}),
            document("f"),
        ]
    )
    skipped: list[Skipped] = []
    report = carry(manager, source, on_skipped=skipped.append)
    assert report.problems == {"data": 1, "result": 1, "run_at": 1, "status": 1, "type": 1}
    assert (report.skipped, report.results_left, report.inserted) == (4, 1, 2)
    assert [one.id for one in skipped if one.carried] == ["'e'"]
    assert (manager.get("e").state, manager.get("e").result) == (State.SUCCEEDED, None)
    assert (manager.get("e").result_error or "").startswith("it was not imported: result.n")


def test_a_dry_run_writes_nothing_and_says_what_would_be(
    manager: JobManager, source: Jobs, client: MongoClient[dict[str, Any]], database: str
) -> None:
    fill(source)
    source.insert_one(document("bad", data=bson.Regex("x")))
    report = carry(manager, source, dry_run=True)
    assert (report.inserted, report.left_out, report.skipped) == (24, 6, 1)
    assert report.target_states == {"pending": 12, "succeeded": 6, "failed": 6}
    assert client[database].list_collection_names() == []
    real = carry(manager, source)
    assert real.inserted == 24
    assert len(client[database]["jobs"].index_information()) > 1, "the indexes were made after all"


def test_an_import_that_breaks_off_goes_on(
    manager: JobManager, source: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PAGE", 5)
    fill(source)

    def stop(report: Imported) -> None:
        if report.read > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry(manager, source, on_round=stop)
    assert 0 < manager.count() < 24
    report = carry(manager, source)
    assert (report.inserted + report.already, report.missing) == (24, 0)
    assert manager.count() == 24


def test_a_lost_reply_makes_no_job_twice(proxy: Proxy, make_manager: MakeManager, source: Jobs) -> None:
    fill(source)
    manager = make_manager(uri=proxy.uri)
    proxy.lose_reply_of("insert")
    report = carry(manager, source)
    assert proxy.lost == ["insert"]
    assert (report.inserted, report.missing, manager.count()) == (24, 0, 24)


def test_after_a_reply_that_stays_lost_repeating_goes_on(
    proxy: Proxy, make_manager: MakeManager, source: Jobs
) -> None:
    fill(source)
    manager = make_manager(uri=f"{proxy.uri}&retryWrites=false")
    manager.ensure_indexes()
    proxy.lose_reply_of("insert")
    with pytest.raises(StoreUnavailable, match="may or may not"):
        carry(manager, source)
    assert proxy.lost == ["insert"]
    report = carry(manager, source)
    assert (report.inserted, report.already, manager.count()) == (0, 24, 24)


def test_a_collection_is_not_imported_into_itself_by_whatever_way(
    proxy: Proxy, manager: JobManager, jobs: Jobs, database: str
) -> None:
    manager.create("mail", 1)
    for uri in (None, proxy.uri):
        with pytest.raises(InvalidConfiguration, match="into itself"):
            manager.import_jobs(Togedo(), database=database, uri=uri)
    assert jobs.count_documents({}) == 1


def test_a_source_that_is_not_there_is_refused_and_nothing_made(
    manager: JobManager, client: MongoClient[dict[str, Any]], database: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=r"there is no collection nowhere\.jobs to import from"):
        manager.import_jobs(Togedo(), database="nowhere")
    assert client[database].list_collection_names() == []


def test_what_waits_has_the_key_that_its_executor_gives_it(make_manager: MakeManager, source: Jobs) -> None:
    limited = Executor(lambda data: None, key=lambda data: data["user"], key_limit=Limit(running=1))
    manager = make_manager(executors={"mail": limited})
    source.insert_many(
        [document("a", data={"user": "ann"}), document("b", data=[]), document("c", "done", data=[])]
    )
    assert carry(manager, source).inserted == 3
    assert [manager.get(id).key for id in "abc"] == ["ann", "", None]
