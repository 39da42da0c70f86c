"""``jobpool stats``, ``pools`` and ``types``, as their users have them."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from jobpool import Executor, JobManager, Limit, WorkerPool
from jobpool.backlog import TypeBacklog
from jobpool.embedded import EmbeddedMongo

from ..conftest import Jobs, MakeManager
from ..waiting import until
from .cli import GONE, Cli
from .conftest import StartWorker

COMMANDS = ("stats", "pools", "types", "top", "pause", "resume", "schedules")


def fail(data: Any) -> None:
    raise ValueError(f"no {data}")


@pytest.fixture
def shop(manager: JobManager, make_manager: MakeManager) -> JobManager:
    """Jobs in many states."""
    runs = make_manager(executors={"mail": str, "bad": fail})
    runs.create_many({"type": "bad", "data": n} for n in range(2))
    runs.create("mail", 1)
    runs.run_all()
    manager.create_many({"type": "mail", "data": n} for n in range(2, 1202))
    manager.create("later", delay=3600)
    return manager


@pytest.fixture
def pool(make_manager: MakeManager) -> Iterator[WorkerPool]:
    """A pool that runs mail, known to others, while all types are paused."""
    limited = Executor(str, limit=Limit(running=5, rate=10), aliases=["letter"])
    manager = make_manager(executors={"mail": limited})
    manager.pause(reason="inventory")
    with WorkerPool(manager, threads=3, name="packers") as pool:
        until(manager.pools)
        yield pool


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_gone_is_told_in_one_line(cli: Cli, command: str) -> None:
    answer = cli(command, "--uri", GONE)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("jobpool: ")
    assert answer.err.count("\n") == 1
    assert "127.0.0.1:9" in answer.err


@pytest.mark.parametrize("command", ["stats", "pause"])
def test_a_mistyped_collection_is_refused_and_not_made(
    cli: Cli, manager: JobManager, jobs: Jobs, command: str
) -> None:
    answer = cli(command, "--collection", "job")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no collection" in answer.err
    assert jobs.name in answer.err
    assert "job" not in jobs.database.list_collection_names()


def test_looking_creates_nothing(cli: Cli, jobs: Jobs) -> None:
    """Not even the indexes: they are whose the workers are."""
    jobs.insert_one({"_id": "x"})
    before = jobs.database.list_collection_names()
    for command in ("pools", "types"):
        cli(command)
    assert jobs.database.list_collection_names() == before
    assert list(jobs.index_information()) == ["_id_"]


def test_stats_show_all_at_one_look(cli: Cli, shop: JobManager, database: str) -> None:
    answer = cli("stats")
    assert (answer.code, answer.err) == (0, "")
    told = dict(line.split("  ", 1) for line in answer.out.split("\n\n")[0].splitlines())
    assert told["collection"] == f"{database}.jobs"
    assert told["jobs"].strip() == "1,204: 1,200 due, 1 scheduled, 2 failed, 1 succeeded or cancelled"
    assert told["pools"].strip() == "0 alive with 0 threads"
    assert "jobpool_claim" in told["size"]
    assert ["mail", "1,200"] in [row[:2] for row in answer.rows]
    assert "SUCCEEDED" not in answer.out


def test_stats_count_finished_jobs_if_asked(cli: Cli, shop: JobManager) -> None:
    answer = cli("stats", "--finished", "--json")
    assert answer.code == 0
    assert answer.json["finished"] == {
        "bad": {"succeeded": 0, "failed": 2, "cancelled": 0},
        "mail": {"succeeded": 1, "failed": 0, "cancelled": 0},
    }
    assert "SUCCEEDED" in cli("stats", "--finished").out


def test_stats_as_json(cli: Cli, shop: JobManager) -> None:
    found = cli("stats", "--json").json
    assert {name: type(value).__name__ for name, value in found.items()} == {
        "at": "str",
        "seconds": "float",
        "types": "dict",
        "total": "dict",
        "pools_alive": "int",
        "threads_alive": "int",
        "suggested_pools": "int",
        "paused": "dict",
        "documents": "int",
        "finished": "NoneType",
        "size": "dict",
    }
    assert set(found["types"]["mail"]) == set(TypeBacklog.__dataclass_fields__)
    assert set(found["size"]) == {"data_bytes", "storage_bytes", "index_bytes"}
    assert found["total"]["due"] == 1200


def test_types_show_who_runs_them_and_what_nobody_runs(cli: Cli, shop: JobManager, pool: WorkerPool) -> None:
    shop.resume()
    shop.pause("mail")
    shop.create("orphan")
    answer = cli("types")
    rows = {row[0]: row for row in answer.rows}
    assert answer.code == 0
    assert rows["letter"][3:7] == ["0", "paused", "1", "3"]
    assert "5 at once, 10 per 1s" in answer.out
    assert "nobody runs it" in answer.out
    assert answer.err == "jobpool: 1 job due that no pool alive runs, of 1 type: 'orphan'\n"


def test_types_as_json(cli: Cli, shop: JobManager, pool: WorkerPool) -> None:
    lines = {line["type"]: line for line in cli("types", "--json").lines}
    mail = lines["mail"]
    assert (mail["due"], mail["pools"], mail["threads"], mail["aliases"]) == (1200, 1, 3, ["letter"])
    assert mail["pause"]["reason"] == "inventory"
    assert mail["limits"]["limit"] == {"running": 5, "rate": 10, "per": 1.0, "burst": None}
    assert set(mail) == {
        *("type", "due", "scheduled", "waiting", "claimed", "running", "failed", "oldest_due_age", "throughput"),
        *("run_seconds", "pools", "threads", "paused", "pause", "alias_of", "aliases", "limits", "start_rate"),
    }
    assert (lines["later"]["scheduled"], lines["letter"]["alias_of"]) == (1, "mail")


def test_pools_show_what_they_say_of_themselves(cli: Cli, shop: JobManager, pool: WorkerPool) -> None:
    answer = cli("pools")
    (row,) = answer.rows[1:]
    assert (answer.code, answer.err) == (0, "")
    assert row[:4] == ["packers", "running", "0", "3"]
    assert str(os.getpid()) in row
    (found,) = cli("pools", "--json").lines
    assert (found["name"], found["id"], found["pid"], found["threads"]) == ("packers", pool.id, os.getpid(), 3)
    assert (found["claimed"], found["running"], found["alive"]) == (0, 0, True)
    assert set(found) == {
        *("name", "host", "pid", "types", "threads", "rates", "id", "since", "seen_at", "fresh_until", "alive"),
        *("version", "state", "aliases", "limits", "busy", "queued", "lease", "claimed", "running"),
        *("speaks_every", "heard_ago", "silent", "counts", "start_rates"),
    }
    assert (found["silent"], found["heard_ago"] >= 0, found["speaks_every"]) == (False, True, 10.0)
    assert found["counts"] == {"claimed": 0, "started": 0, "ended": 0}


def test_a_killed_pool_is_shown_as_dead_with_what_it_holds(
    cli: Cli, manager: JobManager, start_worker: StartWorker, jobs: Jobs
) -> None:
    worker = start_worker("--threads", "1")
    manager.create("endless", 1)
    worker.wait_for("began 1 1")
    pools = jobs.database["jobs.pools"]
    until(lambda: pools.count_documents({}))
    (busy,) = cli("pools", "--json").lines
    assert (busy["running"], busy["alive"], busy["pid"]) == (1, True, worker.process.pid)
    worker.send(signal.SIGKILL)
    worker.end()
    # Its word is good for 35 s; nobody waits for that here.
    pools.update_many({}, [{"$set": {"fresh_until": {"$subtract": ["$$NOW", 1]}}}])
    answer = cli("pools")
    assert (answer.code, answer.out) == (0, "no pool is alive\n")
    assert answer.err.startswith("jobpool: 1 job besides held by pools that died")
    dead = cli("pools", "--dead")
    assert dead.rows[1][1:4] == ["dead", "1", "1"]
    assert dead.err == ""
    (found,) = cli("pools", "--dead", "--json").lines
    assert (found["alive"], found["running"]) == (False, 1)


@pytest.mark.parametrize("command", ["stats", "pools", "types"])
def test_tables_fit_the_terminal(cli: Cli, shop: JobManager, pool: WorkerPool, command: str) -> None:
    shop.create("a.type.with.a.name." * 6)
    width = 60
    with cli.on_a_terminal(command, width=width) as terminal:
        assert terminal.end() == 0
    table = terminal.text.split("\n\n")[-1].splitlines()
    heading = next(line for line in table if line.startswith(("TYPE", "POOL")))
    lines = [heading, *(line for line in table if not line.startswith("jobpool: "))]
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "\x1b[" in terminal.raw


def test_without_rich_and_with_no_color_it_is_plain(cli: Cli, shop: JobManager) -> None:
    with cli.on_a_terminal("types", width=60, without_rich=True) as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    assert max(map(len, terminal.text.splitlines()[:-1])) <= 60
    for no_color, colours in (("1", False), ("", True)):
        with cli.on_a_terminal("types", width=100, NO_COLOR=no_color) as terminal:
            assert terminal.end() == 0
        assert "nobody runs it" in terminal.text
        assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.raw)) is colours


def test_foreign_texts_do_not_reach_the_terminal_as_they_are(cli: Cli, manager: JobManager, jobs: Jobs) -> None:
    manager.create("plain")
    jobs.update_one({}, {"$set": {"type": "evil\x1b]0;owned\x07"}})
    jobs.database["jobs.pools"].insert_one(
        {
            "_id": "1",
            "name": "pool\x1b[2J",
            "host": "h\n",
            "types": ["x\x1b"],
            "fresh_until": manager.stats().at.replace(year=2100),
        }
    )
    for command in ("stats", "types", "pools"):
        answer = cli(command)
        assert answer.code == 0
        assert "\x1b" not in answer.out + answer.err
    assert "evil\\x1b]0;owned\\x07" in cli("types").out


def test_foreign_names_in_errors_do_not_reach_the_terminal_as_they_are(cli: Cli, jobs: Jobs) -> None:
    """Anybody who may write to the server may give collections names, and jobpool tells where there are jobs."""
    with JobManager(jobs.database.name, client=jobs.database.client, collection="evil\x1b[2J\u202e") as evil:
        evil.ensure_indexes()
    answer = cli("stats", "--collection", "a\x1b[2J")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert not {"\x1b", "\u202e"} & set(answer.err)
    assert "evil\\x1b[2J" in answer.err
    slip = cli("stats", "--x\x1b[2J")
    assert (slip.code, "\x1b" in slip.err) == (2, False)


def test_an_empty_collection_is_no_error(cli: Cli, manager: JobManager, server: EmbeddedMongo) -> None:
    assert cli("types").out == "no types: no jobs that are not done with, and no pool alive\n"
    assert cli("pools").out == "no pool is alive\n"
    assert cli("types", "--json").out == ""
    assert cli("stats").code == 0
