"""``jobpool create`` as a process: one job, many jobs, bad lines, and interruptions."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool.cli import main
from jobpool.embedded import EmbeddedMongo
from jobpool.ids import job_id

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy, Weather
from ..waiting import until
from .cli import GONE, Cli, Here

APP = """
import os
from jobpool import Executor, JobManager

def check(data):
    if "to" not in data:
        raise ValueError("to is missing")
    return data

def manager():
    return JobManager(
        os.environ["TEST_DATABASE"],
        executors={
            "mail": Executor(print, data=check),
            "few": Executor(print, max_pending=3),
        },
    )
"""


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Five lines, the third of which is bad."""
    path = tmp_path / "jobs.ndjson"
    path.write_text('{"n": 1}\n\n{"n": 2}\n{"n": 3\n{"n": 4}\n')
    return path


def test_one_job_is_created_and_its_id_printed(cli: Cli, jobs: Jobs) -> None:
    answer = cli("create", "mail", "--data", '{"to": "ann", "n": 1, "share": 1.0}')
    id = job_id("mail", {"to": "ann", "n": 1, "share": 1.0})  # as every producer makes it
    assert (answer.code, answer.out, answer.err) == (0, f"{id}\n", "")
    stored = jobs.find_one()
    assert stored is not None
    assert (stored["_id"], stored["type"], stored["state"]) == (id, "mail", "pending")


def test_equal_work_is_done_once_and_said(here: Here, jobs: Jobs) -> None:
    first = here("create", "mail", "--data", "[1]")
    again = here("create", "mail", "--data", " [ 1 ] ")
    assert (again.code, again.out) == (0, first.out)
    assert "there already, pending" in again.err
    assert jobs.count_documents({}) == 1


def test_without_data_they_are_null(here: Here, jobs: Jobs) -> None:
    assert here("create", "tick").code == 0
    assert jobs.find_one({}, {"data": 1, "_id": 0}) == {"data": None}


def test_a_job_is_printed_whole_as_json(here: Here) -> None:
    made = here("create", "mail", "--data", '{"at": {"$date": "2026-11-27T12:00:00Z"}}', "--json").json
    assert made["created"] is True
    assert made["state"] == "pending"
    assert made["data"] == {"at": {"$date": "2026-11-27T12:00:00Z"}}


def test_every_option_of_a_job_is_heeded(here: Here, jobs: Jobs) -> None:
    here("create", "first", "--id", "first")
    options = ["--id", "two", "--priority", "5", "--run-at", "2027-01-01T12:00:00+01:00", "--max-attempts", "4"]
    options += ["--job-timeout", "1m30s", "--key", "ann", "--after", "first", "--on-failure", "run"]
    assert here("create", "mail", *options).out == "two\n"
    stored = jobs.find_one({"_id": "two"})
    assert stored is not None
    seen = {name: stored[name] for name in ("priority", "max_attempts", "timeout", "key", "after", "on_failure")}
    assert seen == {
        "priority": 5,
        "max_attempts": 4,
        "timeout": 90.0,
        "key": "ann",
        "after": ["first"],
        "on_failure": "run",
    }
    assert stored["run_at"].isoformat() == "2027-01-01T11:00:00+00:00"


def test_a_pretty_document_is_one_job(here: Here, jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps({"a": [1, {"b": 2}]}, indent=2))
    assert here("create", "mail", "--data", "@one.json").code == 0
    assert jobs.find_one({}, {"data": 1, "_id": 0}) == {"data": {"a": [1, {"b": 2}]}}


def test_one_line_on_stdin_is_one_job_and_several_are_many(here: Here, jobs: Jobs) -> None:
    assert here("create", "mail", "--data", "-", input='{"n": 1}\n').out.startswith("v1:")
    assert here("create", "mail", "--data", "-", "--lines", input='{"n": 2}\n').out == "1 job created\n"
    many = here("create", "mail", "--data", "-", input='\n{"n": 1}\n\n{"n": 3}\n4')
    assert (many.code, many.out) == (0, "2 jobs created, 1 was there already\n")
    assert jobs.count_documents({}) == 4


def test_the_counts_of_many_are_printed_as_json(here: Here) -> None:
    answer = here("create", "mail", "--data", "-", "--json", input="1\n2\n1\n")
    assert answer.json == {"created": 2, "duplicates": 1, "revived": 0, "dropped": 0, "skipped": 0}


def test_ids_are_taken_from_a_field(here: Here, jobs: Jobs) -> None:
    lines = '{"order": 17}\n{"order": "a"}\n'
    assert here("create", "mail", "--data", "-", "--id-field", "order", input=lines).code == 0
    assert {job["_id"] for job in jobs.find()} == {"17", "a"}
    missing = here("create", "mail", "--data", "-", "--id-field", "order", input='{"order": 1}\n{"other": 1}\n')
    assert missing.code == 2
    assert "line 2: the data have no field 'order'" in missing.err


