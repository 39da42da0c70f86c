"""``jobpool ls`` and ``jobpool show`` as processes: in a pipe, on terminals, and when there is nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from jobpool import JobManager
from jobpool.cli.ls import LIMIT
from jobpool.embedded import EmbeddedMongo

from ..conftest import Jobs
from .cli import GONE, Cli, Here

#: Moves the cursor, changes the title, turns the line around.
HOSTILE = "\x1b[2J\x1b]0;x\x07\u202e\r\n"
ERROR = {
    "type": "ValueError",
    "message": f"no{HOSTILE}way",
    "traceback": f"Traceback\n  at {HOSTILE}",
    "attempt": 2,
}


def failed(jobs: Jobs, id: str) -> None:
    """Let a job have failed twice."""
    now = datetime.now(UTC)
    errors = [{**ERROR, "attempt": 1, "message": "the first"}, {**ERROR, "at": now}]
    ended = {"state": "failed", "started_at": now - timedelta(seconds=3), "finished_at": now, "attempts": 2}
    jobs.update_one(
        {"_id": id},
        {"$set": {**ended, "error": errors[1], "errors": errors, "error_count": 2, "pool": "p"}},
    )


@pytest.fixture
def some(manager: JobManager, jobs: Jobs) -> list[str]:
    """Five jobs in several states; their ids, newest first."""
    manager.create("mail", {"to": "ann"}, id="first")
    manager.create("mail", {"to": f"bob{HOSTILE}"}, id="second", delay=3600)
    manager.create("report", {"n": list(range(100)), "text": "x" * 1000}, id="third")
    manager.create("mail", id="fourth", after=["first"])
    hashed = manager.create("mail", 5)
    failed(jobs, "third")
    ids = [hashed.id, "fourth", "third", "second", "first"]
    for age, id in enumerate(ids):  # the estimate of the server's time may go back a millisecond
        jobs.update_one({"_id": id}, {"$set": {"created_at": hashed.created_at - timedelta(milliseconds=age)}})
    return ids


def test_jobs_are_listed_newest_first(cli: Cli, some: list[str]) -> None:
    answer = cli("ls")
    assert answer.code == 0
    assert answer.err == ""
    assert answer.rows[0] == ["ID", "TYPE", "STATE", "AGE", "WHEN", "ATTEMPTS", "DETAIL", "DATA"]
    assert [row[:3] for row in answer.rows[1:]] == [
        [some[0], "mail", "pending"],
        ["fourth", "mail", "waiting"],
        ["third", "report", "failed"],
        ["second", "mail", "pending"],
        ["first", "mail", "pending"],
    ]
    oldest = cli("ls", "--oldest-first", "--ids")
    assert oldest.out.splitlines() == some[::-1]


def test_in_a_pipe_nothing_is_cut_and_nothing_moves_a_cursor(cli: Cli, some: list[str]) -> None:
    out = cli("ls").out
    assert "x" * 1000 in out
    assert "ValueError: no" in out
    assert not {"\x1b", "\r", "\u202e", "\x07"} & set(out)
    assert len(out.splitlines()) == 6


def test_whole_jobs_are_printed_as_json(here: Here, some: list[str]) -> None:
    jobs = here("ls", "--json", "--state", "failed", "--state", "waiting").lines
    assert [(job["id"], job["state"]) for job in jobs] == [("fourth", "waiting"), ("third", "failed")]
    assert jobs[1]["data"] == {"n": list(range(100)), "text": "x" * 1000}
    assert jobs[1]["error"]["message"] == ERROR["message"]
    assert (jobs[1]["attempts"], jobs[1]["error_count"], jobs[1]["pool"]) == (2, 2, "p")
    assert jobs[0]["waits_for"] == ["first"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--type", "report"], ["third"]),
        (["--state", "pending", "--type", "mail", "--text", "BOB"], ["second"]),
        (["--error", "ValueError"], ["third"]),
        (["--until", "2020-01-01T00:00:00Z"], []),
        (["--older-than", "1h"], []),
        (["--newer-than", "1h", "--state", "waiting"], ["fourth"]),
    ],
    ids=["type", "text", "error", "until", "older", "newer"],
)
def test_jobs_are_chosen(here: Here, some: list[str], options: list[str], expected: list[str]) -> None:
    answer = here("ls", "--ids", *options)
    assert answer.out.splitlines() == expected
    assert (answer.code, answer.err) == ((0, "") if expected else (4, "no job matches\n"))


def test_the_next_page_can_be_typed_whatever_the_id_is(cli: Cli, jobs: Jobs, manager: JobManager) -> None:
    manager.create("x", id="first")
    whole = jobs.find_one({"_id": "first"})
    jobs.insert_one({**whole, "_id": "-a 'b'"})  # type: ignore[dict-item]
    with cli.on_a_terminal("ls", "--oldest-first", "--limit", "1", width=200) as terminal:
        assert terminal.end() == 0
    typed = terminal.text.rpartition("the next page is ")[2].partition(", all of them")[0]
    assert cli("ls", "--oldest-first", "--ids", *shlex.split(typed)).out == "first\n"


def test_pages_follow_each_other(cli: Cli, here: Here, manager: JobManager) -> None:
    manager.create_many([{"type": "x", "data": n, "id": f"{n:03}"} for n in range(LIMIT + 5)])
    first = here("ls", "--ids")
    ids = first.out.splitlines()
    assert len(ids) == LIMIT
    assert first.err == f"there are more: the next page is --after {ids[-1]}, all of them --all\n"
    assert here("ls", "--ids", "--limit", "2").err == "", "a program that asks for so many knows"
    with cli.on_a_terminal("ls", "--limit", "2") as terminal:
        assert terminal.end() == 0
    assert f"the next page is --after {LIMIT + 3:03}, all of them --all" in terminal.text
    second = here("ls", "--ids", "--after", ids[-1])
    assert second.err == ""
    both = ids + second.out.splitlines()
    assert both == sorted(both, reverse=True)
    assert len(both) == LIMIT + 5
    assert here("ls", "--ids", "--all").out.splitlines() == both
    end = here("ls", "--after", both[-1])
    assert (end.code, end.out, end.err) == (0, "", "no more jobs\n")
    assert len(here("ls", "--limit", "3", "--json").lines) == 3


def test_columns_are_chosen(here: Here, some: list[str]) -> None:
    answer = here("ls", "--columns", "state, id,error")
    assert answer.rows[0] == ["STATE", "ID", "ERROR"]
    assert ["failed", "third", "ValueError"] in answer.rows
    unknown = here("ls", "--columns", "state,nonsense")
    assert unknown.code == 2
    assert "nonsense" in unknown.err
    assert "priority" in unknown.err


def test_nothing_at_all_is_no_error(here: Here, manager: JobManager) -> None:
    answer = here("ls")
    assert (answer.code, answer.out, answer.err) == (0, "", "no jobs\n")
    assert here("ls", "--json").out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--limit", "0"],
        ["--limit", "many"],
        ["--limit", "3", "--all"],
        ["--all", "--after", "x"],
        ["--ids", "--json"],
    ],
    ids=" ".join,
)
def test_nonsense_is_a_usage_error_in_one_line(here: Here, some: list[str], arguments: list[str]) -> None:
    answer = here("ls", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", [["ls"], ["show", "x"]], ids=["ls", "show"])
def test_who_only_looks_creates_nothing(
    here: Here, client: MongoClient[dict[str, Any]], database: str, command: list[str]
) -> None:
    answer = here(*command)
    assert answer.code == 2
    assert f"there is no collection {database}.jobs" in answer.err
    assert database not in client.list_database_names()


@pytest.mark.parametrize("command", [["ls"], ["show", "x"]], ids=["ls", "show"])
def test_without_mongodb_it_says_so_in_one_line(here: Here, command: list[str]) -> None:
    answer = here(*command, "--uri", GONE, "--timeout", "1")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("without_rich", [False, True], ids=["rich", "plain"])
@pytest.mark.parametrize("width", [60, 140])
def test_a_list_fits_a_terminal(cli: Cli, here: Here, some: list[str], width: int, without_rich: bool) -> None:
    with cli.on_a_terminal("ls", width=width, without_rich=without_rich) as terminal:
        assert terminal.end() == 0
    lines = terminal.text.splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= width
    short = lines[1].split()[0]
    assert lines[1].split()[1:3] == ["mail", "pending"]
    assert short == (some[0] if width == 140 else f"{some[0][:11]}…")
    assert ("\x1b[" in terminal.raw) is not without_rich
    assert here("show", short, "--json").json["id"] == some[0]  # what is copied from there is understood


def test_no_colours_if_they_are_not_wanted(cli: Cli, some: list[str]) -> None:
    with cli.on_a_terminal("ls", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert "\x1b[3" not in terminal.raw
    assert "\x1b[1;3" not in terminal.raw


def test_everything_about_a_failed_job_is_shown(here: Here, some: list[str]) -> None:
    answer = here("show", "third")
    assert (answer.code, answer.err) == (0, "")
    for part in (
        "report",
        "failed",
        "2, 2 failed",
        "pool p",
        "ran 3s",
        "attempt 1: ValueError: the first",
        "Traceback",
    ):
        assert part in answer.out
    assert answer.out.count("Traceback") == 1
    assert "x" * 1000 in answer.out  # whole in a pipe
    assert not {"\x1b", "\r", "\u202e", "\x07"} & set(answer.out)
    assert here("show", "third", "--errors").out.count("Traceback") == 2


def test_on_a_terminal_long_data_are_cut_unless_they_are_wanted(cli: Cli, some: list[str]) -> None:
    with cli.on_a_terminal("show", "third") as terminal:
        assert terminal.end() == 0
    assert "more lines: --full" in terminal.text
    assert "99" not in terminal.text.partition("data:")[2]
    with cli.on_a_terminal("show", "third", "--full") as terminal:
        assert terminal.end() == 0
    assert "    99\n" in terminal.text


def test_both_sides_of_waiting_are_shown(here: Here, some: list[str]) -> None:
    waiting = here("show", "fourth").out
    assert "created to run after 1 job, 1 of them not yet ended, and fails if one of them does:" in waiting
    assert ["first", "mail", "pending"] in [line.split() for line in waiting.splitlines()]
    first = here("show", "first").out
    assert "1 job waits for it:" in first
    assert ["fourth", "mail", "waiting"] in [line.split() for line in first.splitlines()]
    assert re.search(r"due .*Z \(in (1h|59m)", here("show", "second").out)


def test_a_job_is_shown_as_json_with_its_relations(here: Here, some: list[str]) -> None:
    shown = here("show", "first", "--json").json
    assert (shown["id"], shown["data"]) == ("first", {"to": "ann"})
    assert shown["relations"].keys() == {
        *("id", "at", "after", "followers", "follower_count", "pools", "schedule", "trace_id")
    }
    assert shown["relations"]["followers"] == [{"id": "fourth", "type": "mail", "state": "waiting"}]
    assert [job["id"] for job in here("show", "first", "third", "--json").lines] == ["first", "third"]


def test_a_held_job_names_its_holder(here: Here, some: list[str], jobs: Jobs) -> None:
    now = datetime.now(UTC)
    held = {"state": "running", "pool": "here", "lease_until": now + timedelta(seconds=20), "started_at": now}
    progress = {"done": 3, "total": 10, "note": f"reading{HOSTILE}", "at": now}
    logs = [{"level": "INFO", "text": f"hello{HOSTILE}", "attempt": 1, "at": now}]
    jobs.update_one({"_id": "first"}, {"$set": {**held, "progress": progress, "logs": logs, "checkpoint": [1]}})
    out = here("show", "first").out
    for part in ("held by", "pool here", "ends ", "30% (3 of 10) reading", "running for", "hello", "checkpoint"):
        assert part in out
    assert not {"\x1b", "\r", "\u202e", "\x07"} & set(out)


def test_an_unknown_job_is_said(here: Here, some: list[str]) -> None:
    nobody = here("show", "nobody")
    assert (nobody.code, nobody.out) == (4, "")
    assert nobody.err.startswith("jobpool: no job 'nobody'")
    some_of_them = here("show", "nobody", "first", "--json")
    assert some_of_them.code == 1
    assert [job["id"] for job in some_of_them.lines] == ["first"]
    assert here("show", "v1:000000").code == 4


def test_the_beginning_of_several_ids_is_refused_with_a_list(here: Here, some: list[str]) -> None:
    answer = here("show", "f...")
    assert (answer.code, answer.out) == (2, "")
    assert "first, fourth" in answer.err


@pytest.fixture(scope="module")
def hundred_thousand(server: EmbeddedMongo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Commands on a collection of 100,000 jobs."""
    database = f"test_{uuid4().hex[:12]}"
    with JobManager(database, uri=server.uri) as manager:
        manager.create_many({"type": "x", "data": n, "id": f"{n:06}"} for n in range(100_000))
        yield Cli(server.uri, database, tmp_path_factory.mktemp("here"))
        manager.store._connection.client.drop_database(database)


def test_a_hundred_thousand_jobs_are_listed_one_after_the_other(hundred_thousand: Cli) -> None:
    assert hundred_thousand("ls", "--limit", "1", "--ids").out == "099999\n"
    ids = hundred_thousand("ls", "--all", "--ids").out.splitlines()
    assert len(ids) == 100_000
    assert set(ids) == {f"{n:06}" for n in range(100_000)}


def test_who_has_seen_enough_ends_it(hundred_thousand: Cli) -> None:
    with hundred_thousand.started("ls", "--all", "--json") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b'{"id": "099999"')
        process.stdout.close()
        assert process.wait(timeout=60) == 0
