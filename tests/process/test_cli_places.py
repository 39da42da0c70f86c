"""Where commands look, and what the older ones say as JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from jobpool import JobManager
from jobpool.backlog import Backlog
from jobpool.embedded import EmbeddedMongo

from .cli import GONE, Cli

APP = """
from jobpool import JobManager

manager = JobManager("{database}", collection="mine", executors={{"mail": print}})
"""


@pytest.fixture
def app(tmp_path: Path, database: str) -> str:
    """A manager of the user's, whose jobs are in another collection; its reference."""
    (tmp_path / "app.py").write_text(APP.format(database=database))
    return "app:manager"


def test_metrics_as_json_have_the_fields_of_the_backlog(cli: Cli, manager: JobManager, database: str) -> None:
    manager.create_many({"type": "mail", "data": n} for n in range(3))
    answer = cli("metrics", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert set(answer.json) == {field.name for field in fields(Backlog) if not field.name.startswith("_")}
    assert answer.json["types"]["mail"]["due"] == 3
    assert cli("metrics", database, "--json").json["types"]["mail"]["due"] == 3
    assert cli("metrics", "-d", database, "--json").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("one", "-d", "two"), 2, "there are two databases, one and two: name one"),
        (("--json", "--serve"), 2, "give either --json or --serve"),
        (("--uri", GONE, "--timeout", "1"), 3, "is the server up"),
        (("--serve", "port"), 2, "invalid int value: 'port'"),
        (("-m", "app:nothing"), 2, "app"),
    ],
    ids=["two", "both", "gone", "port", "manager"],
)
def test_metrics_of_nonsense_are_one_line(cli: Cli, arguments: tuple[str, ...], code: int, part: str) -> None:
    answer = cli("metrics", *arguments)
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1)
    assert part in answer.err


def test_a_name_that_nobody_knows_yet_is_said_and_still_counted(cli: Cli) -> None:
    answer = cli("metrics", "--collection", "jbos")
    assert answer.code == 0
    assert ".jbos yet" in answer.err
    assert "jobpool_pools_alive 0.0" in answer.out


def test_a_manager_that_is_named_goes_before_a_database_in_the_environment(
    cli: Cli, app: str, manager: JobManager, database: str
) -> None:
    manager.create("mail", "in jobs")
    assert cli("create", "mail", "--data", '"in mine"', "-m", app).code == 0
    assert [job["data"] for job in cli("ls", "--json", "-m", app).lines] == ["in mine"]
    assert [job["data"] for job in cli("ls", "--json").lines] == ["in jobs"]
    assert [job["data"] for job in cli("ls", "--json", JOBPOOL_MANAGER=app).lines] == ["in mine"]
    answer = cli("ls", "--json", "-d", database, JOBPOOL_MANAGER=app)
    assert [job["data"] for job in answer.lines] == ["in jobs"]


@pytest.mark.parametrize("option", ["--database", "--collection"])
def test_a_manager_and_another_place_are_not_both_taken(cli: Cli, app: str, option: str) -> None:
    """Or what is meant for one collection is done to another."""
    both = cli("ls", "-m", app, option, "archive")
    assert (both.code, both.out) == (2, "")
    assert both.err == (
        "jobpool: give either --manager, which knows where its jobs are, or --database, --uri and --collection\n"
    )


def test_a_collection_that_is_named_goes_before_a_manager_in_the_environment(
    cli: Cli, app: str, manager: JobManager
) -> None:
    manager.create("mail", "in jobs", id="a")
    assert cli("create", "mail", "--data", '"in mine"', "-m", app).code == 0
    found = cli("ls", "--json", "--collection", "mine", JOBPOOL_MANAGER=app, JOBPOOL_COLLECTION="jobs")
    assert [job["data"] for job in found.lines] == ["in mine"]


def test_a_time_limit_holds_for_a_manager_of_the_users_as_well(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(f"""
from jobpool import JobManager

manager = JobManager("x", uri="{GONE.partition("?")[0]}", timeout=3600)
""")
    answer = cli("stats", "-m", "slow:manager", "--timeout", "0.2")
    assert (answer.code, answer.err.count("\n")) == (3, 1)
    assert cli("stats", "-m", "slow:manager", "--timeout", "2h").code == 2


def test_a_worker_takes_the_manager_of_the_environment(cli: Cli, app: str) -> None:
    assert cli("create", "mail", "--data", '"said"', "-m", app).code == 0
    done = cli("worker", "--burst", "--log-level", "warning", JOBPOOL_MANAGER=app)
    assert (done.code, done.out) == (0, "said\n")
    nobody = cli("worker", "--burst")
    assert nobody.code == 2
    assert nobody.err.startswith(
        "jobpool: name the manager whose jobs are to be run: jobpool worker MODULE:MANAGER"
    )


def test_the_level_of_logs_may_be_in_the_environment(cli: Cli, app: str) -> None:
    loud = cli("worker", "--burst", JOBPOOL_MANAGER=app, JOBPOOL_LOG_LEVEL="debug")
    quiet = cli("worker", "--burst", JOBPOOL_MANAGER=app, JOBPOOL_LOG_LEVEL="ERROR")
    assert (loud.code, quiet.code) == (0, 0)
    assert len(loud.err) > len(quiet.err)
    wrong = cli("worker", "--burst", JOBPOOL_MANAGER=app, JOBPOOL_LOG_LEVEL="loud")
    assert (wrong.code, "'loud' is none of DEBUG" in wrong.err) == (2, True)


def test_an_embedded_server_says_where_it_is_as_json(cli: Cli, tmp_path: Path) -> None:
    with cli.started("mongod", "--json", "--path", str(tmp_path / "data")) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told) == {"uri", "directory", "pid"}
        assert cli("metrics", "shop", "--uri", told["uri"]).code == 0
        process.terminate()
        assert process.wait(60) == 0
    with EmbeddedMongo(tmp_path / "data") as again:
        assert str(again.directory) == told["directory"]