def test_a_bad_line_ends_it_and_says_where_and_how_far(here: Here, jobs: Jobs, lines: Path) -> None:
    answer = here("create", "mail", "--data", f"@{lines.name}")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(
        "jobpool: jobs.ndjson, line 4: no JSON: Expecting ',' delimiter at column 8; 2 jobs"
    )
    assert "equal work is done once" in answer.err
    assert answer.err.count("\n") == 1
    assert sorted(job["data"]["n"] for job in jobs.find()) == [1, 2]
    lines.write_text(lines.read_text().replace("3\n", "3}\n"))
    again = here("create", "mail", "--data", f"@{lines.name}")
    assert (again.code, again.out) == (0, "2 jobs created, 2 were there already\n")


def test_bad_lines_can_be_skipped(here: Here, jobs: Jobs, lines: Path) -> None:
    lines.write_bytes(b"no json\n" + lines.read_bytes() + b'{"n": NaN}\n\xff\n{"n": 5}\n')
    answer = here("create", "mail", "--data", f"@{lines.name}", "--skip-bad")
    assert (answer.code, answer.out) == (1, "4 jobs created, 4 bad lines skipped\n")
    named = [line.split(":")[1].strip() for line in answer.err.splitlines()]
    assert sorted(named) == [f"jobs.ndjson, line {number}" for number in (1, 5, 7, 8)]
    assert jobs.count_documents({}) == 4


def test_of_many_bad_lines_the_first_are_named(here: Here) -> None:
    answer = here("create", "mail", "--data", "-", "--skip-bad", input="x\n" * 5000 + "1\n")
    assert (answer.code, answer.out) == (1, "1 job created, 5,000 bad lines skipped\n")
    assert answer.err.count("skipped:") == 11


def test_a_dry_run_checks_everything_and_writes_nothing(
    here: Here, client: MongoClient[dict[str, Any]], database: str, lines: Path
) -> None:
    one = here("create", "mail", "--data", "1", "--dry-run")
    assert (one.code, one.out) == (0, f"{job_id('mail', 1)}\n")
    assert "would be created" in one.err
    many = here("create", "mail", "--data", "-", "--dry-run", input="1\n2\n")
    assert (many.code, many.out) == (0, "2 jobs would be created\n")
    bad = here("create", "mail", "--data", f"@{lines.name}", "--dry-run")
    assert bad.code == 2
    assert "line 4" in bad.err
    assert database not in client.list_database_names()
    here("create", "mail", "--data", "1")
    there = here("create", "mail", "--data", "-", "--dry-run", "--json", input="1\n2\n")
    assert (there.json["created"], there.json["duplicates"]) == (1, 1)


