"""``jobpool pause``, ``resume`` and ``schedules``, as their users have them."""

from __future__ import annotations

from argparse import Namespace
from unittest.mock import Mock

import pytest
from pymongo import MongoClient

from jobpool import Executor, JobManager, WorkerPool
from jobpool.cli import schedules
from jobpool.cli.terminal.steering import look
from jobpool.errors import ScheduleNotFound, StoreUnavailable

from ..conftest import Jobs, MakeManager
from ..waiting import until
from .cli import Cli


@pytest.fixture
def shop(manager: JobManager) -> JobManager:
    manager.create_many({"type": "mail", "data": n} for n in range(1234))
    manager.create("bill")
    return manager


def test_pause_and_resume_say_what_that_holds(cli: Cli, shop: JobManager) -> None:
    nothing = cli("pause")
    assert (nothing.code, nothing.out) == (0, "nothing is paused\n")
    assert nothing.err == "jobpool pause TYPE pauses a type, jobpool pause --all everything\n"
    paused = cli("pause", "mail", "--reason", "the relay is down")
    assert paused.code == 0
    assert (paused.rows[1][0], paused.rows[1][-5:]) == ("mail", ["1,234", "the", "relay", "is", "down"])
    assert paused.err == "paused: holds 1,234 jobs due now, and what comes; 0 running go on\n"
    assert shop.paused().types["mail"].reason == "the relay is down"
    resumed = cli("resume", "mail", "bill")
    assert (resumed.code, resumed.out) == (0, "nothing is paused\n")
    assert resumed.err == "jobpool: 'bill' was not paused by itself; nothing changed for it\n"
    assert not shop.paused()


def test_a_type_that_nobody_knows_is_paused_with_a_warning(cli: Cli, shop: JobManager) -> None:
    answer = cli("pause", "mial", "mail")
    assert answer.code == 0
    assert "nobody knows the type 'mial'" in answer.err
    assert "jobpool resume mial" in answer.err
    assert "'mail'" not in answer.err
    assert set(shop.paused().types) == {"mial", "mail"}


def test_the_jobs_of_an_alias_are_held_with_its_type(
    cli: Cli, manager: JobManager, make_manager: MakeManager
) -> None:
    """Who pauses has no executors: the pools alive say what is an alias."""
    runs = make_manager(executors={"mail": Executor(str, aliases=["letter"])})
    runs.pause("mail")
    with WorkerPool(runs):
        until(manager.pools)
        manager.create_many({"type": type, "data": n} for n in range(3) for type in ("mail", "letter", "bill"))
        answer = cli("pause", "mail")
        assert answer.err == "paused: holds 6 jobs due now, and what comes; 0 running go on\n"
        assert answer.rows[1][-2:] == ["6", "-"]
        assert cli("pause", "--json").json["due_held"] == {"letter": 3, "mail": 3}


def test_the_hint_about_a_typing_error_can_be_typed(cli: Cli, shop: JobManager) -> None:
    answer = cli("pause", "--", "-mail of $x")
    assert answer.err.endswith("jobpool resume -- '-mail of $x'\n")
    assert cli("resume", "--", "-mail of $x").out == "nothing is paused\n"


def test_everything_is_paused_also_where_jobs_cannot_be_counted(cli: Cli, shop: JobManager, jobs: Jobs) -> None:
    """As where there are tens of millions: who is in a hurry is asked all the same."""
    jobs.drop_index("jobpool_waiting")
    with cli.on_a_terminal("pause", "--all", width=200) as terminal:
        terminal.read_until("Pause every type? How many jobs would wait is not known: ")
        terminal.read_until("[y/N]")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert shop.paused().everything


def test_a_count_that_is_broken_off_does_not_hide_what_was_done(
    shop: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobManager, "backlog", Mock(side_effect=KeyboardInterrupt))
    paused = shop.pause("mail")
    done = look(shop, paused, done=True)
    assert (done.paused, done.backlog, done.unknown) == (paused, None, "interrupted")
    with pytest.raises(KeyboardInterrupt):
        look(shop, paused)


