"""``jobpool doctor`` as its users have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager
from jobpool.store.checks.registry import CHECKS

from ..checking import deployment, job, now
from ..conftest import Jobs, MakeManager
from .cli import GONE, Cli

RED = "\x1b[1;31m"


@pytest.fixture
def manager(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """A manager of a deployment with indexes and one pool that lives."""
    return deployment(make_manager, jobs)


@pytest.fixture
def sick(manager: JobManager, jobs: Jobs) -> JobManager:
    """The same with a problem, and a warning beside that of every embedded server."""
    jobs.insert_one(job("1", type="b", run_at=now(-300)))
    jobs.create_index("data.order", name="theirs")
    return manager


@pytest.mark.usefixtures("manager")
def test_all_is_well(cli: Cli) -> None:
    answer = cli("doctor")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == "ok       server      version, compatibility, storage"
    assert lines[-1].startswith(f"0 problems, 1 warning; {len(CHECKS)} checks of ")
    assert [line.split()[0] for line in lines if "topology.majority" in line] == ["warning"]
    assert cli("doctor", "--strict").code == 1  # there is one server
    quiet = cli("doctor", "--quiet", "--strict", "--skip", "topology.majority")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


@pytest.mark.usefixtures("sick")
def test_problems_stand_last_and_say_what_to_do(cli: Cli, database: str) -> None:
    answer = cli("doctor")
    assert (answer.code, answer.err) == (1, "")
    *_, problem, remedy, empty, summary = answer.out.splitlines()
    assert problem == "problem  jobs.due: 1 job of type 'b' due, and no living pool runs it (1 pool)"
    assert remedy.startswith("         -> start a pool that has an executor for it")
    assert empty == ""
    assert summary.startswith(f"1 problem, 2 warnings; {len(CHECKS)} checks of {database}.jobs in ")
    quiet = cli("doctor", "-q").out.splitlines()
    assert [line.split()[0] for line in quiet] == ["warning", "->", "warning", "->", "problem", "->"]
    only = cli("doctor", "--only", "jobs", "--skip", "jobs.due")
    assert only.code == 0
    assert only.out.splitlines()[0] == "ok       jobs  leases, cancels, stuck, orphans"


@pytest.mark.usefixtures("sick")
def test_json_has_all_findings(cli: Cli, database: str) -> None:
    answer = cli("doctor", "--json")
    assert (answer.code, answer.err) == (1, "")
    checkup: dict[str, Any] = answer.json
    assert list(checkup) == ["collection", "at", "took", "checks", "findings"]
    assert (checkup["collection"], checkup["checks"]) == (f"{database}.jobs", len(CHECKS))
    assert checkup["at"].endswith("Z")
    assert 0 < checkup["took"] < 60
    for finding in checkup["findings"]:
        assert list(finding) == ["check", "level", "text", "remedy", "facts"]
        assert finding["level"] in ("ok", "skipped", "warning", "problem")
        assert isinstance(finding["facts"], dict)
    (due,) = (finding for finding in checkup["findings"] if finding["level"] == "problem")
    assert (due["check"], due["facts"]) == ("jobs.due", {"type": "b", "count": 1})


@pytest.mark.usefixtures("manager")
def test_verbose_tells_what_each_check_found(cli: Cli) -> None:
    lines = cli("doctor", "--verbose").out.splitlines()
    for check in CHECKS:
        assert any(line.split()[1] == f"{check.name}:" for line in lines if line and "->" not in line), check.name


@pytest.mark.parametrize("arguments", [(), ("--json",), ("-q",)], ids=["text", "json", "quiet"])
def test_mongodb_is_gone(cli: Cli, arguments: tuple[str, ...]) -> None:
    answer = cli("doctor", "--uri", GONE, "--timeout", "0.3", *arguments)
    assert (answer.code, answer.out) == (3, "")
    assert len(answer.err.splitlines()) == 1
    assert "is the server up and reachable?" in answer.err


def test_there_is_no_such_collection(cli: Cli, client: MongoClient[Any], database: str) -> None:
    answer = cli("doctor", "--collection", "jbos")
    assert answer.code == 1
    assert f"problem  collection.exists: there is no collection '{database}.jbos'" in answer.out
    assert client[database].list_collection_names() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "topolgy"), "there is no check 'topolgy': did you mean topology?"),
        (("--only", "jobs.due", "--skip", "jobs"), "no check is left"),
        (("--skip", "\x1b[31m"), "there is no check '\\x1b[31m'"),
        (("--timeout", "0"), "timeout must be"),
        (("--timeout", "nan"), "timeout"),
        (("--timeout", "soon"), "argument --timeout: "),
        (("--quiet", "--json"), "not allowed with"),
        (("nonsense",), "nonsense"),
    ],
    ids=["name", "none", "controls", "zero", "nan", "text", "two outputs", "argument"],
)
def test_nonsense_is_refused(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    answer = cli("doctor", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "\x1b" not in answer.err


@pytest.mark.parametrize("without_rich", [False, True], ids=["rich", "plain"])
@pytest.mark.usefixtures("sick")
def test_a_narrow_terminal_is_not_overrun(cli: Cli, without_rich: bool) -> None:
    with cli.on_a_terminal("doctor", width=60, without_rich=without_rich) as terminal:
        assert terminal.end() == 1
    assert (RED in terminal.raw) is not without_rich
    lines = terminal.text.splitlines()
    assert max(map(len, lines)) <= 60
    assert "1 problem, 2 warnings" in lines[-1] or "1 problem, 2 warnings" in lines[-2]


@pytest.mark.usefixtures("sick")
def test_no_colours_where_nobody_wants_them(cli: Cli) -> None:
    with cli.on_a_terminal("doctor", "--quiet", width=200, NO_COLOR="1") as terminal:
        assert terminal.end() == 1
    assert RED not in terminal.raw
    assert "problem  jobs.due" in terminal.text


@pytest.mark.usefixtures("manager")
def test_foreign_texts_do_nothing_to_a_terminal(cli: Cli, jobs: Jobs) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J"
    jobs.insert_one(job(evil, type=evil, run_at=now(-300)))
    jobs.insert_one(job(f"{evil}2", without=["run_at"]))
    jobs.create_index("x", name="y\x1b[2J")
    with cli.on_a_terminal("doctor", width=100) as terminal:
        assert terminal.end() == 1
    for sequence in ("\x1b]0", "\x1b[2J", "\x07"):
        assert sequence not in terminal.raw
    assert "\\x1b]0;owned" in cli("doctor").out


@pytest.mark.usefixtures("manager")
def test_a_manager_brings_what_it_knows(cli: Cli, jobs: Jobs, database: str, tmp_path: Path) -> None:
    """A type that is paused, and of which there is no job, is known to it."""
    jobs.database["jobs.settings"].insert_one({"_id": "pause", "types": [{"type": "mail", "since": now()}]})
    assert cli("doctor", "--only", "settings", "--strict").code == 1
    (tmp_path / "mine.py").write_text(
        f"from jobpool import JobManager\njobs = JobManager({database!r}, executors={{'mail': print}})\n"
    )
    answer = cli("doctor", "--only", "settings", "--strict", "-m", "mine:jobs", JOBPOOL_DATABASE="")
    assert (answer.code, answer.err) == (0, "")


def test_the_checks_are_listed_without_a_server(cli: Cli) -> None:
    answer = cli("doctor", "--list", "--uri", GONE)
    assert (answer.code, answer.err) == (0, "")
    assert [row[0] for row in answer.rows] == ["CHECK", *(check.name for check in CHECKS)]
    some = cli("doctor", "--list", "--only", "clocks", "--skip", "clocks.here")
    assert [row[0] for row in some.rows[1:]] == ["clocks.members", "clocks.leases", "clocks.pools"]


def test_the_help_has_examples(cli: Cli) -> None:
    answer = cli("doctor", "--help")
    assert answer.code == 0
    assert "jobpool doctor --quiet --strict" in answer.out
