"""The command line: exit codes, and finding the manager."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from jobpool.cli import COMMANDS, USAGE, main
from jobpool.cli.options.loading import load_manager
from jobpool.errors import InvalidConfiguration

MODULE = """
from pymongo import MongoClient
from jobpool import JobManager

client = MongoClient(connect=False)
manager = JobManager("db", client=client)

def make():
    return manager
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("has_a_manager", "misses_another"):
        sys.modules.pop(name, None)


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == USAGE == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["metrics"], "--uri or $JOBPOOL_URI"),
        (["ls", "-d"], "--uri or $JOBPOOL_URI"),
        (["import", "togedo", "-d", "shop", "--from-database"], "--from-uri"),
    ],
    ids=["metrics", "ls", "import"],
)
def test_a_uri_is_no_name_of_a_database(
    arguments: list[str], where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "mongodb://ann:secret@h/shop"]) == USAGE
    assert capsys.readouterr().err == f"jobpool: the database is a name; give the URI as {where}\n"


def test_an_empty_variable_names_no_server_for_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr("jobpool.demo.demonstrate", lambda **options: given.update(options) or 0)
    monkeypatch.setenv("JOBPOOL_URI", "")
    assert main(["demo", "--quick"]) == 0
    assert (given["uri"], given["quick"]) == (None, True)


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mongod", "--nonsense"])
    assert ended.value.code == USAGE
    assert "--nonsense" in capsys.readouterr().err


def test_no_command_shows_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == USAGE
    shown = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in shown] == []


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: jobpool")


@pytest.mark.usefixtures("here")
def test_a_worker_without_a_manager_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "nonsense"]) == USAGE
    assert capsys.readouterr().err.startswith("jobpool: 'nonsense': give MODULE:MANAGER")


def test_a_nonsense_number_in_the_environment_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBPOOL_THREADS", "many")
    with pytest.raises(SystemExit) as ended:
        main(["worker", "a:b"])
    assert ended.value.code == USAGE
    assert "many" in capsys.readouterr().err


def test_a_missing_mongod_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jobpool.cli.mongod.Interrupts", lambda: None)
    assert main(["mongod", "--mongod", "/nowhere/mongod"]) == 1
    assert capsys.readouterr().err == "jobpool: /nowhere/mongod is not an executable mongod\n"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no_colon", "^'no_colon': give MODULE:MANAGER"),
        ("", "^'': give MODULE:MANAGER"),
        ("module:", "^'module:': give MODULE:MANAGER"),
        (":manager", "^':manager': give MODULE:MANAGER"),
        ("no_such_module_here:manager", "^there is no module 'no_such_module_here'"),
        ("no_such_package.module:manager", r"^there is no module 'no_such_package\.module'"),
        ("jobpool.no_such_module:manager", r"^there is no module 'jobpool\.no_such_module'"),
        ("math:manager", "^module 'math' has no 'manager'$"),
        ("os:sep", "^os:sep is a str, not a JobManager$"),
        ("os:getcwd", "^os:getcwd is a str, not a JobManager$"),
    ],
)
def test_what_is_no_manager_is_refused(reference: str, message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        load_manager(reference)


def test_a_module_that_misses_another_says_so(here: Path) -> None:
    (here / "misses_another.py").write_text("import no_such_module_here\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        load_manager("misses_another:manager")


@pytest.mark.parametrize("attribute", ["manager", "make"])
def test_a_manager_is_found_in_the_working_directory(here: Path, attribute: str) -> None:
    (here / "has_a_manager.py").write_text(MODULE)
    manager = load_manager(f"has_a_manager:{attribute}")
    module = sys.modules["has_a_manager"]
    assert isinstance(module.client, MongoClient)
    module.client.close()
    assert manager is module.manager
