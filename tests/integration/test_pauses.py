"""What is paused is written down once, whoever says so, however often, and whatever is lost on the way."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from jobpool import JobManager
from jobpool.errors import InvalidJob, StoreUnavailable
from jobpool.pauses import Paused

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..faults.proxy import Proxy

Client = MongoClient[dict[str, Any]]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager()


def settings_of(jobs: Jobs) -> Jobs:
    return jobs.database["jobs.settings"]


def server_time(client: Client) -> datetime:
    time: datetime = client.admin.command("hello")["localTime"]
    return time.replace(tzinfo=UTC)


def test_nothing_is_paused_at_first_and_asking_creates_nothing(manager: JobManager, jobs: Jobs) -> None:
    assert manager.paused() == Paused()
    assert not manager.paused()
    assert "a" not in manager.paused()
    assert "jobs.settings" not in jobs.database.list_collection_names()


def test_types_are_paused_and_resumed(manager: JobManager, client: Client) -> None:
    before = server_time(client)
    paused = manager.pause("a", "b.c", reason="the bank is closed")
    assert set(paused.types) == {"a", "b.c"}
    assert (paused.everything, paused.types["a"].reason) == (None, "the bank is closed")
    assert before <= paused.types["a"].since <= server_time(client)
    assert manager.paused() == paused
    assert ("a" in paused, "b.c" in paused, "b" in paused) == (True, True, False)
    assert set(manager.resume("a").types) == {"b.c"}
    assert set(manager.paused().types) == {"b.c"}
    assert not manager.resume("b.c")


def test_everything_is_paused_beside_single_types(manager: JobManager) -> None:
    manager.pause("a")
    paused = manager.pause(reason="night")
    assert paused.everything is not None
    assert (paused.everything.reason, set(paused.types)) == ("night", {"a"})
    assert "whatever" in paused
    both = manager.resume("a")
    assert ("a" in both, set(both.types)) == (True, set())
    manager.pause("a")
    assert not manager.resume()
    assert not manager.paused()


def test_a_repeated_pause_has_been_since_the_first_one(manager: JobManager) -> None:
    first = manager.pause("a"), manager.pause()
    again = manager.pause("a", "b"), manager.pause()
    assert again[0].types["a"] == first[0].types["a"]
    assert again[1].everything == first[1].everything
    said = manager.pause("a", reason="why"), manager.pause(reason="why all")
    assert (said[0].types["a"].since, said[0].types["a"].reason) == (first[0].types["a"].since, "why")
    assert said[1].everything is not None
    assert first[1].everything is not None
    assert (said[1].everything.since, said[1].everything.reason) == (first[1].everything.since, "why all")
    kept = manager.pause("a")
    assert (kept.types["a"].reason, kept.types["b"].reason) == ("why", None), "without a reason the old one stays"


def test_names_and_reasons_are_data_and_nothing_else(manager: JobManager) -> None:
    """They go through an update that is computed on the server."""
    names = "$type", "$$NOW", "a.b", "$literal", "{}", "\u2603" * 100
    for name in names:
        assert manager.pause(name, reason=name).types[name].reason == name
    assert set(manager.paused().types) == set(names)
    assert set(manager.resume("$type", "a", "$$ROOT").types) == set(names) - {"$type"}
    reason = manager.pause(reason="$types").everything
    assert reason is not None
    assert reason.reason == "$types"


@pytest.mark.parametrize("wrong", ["", "x" * 129, "line\nbreak", 7, None, b"a"], ids=repr)
def test_what_is_no_name_of_a_type_is_refused(manager: JobManager, wrong: Any) -> None:
    for call in (manager.pause, manager.resume):
        with pytest.raises(InvalidJob, match="type must"):
            call("a", wrong)
    assert not manager.paused()


def test_a_reason_is_a_short_text(manager: JobManager) -> None:
    wrong: Any
    for wrong in (5, "", "x" * 501):
        with pytest.raises(InvalidJob, match="reason must"):
            manager.pause("a", reason=wrong)
    assert not manager.paused()


def test_of_many_who_pause_at_once_none_is_lost(make_manager: MakeManager) -> None:
    """The first of them make the document."""
    managers = [make_manager() for _ in range(8)]
    managers[0].ensure_indexes()
    together = threading.Barrier(len(managers))

    def pause(number: int) -> None:
        together.wait(10)
        managers[number].pause(f"t{number}", "common")
        managers[number].resume(f"t{number - 1}x")

    threads = [threading.Thread(target=pause, args=(number,)) for number in range(len(managers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(managers[0].paused().types) == {"common", *(f"t{number}" for number in range(len(managers)))}


def test_what_others_wrote_there_counts_as_far_as_it_names_something(manager: JobManager, jobs: Jobs) -> None:
    late = DatetimeMS(2**60)  # beyond the year 9999
    items = [7, None, {"type": 5}, {"type": "a", "since": late}, {"type": "b", "since": "today", "reason": 3}, "c"]
    settings_of(jobs).insert_one({"_id": "pause", "all": True, "types": items, "more": 1})
    paused = manager.paused()
    assert (paused.everything, set(paused.types)) == (None, {"a", "b"})
    assert set(manager.pause("d", "a", reason="r").types) == {"a", "b", "d"}
    assert set(manager.resume("b").types) == {"a", "d"}
    settings_of(jobs).update_one({"_id": "pause"}, {"$set": {"types": "a"}})
    assert not manager.paused()
    assert set(manager.pause("e").types) == {"e"}
    assert manager.pause().everything is not None
    assert not manager.resume()


def test_other_collections_of_jobs_have_pauses_of_their_own(make_manager: MakeManager, database: str) -> None:
    one, other = make_manager(), make_manager(database, collection="others")
    one.pause()
    assert not other.paused()


@pytest.mark.parametrize("call", ["pause", "resume"])
def test_one_lost_reply_is_made_up_for(proxy: Proxy, make_manager: MakeManager, call: str) -> None:
    manager = make_manager(uri=proxy.uri)
    before = manager.pause("a", "b", reason="first")
    proxy.lose_reply_of("findAndModify")
    after = manager.pause("c") if call == "pause" else manager.resume("b")
    assert proxy.lost == ["findAndModify"]
    assert set(after.types) == ({"a", "b", "c"} if call == "pause" else {"a"})
    assert after.types["a"] == before.types["a"]


@pytest.mark.parametrize("call", ["pause", "resume"])
def test_after_a_lost_reply_a_repeat_is_safe(proxy: Proxy, make_manager: MakeManager, call: str) -> None:
    manager = make_manager(uri=f"{proxy.uri}&retryWrites=false")
    manager.ensure_indexes()
    if call == "resume":
        manager.pause()
    change = manager.pause if call == "pause" else manager.resume
    proxy.lose_reply_of("findAndModify")
    with pytest.raises(StoreUnavailable, match="may or may not have been applied, repeating it is safe"):
        change()
    assert proxy.lost == ["findAndModify"]
    happened = manager.paused()
    assert bool(happened) == (call == "pause"), "it did happen"
    assert change() == happened


@pytest.mark.parametrize("call", ["pause", "resume"])
def test_a_change_that_did_not_happen_is_told_as_well(
    manager: JobManager, make_manager: MakeManager, client: Client, call: str
) -> None:
    before = manager.pause("a")
    hasty = make_manager(timeout=0.5)
    hasty.ensure_indexes()
    change = hasty.pause if call == "pause" else hasty.resume
    with fail_command(client, ["findAndModify"], close=True) as point:
        with pytest.raises(StoreUnavailable, match="may or may not"):
            change()
        assert point.struck >= 1
    assert manager.paused() == before
    again = manager.pause if call == "pause" else manager.resume
    assert bool(again()) == (call == "pause")


def test_a_look_that_fails_says_that_nothing_was_changed(
    manager: JobManager, make_manager: MakeManager, client: Client
) -> None:
    manager.pause("a")
    hasty = make_manager(timeout=0.5)
    with fail_command(client, ["find"], close=True), pytest.raises(StoreUnavailable, match="nothing was changed"):
        hasty.paused()
    assert "a" in manager.paused()