def test_what_happens_to_duplicates_can_be_chosen(here: Here, make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.cancel(manager.create("mail", 1).id)
    revived = here("create", "mail", "--data", "-", "--on-duplicate", "revive", input="1\n2\n")
    assert revived.out == "1 job created, 1 revived\n"
    refused = here("create", "mail", "--data", "1", "--on-duplicate", "raise")
    assert refused.code == 1
    assert "exists already" in refused.err


@pytest.fixture
def with_manager(here: Here, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """Commands with a manager that checks data of mail, and has room for few."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.delenv("JOBPOOL_DATABASE")
    monkeypatch.setenv("JOBPOOL_MANAGER", "app:manager")
    monkeypatch.setenv("TEST_DATABASE", database)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the command puts its directory there
    yield here
    sys.modules.pop("app", None)


def test_the_executor_of_a_manager_checks_the_data(with_manager: Here, jobs: Jobs) -> None:
    bad = with_manager("create", "mail", "--data", '{"n": 1}')
    assert bad.code == 2
    assert "to is missing" in bad.err
    lines = with_manager("create", "mail", "--data", "-", input='{"to": "ann"}\n{"n": 2}\n')
    assert lines.code == 2
    assert "line 2" in lines.err
    unknown = with_manager("create", "letter", "--data", "1")
    assert unknown.code == 0
    assert "app:manager has no executor for letter" in unknown.err
    assert jobs.count_documents({}) == 2


def test_jobs_without_room_are_refused_or_left_out(with_manager: Here, jobs: Jobs) -> None:
    full = with_manager("create", "few", "--data", "-", input="1\n2\n3\n4\n5\n")
    assert full.code == 1
    assert "max_pending is 3" in full.err
    assert "in doubt; the same command again goes on" in full.err
    dropped = with_manager("create", "few", "--data", "-", "--on-full", "drop", input="1\n2\n3\n4\n5\n")
    assert (dropped.code, dropped.out) == (
        1,
        "0 jobs created, 3 were there already, 2 left out for want of room\n",
    )
    one = with_manager("create", "few", "--data", "9", "--on-full", "drop")
    assert one.code == 1
    assert "no room" in one.err
    assert jobs.count_documents({}) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mail", "--data", "{"], "--data: no JSON"),
        (["mail", "--data", '{"at": {"$date": "never"}}'], "--data: "),
        (["mail", "--data", "@nowhere.json"], "cannot read 'nowhere.json': No such file"),
        (["mail", "--data", "@."], "cannot read '.': it is a directory"),
        (["mail", "--data", "NaN"], "not a finite number"),
        (["mail", "--data", "1" * 30], "64 bits"),
        (["mail", "--data", "[" * 100_000], "--data: it is nested too deeply"),
        (["bad\ntype"], "control characters"),
        (["mail", "--priority", str(10**12)], "priority must be between"),
        (["mail", "--delay", "1", "--run-at", "2027-01-01T00:00:00Z"], "either run_at or delay"),
        (["mail", "--full-timeout", "3"], "full_timeout is for"),
        (["mail", "--id-field", "x"], "say where the lines are"),
        (["mail", "--id", "x", "--lines", "--data", "1"], "--id is for one job"),
        (["mail", "--id", "x", "--data", "1\n2"], "--id is for one job"),
        (["mail", "--delay", "soon"], "--delay"),
    ],
    ids=lambda value: None if isinstance(value, list) else value[:20].replace("\n", " "),
)
def test_nonsense_is_a_usage_error_in_one_line(
    server: EmbeddedMongo,
    client: MongoClient[dict[str, Any]],
    database: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    try:
        code = main(["create", *arguments, "--uri", server.uri, "-d", database])  # a process each would take long
    except SystemExit as ended:
        code = int(ended.code or 0)
    answer = capsys.readouterr()
    assert (code, answer.out) == (2, "")
    assert said in answer.err
    assert answer.err.startswith("jobpool: ")
    assert answer.err.count("\n") == 1
    assert database not in client.list_database_names()


def test_an_empty_stdin_is_no_job(here: Here) -> None:
    answer = here("create", "mail", "--data", "-")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "jobpool: stdin: it is empty; nothing was created\n"


def test_a_job_to_run_after_one_that_is_not_there_is_not_created(here: Here, jobs: Jobs) -> None:
    answer = here("create", "mail", "--after", "nobody")
    assert answer.code == 4
    assert "nobody" in answer.err
    assert jobs.count_documents({}) == 0


@pytest.mark.parametrize("data", ["1", "1\n2\n"], ids=["one", "many"])
def test_without_mongodb_it_says_so_in_one_line(here: Here, data: str) -> None:
    answer = here("create", "mail", "--data", data, "--uri", GONE, "--timeout", "0.5")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.count("\n") == 1


def test_foreign_texts_in_messages_move_no_cursor(here: Here, tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J").write_text('{"a": 1}\n{"b\x1b[2J": \n')
    answer = here("create", "mail", "--data", "@a\x1b[2J")
    assert answer.code == 2
    assert "\x1b" not in answer.err


def test_a_terminal_shows_a_bar_and_a_count(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "many").write_text("".join(f"{n}\n" for n in range(3000)))
    with cli.on_a_terminal("create", "mail", "--data", "@many", width=60) as terminal:
        assert terminal.end() == 0
    assert "creating" in terminal.text
    assert "100%" in terminal.text
    assert terminal.text.endswith("3,000 jobs created\n")


def test_lines_that_come_slowly_are_created_as_they_come(cli: Cli, jobs: Jobs) -> None:
    with cli.started("create", "mail", "--data", "-") as process:
        assert process.stdin is not None
        process.stdin.write(b"1\n2\n")
        process.stdin.flush()
        until(lambda: jobs.count_documents({}) == 2, "the first two")
        out, _ = process.communicate(b"3\n", timeout=60)
    assert (process.returncode, out) == (0, b"3 jobs created\n")


@pytest.fixture(scope="module")
def forty_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "many.ndjson"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(40_000)))
    return path


def test_an_interruption_says_how_far_and_the_same_command_goes_on(
    cli: Cli, jobs: Jobs, forty_thousand: Path
) -> None:
    command = ["create", "mail", "--data", f"@{forty_thousand}"]
    with cli.started(*command) as process:
        until(lambda: jobs.estimated_document_count() > 5000, "some thousands")
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    first, *_, last = said.decode().splitlines()
    found = re.fullmatch(
        r"lines up to ([\d,]+) are done \(([\d,]+) jobs created\).*; the same command .* goes on, .*", first
    )
    assert found, said
    assert int(found[1].replace(",", "")) <= jobs.count_documents({}) < 40_000
    assert last == "jobpool: interrupted"
    before = jobs.count_documents({})
    again = cli(*command)
    assert again.code == 0
    assert f"{40_000 - before:,} job" in again.out
    assert jobs.count_documents({}) == 40_000


def test_a_mongodb_that_is_gone_in_the_middle_is_no_loss(
    cli: Cli, jobs: Jobs, proxy: Proxy, forty_thousand: Path
) -> None:
    command = ["create", "mail", "--data", f"@{forty_thousand}"]
    with cli.started(*command, "--uri", proxy.uri, "--timeout", "1") as process:
        until(lambda: jobs.estimated_document_count() > 5000, "some thousands")
        proxy.weather = Weather(hole=True)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    done, why = said.decode().splitlines()[-2:]
    assert re.match(r"lines up to [\d,]+ are done .* in doubt; the same command again goes on", done)
    assert why.startswith("jobpool: ")
    assert 5000 < jobs.count_documents({}) < 40_000
