"""What commands that look and steer do with the rights of the roles, and without."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote_plus

import pytest

from ..process.cli import Cli
from .test_roles import MONITOR, PASSWORD, PLANNER, PRODUCER, Cast, cast, installed

__all__ = ["cast", "installed"]  # fixtures


@pytest.fixture
def as_role(installed: Cast, tmp_path: Path) -> dict[str, Cli]:
    """Commands of users with those roles."""
    manager = installed.manager(PRODUCER)
    manager.create_many({"type": "echo", "data": n} for n in range(3))
    return {role: Cli(installed.uri(role), installed.name, tmp_path) for role in (MONITOR, PLANNER, PRODUCER)}


def test_a_monitor_may_look_at_all_but_the_size_and_steer_nothing(as_role: dict[str, Cli]) -> None:
    cli = as_role[MONITOR]
    stats = cli("stats")
    assert stats.code == 0
    assert "lacks the right collStats" in stats.err
    assert cli("stats", "--finished", "--json").json["size"] is None
    assert cli("types", "--json").lines[0]["due"] == 3
    assert cli("pools").out == "no pool is alive\n"
    assert cli("top", "--once", "--json").json["documents"] == 3
    refused = cli("pause", "echo")
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert "the right missing is update" in refused.err


def test_a_planner_pauses_and_is_told_what_it_may_not_know(as_role: dict[str, Cli]) -> None:
    cli = as_role[PLANNER]
    answer = cli("pause", "echo", "--reason", "why")
    assert answer.code == 0
    assert answer.rows[1] == ["echo", *answer.rows[1][1:3], "-", "why"]
    assert answer.err.startswith("jobpool: paused; how many jobs that holds is not known: ")
    assert PASSWORD not in answer.err
    assert quote_plus(PASSWORD) not in answer.err
    assert cli("resume", "--all").code == 0
    assert cli("schedules", "add", "n", "echo", "--every", "1h").code == 0
    assert cli("schedules").code == 0


def test_a_producer_may_not_look_at_pools(as_role: dict[str, Cli]) -> None:
    answer = as_role[PRODUCER]("pools")
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "jobs.pools" in answer.err
