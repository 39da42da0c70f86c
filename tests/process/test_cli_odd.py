"""Commands where somebody else has written among the jobs: they answer, and show the good ones."""

from __future__ import annotations

import random

import pytest

from jobpool import JobManager

from ..conftest import Jobs
from ..odd_documents import catalogue, insert, job
from .cli import Cli

FAILED, PENDING = "good failed", "good pending"
#: By what is typed, the exit codes that it may have: documents that are no jobs are a problem to `doctor`.
LOOKS: dict[str, tuple[int, ...]] = {
    "ls --all": (0,),
    "ls --all --json": (0,),
    "ls --state failed --text x": (0,),
    "show 'good failed'": (0,),
    "why 'good pending'": (0,),
    "errors": (0,),
    "errors --json": (0,),
    "stats": (0,),
    "top --once": (0,),
    "types --json": (0,),
    "pools": (0, 4),
    "schedules": (0, 4),
    "doctor --json": (1,),
}
#: By what is typed, what becomes of the two good jobs.
CHANGES = {
    "retry --all --yes": ("pending", "pending"),
    "revive --all --yes": ("pending", "pending"),
    "snooze --for 1h --all --yes": ("failed", "pending"),
    "cancel --all --yes": ("failed", "cancelled"),
    "remove --all --yes": (),
}


@pytest.fixture
def odd(manager: JobManager, jobs: Jobs) -> JobManager:
    """Two good jobs among many others."""
    some = random.Random(5).sample(list(catalogue()), 800)
    insert(
        jobs, [{**job("failed", "g", data="x y"), "_id": FAILED}, {**job("pending", "g"), "_id": PENDING}, *some]
    )
    return manager


def words(typed: str) -> list[str]:
    """Return the arguments of a line in which only ids have spaces."""
    return [word.replace("~", " ") for word in typed.replace("'good ", "good~").replace("'", "").split()]


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("typed", LOOKS)
def test_a_command_that_looks_answers(cli: Cli, typed: str) -> None:
    answer = cli(*words(typed))
    assert (answer.code in LOOKS[typed], "Traceback" in answer.err) == (True, False), answer.err
    assert "\x1b[2J" not in answer.out + answer.err
    if typed.startswith(("ls", "show", "why")):
        assert "good" in answer.out


@pytest.mark.parametrize("typed", CHANGES)
def test_a_command_that_changes_changes_the_good_ones(cli: Cli, odd: JobManager, typed: str) -> None:
    answer = cli(*words(typed))
    assert (answer.code in (0, 1), "Traceback" in answer.err) == (True, False), answer.err
    found = {one.id: str(one.state) for one in odd.each() if one.id in (FAILED, PENDING)}
    assert tuple(found[id] for id in (FAILED, PENDING) if id in found) == CHANGES[typed]