def test_pausing_as_json(cli: Cli, shop: JobManager) -> None:
    found = cli("pause", "mail", "--json").json
    assert set(found) == {"everything", "types", "due_held"}
    assert (found["everything"], found["due_held"]) == (None, {"mail": 1234})
    assert set(found["types"]["mail"]) == {"since", "reason"}
    everything = cli("pause", "--all", "--yes", "--reason", "why", "--json").json
    assert (everything["everything"]["reason"], everything["due_held"]) == ("why", {"bill": 1, "mail": 1234})
    left = cli("resume", "mail")
    assert left.err == "jobpool: every type is paused still: jobpool resume --all\n"
    assert left.rows[1][:2] == ["every", "type"]
    assert cli("resume", "--all", "--json").json == {"everything": None, "types": {}, "due_held": {}}


def test_pausing_everything_is_asked_for(cli: Cli, shop: JobManager) -> None:
    refused = cli("pause", "--all")
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    with cli.on_a_terminal("pause", "--all", width=200) as terminal:
        terminal.read_until("Pause every type? It would hold 1,235 jobs due now; 0 running go on. [y/N]")
        terminal.type("n\n")
        assert terminal.end() == 1
    assert "nothing was paused" in terminal.text
    assert not shop.paused()
    with cli.on_a_terminal("pause", "--all") as terminal:
        terminal.read_until("[y/N]")
        terminal.type("y\n")
        assert terminal.end() == 0
    assert shop.paused().everything


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pause", "a", "--all"), "not both"),
        (("resume", "a", "--all"), "not both"),
        (("pause", "a\nb"), "control characters"),
        (("pause", "a", "--reason", "x" * 501), "reason"),
        (("schedules", "add", "n", "t", "--cron", "* * *"), "five fields"),
        (("schedules", "add", "n", "t", "--cron", "* * * * *", "--tz", "Nowhere"), "time zone"),
        (("schedules", "add", "n", "t", "--every", "15m", "--tz", "UTC"), "tz is for cron"),
        (("schedules", "add", "n", "t", "--every", "1h", "--data", "{"), "--data"),
        (("schedules", "add", "n", "t"), "--cron"),
        (("schedules", "show", "n", "--next", "0"), "--next"),
        (("schedules", "shwo", "n"), "did you mean show"),
    ],
    ids=lambda given: given if isinstance(given, str) else None,
)
def test_nonsense_is_refused_in_one_line(
    cli: Cli, manager: JobManager, arguments: tuple[str, ...], message: str
) -> None:
    answer = cli(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert not manager.paused()
    assert manager.schedules.list() == []


def test_a_schedule_is_tried_stored_shown_paused_and_removed(cli: Cli, manager: JobManager) -> None:
    add = ("schedules", "add", "nightly", "report", "--cron", "30 2 * * *", "--tz", "Europe/Berlin")
    more = ("--data", '{"kind": "sales"}', "--key", "eu", "--jitter", "1m", "--job-timeout", "2h")
    tried = cli(*add, *more, "--dry-run", "--next", "2", "--json")
    assert (tried.code, len(tried.json["due"])) == (0, 2)
    assert tried.err == "would be new; nothing was stored\n"
    with pytest.raises(ScheduleNotFound):
        manager.schedules.get("nightly")
    stored = cli(*add, *more)
    assert (stored.code, stored.err) == (0, "schedule nightly is new\n")
    found = manager.schedules.get("nightly")
    assert (found.data, found.key, found.jitter, found.timeout) == ({"kind": "sales"}, "eu", 60.0, 7200.0)
    assert cli(*add, *more).err == "schedule nightly is as it was\n"
    assert cli(*add, *more, "--priority", "3").err == "schedule nightly is changed\n"
    shown = cli("schedules", "show", "nightly", "--next", "1")
    assert "30 2 * * * (Europe/Berlin)" in shown.out
    assert shown.out.count("\ndue ") == 1
    assert cli("schedules", "pause", "nightly").out == "schedule nightly is paused\n"
    assert manager.schedules.get("nightly").paused
    listed = cli("schedules")
    assert listed.rows[1] == [
        *("nightly", "30", "2", "*", "*", "*", "report", "-", "paused", "-", "-", "0"),
        "Europe/Berlin",
    ]
    assert cli("schedules", "resume", "nightly", "--json").json["paused"] is False
    assert cli("schedules", "remove", "nightly").code == 0
    gone = cli("schedules", "remove", "nightly")
    assert (gone.code, gone.out) == (4, "")
    assert cli("schedules", "show", "nightly").code == 4


def test_a_schedule_is_fired_by_hand(cli: Cli, manager: JobManager, jobs: Jobs) -> None:
    manager.schedule("clean", 900, "tidy", {"a": 1})
    first = cli("schedules", "run", "clean", "--token", "x")
    assert (first.code, first.out, first.err) == (0, "clean@now-x\n", "")
    again = cli("schedules", "run", "clean", "--token", "x", "--json")
    assert (again.json["id"], again.json["data"]) == ("clean@now-x", {"a": 1})
    assert "nothing was created" in again.err
    assert jobs.count_documents({"type": "tidy"}) == 1
    assert cli("schedules", "run", "nobody").code == 4


def test_who_does_not_know_whether_a_schedule_was_fired_is_told_how_to_repeat_it(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.schedule("clean", 900, "tidy")
    create = Mock(side_effect=StoreUnavailable("creating a job: lost"))
    monkeypatch.setattr("jobpool.manager.scheduling.Schedules.run_now", create)
    with pytest.raises(
        StoreUnavailable, match=r"again with --token [0-9a-f]{16} it creates one job at the most"
    ) as told:
        schedules._run(Namespace(name="clean", token=None, json=False), manager)
    assert create.call_args.kwargs["token"] in str(told.value)


def test_schedules_as_json(cli: Cli, manager: JobManager) -> None:
    manager.schedule("a", 60, "tidy")
    manager.schedule("b", "* * * * *", "tidy")
    lines = cli("schedules", "--json").lines
    assert [(line["name"], line["every"], line["cron"]) for line in lines] == [
        ("a", 60.0, None),
        ("b", None, "* * * * *"),
    ]
    assert set(lines[0]) == {
        *("name", "cron", "every", "tz", "start_at", "type", "data", "priority", "max_attempts", "timeout", "key"),
        *("catch_up", "overlap", "jitter", "paused", "next_at", "anchor", "last", "skipped", "created_at"),
        *("changed_at", "revision"),
    }


def test_a_schedule_that_somebody_broke_is_named(cli: Cli, manager: JobManager, jobs: Jobs) -> None:
    manager.schedule("whole", 60, "tidy")
    jobs.database["jobs.schedules"].insert_one({"_id": "odd\x1b[2J", "every": 60, "last": {"id": 5}})
    answer = cli("schedules")
    assert (answer.code, [row[0] for row in answer.rows]) == (0, ["SCHEDULE", "whole"])
    assert "'odd\\x1b[2J' is no schedule that can be read" in answer.err


def test_options_hold_before_an_action_and_behind_it(cli: Cli, manager: JobManager, database: str) -> None:
    manager.schedule("a", 60, "tidy")
    before = cli("schedules", "--database", database, "--json", "show", "a", JOBPOOL_DATABASE="nowhere")
    behind = cli("schedules", "show", "a", "--database", database, "--json", JOBPOOL_DATABASE="nowhere")
    assert (before.code, behind.code) == (0, 0)
    assert before.json["name"] == behind.json["name"] == "a"
    assert cli("schedules", "show", "a", JOBPOOL_DATABASE="nowhere").code == 2


def test_the_first_schedule_may_come_before_the_first_job(
    cli: Cli, client: MongoClient[dict[str, object]], database: str
) -> None:
    assert cli("schedules", "add", "first", "tidy", "--every", "1h").code == 0
    assert client[database]["jobs.schedules"].count_documents({"_id": "first"}) == 1


def test_without_the_extra_cron_expressions_say_what_to_install(cli: Cli, manager: JobManager) -> None:
    """As if it was not installed; intervals need nothing."""
    hidden = cli._directory / "cronsim.py"
    hidden.write_text("raise ImportError('no cronsim')\n")
    add = ("schedules", "add", "n", "t")
    path = f"{cli._directory}:{cli.environment['PYTHONPATH']}"
    refused = cli(*add, "--cron", "* * * * *", PYTHONPATH=path)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "jobpool: cron expressions need cronsim: pip install 'jobpool[cron]'\n"
    stored = manager.schedule("stored", "* * * * *", "t")
    shown = cli("schedules", "show", "stored", "--json", PYTHONPATH=path)
    assert (shown.code, shown.json["name"], len(shown.json["due"])) == (0, "stored", 1)
    assert stored.next_at is not None
    assert "pip install 'jobpool[cron]'" in shown.err
    assert cli(*add, "--every", "1h", PYTHONPATH=path).code == 0
