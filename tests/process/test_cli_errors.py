"""``jobpool errors``: what failed jobs failed of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import JobManager

from ..conftest import Jobs, MakeManager
from .cli import GONE, Cli, Here


def fail(data: Any) -> None:
    if data["n"] % 3 == 0:
        raise KeyError(data["n"])
    raise TimeoutError(f"no answer from 10.0.0.{data['n']}:\x1b]0;title\x07 after {data['n']}.5 s")


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    manager = make_manager(executors={"mail": fail, "fax": fail})
    for n in range(9):
        manager.create("mail", {"n": n})
    manager.create("fax", {"n": 1})
    manager.run_all()
    return manager


def test_groups_are_shown_the_largest_first(cli: Cli, manager: JobManager) -> None:
    answer = cli("errors")
    assert answer.code == 0
    assert answer.rows[0] == ["GROUP", "JOBS", "TYPE", "ERROR", "LAST", "FIRST", "MESSAGE"]
    assert [row[1:4] for row in answer.rows[1:]] == [
        ["6", "mail", "TimeoutError"],
        ["3", "mail", "KeyError"],
        ["1", "fax", "TimeoutError"],
    ]
    assert "no answer from #" in answer.out
    assert "\x1b" not in answer.out
    sign = answer.rows[1][0]
    assert answer.err == f"10 jobs failed; retry a group: jobpool retry --group {sign}\n"


def test_json_has_a_group_a_line(here: Here, manager: JobManager) -> None:
    groups = here("errors", "--json").lines
    assert [set(group) for group in groups] == [
        {"group", "type", "error", "pattern", "count", "first_at", "last_at", "example", "message"}
    ] * 3
    first = groups[0]
    assert (first["type"], first["error"], first["count"]) == ("mail", "TimeoutError", 6)
    assert first["first_at"] <= first["last_at"]
    job = manager.get(first["example"])
    assert job.error is not None
    assert job.error.message == first["message"]


def test_types_and_times_are_heeded(here: Here, manager: JobManager, jobs: Jobs) -> None:
    assert [group["count"] for group in here("errors", "--type", "fax", "--json").lines] == [1]
    assert len(here("errors", "--type", "fax", "--type", "mail", "--json").lines) == 3
    long_ago = datetime.now(UTC) - timedelta(days=1)
    jobs.update_many({"type": "mail"}, {"$set": {"finished_at": long_ago}})
    assert [group["type"] for group in here("errors", "--newer-than", "1h", "--json").lines] == ["fax"]


def test_more_groups_than_asked_for_are_told_of(here: Here, manager: JobManager) -> None:
    answer = here("errors", "--limit", "1")
    assert len(answer.rows) == 2
    assert "and 2 more groups of 4 jobs" in answer.err


def test_where_nothing_failed_that_is_said(here: Here, make_manager: MakeManager) -> None:
    make_manager().create("a")
    answer = here("errors")
    assert (answer.code, answer.out, answer.err) == (0, "", "no failed jobs\n")
    assert here("errors", "--type", "a").code == 4
    assert here("errors", "--json").out == ""


def test_a_narrow_terminal_shows_the_message(cli: Cli, manager: JobManager) -> None:
    with cli.on_a_terminal("errors", width=60) as terminal:
        assert terminal.end() == 0
    lines = terminal.text.splitlines()
    assert all(len(line.rstrip()) <= 60 for line in lines[:4])
    assert "no answer" in terminal.text
    assert "\x1b]0" not in terminal.raw


def test_without_mongodb_there_is_one_line(cli: Cli) -> None:
    answer = cli("errors", "--uri", GONE, "--timeout", "1")
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--newer-than", "x"], ["--type", ""]], ids=" ".join)
def test_nonsense_is_a_usage_error(here: Here, manager: JobManager, arguments: list[str]) -> None:
    answer = here("errors", *arguments)
    assert (answer.code, answer.out) == (2, "")
