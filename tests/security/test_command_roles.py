"""Commands with the rights of the roles of README: who only looks needs no right to list collections."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..process.cli import Answer, Cli
from .test_roles import MONITOR, PRODUCER, Cast, cast, installed

__all__ = ["cast", "installed"]


def run(cast: Cast, role: str, directory: Path, *arguments: str) -> Answer:
    return Cli(cast.uri(role), cast.name, directory)(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls",),
        ("ls", "--state", "pending", "--json"),
        ("show", "one"),
        ("why", "one"),
        ("errors",),
        ("stats",),
        ("types",),
        ("pools",),
        ("metrics",),
        ("metrics", "--json"),
        ("pause",),
    ],
    ids=" ".join,
)
def test_a_monitor_may_look(installed: Cast, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    installed.manager(PRODUCER).create("echo", 1, id="one")
    answer = run(installed, MONITOR, tmp_path, *arguments)
    assert answer.code == 0, answer.err
    assert "right missing" not in answer.err


@pytest.mark.parametrize("arguments", [("cancel", "one", "--yes"), ("remove", "one", "--yes")], ids=" ".join)
def test_a_monitor_may_change_nothing(installed: Cast, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    installed.manager(PRODUCER).create("echo", 1, id="one")
    answer = run(installed, MONITOR, tmp_path, *arguments)
    assert answer.code == 1
    assert "the right missing is" in answer.err
    assert installed.jobs.find_one({"_id": "one"})["state"] == "pending"  # type: ignore[index]


def test_a_collection_that_is_not_there_is_still_refused(installed: Cast, tmp_path: Path) -> None:
    answer = run(installed, MONITOR, tmp_path, "ls", "--collection", "jbos")
    assert answer.code == 2
    assert f"there is no collection {installed.name}.jbos" in answer.err


def test_an_import_needs_few_rights_and_names_the_one_missing(installed: Cast, tmp_path: Path) -> None:
    source = {"resource": {"db": installed.name, "collection": "old"}, "actions": ["find"]}
    lists = {"resource": {"db": installed.name, "collection": ""}, "actions": ["listCollections"]}
    installed.root["old"].insert_one({"_id": "a", "type": "echo", "data": 1, "status": "queued"})
    command = ("import", "togedo", "--from-database", installed.name, "--from-collection", "old")
    refused = run(installed, PRODUCER, tmp_path, *command)
    assert (refused.code, "listCollections" in refused.err) == (1, True)
    installed.root.command("grantPrivilegesToRole", PRODUCER, privileges=[source, lists])
    answer = run(installed, PRODUCER, tmp_path, *command, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["inserted"] == 1
