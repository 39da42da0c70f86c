"""The commands that change many jobs: retry, revive, cancel, snooze, remove, purge."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Backoff, Executor, JobManager, WorkerPool
from jobpool.embedded import EmbeddedMongo

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy, Weather
from ..waiting import until
from .cli import GONE, Cli, Here

HOUR = 3600.0
MANY = 100_000
COMMANDS = {
    "retry": [],
    "revive": [],
    "cancel": [],
    "snooze": ["--for", "2h"],
    "remove": [],
    "purge": ["--older-than", "0"],
}


def fail(data: Any) -> None:
    raise TimeoutError(f"no answer from {data}")


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    """Three failed jobs, two that wait for a retry, one that succeeded, one due and one that waits for that."""
    again = Executor(fail, max_attempts=3, backoff=Backoff(base=HOUR, jitter=0))
    manager = make_manager(executors={"bad": fail, "again": again, "ok": str})
    for type, number in (("bad", 3), ("again", 2), ("ok", 1)):
        for n in range(number):
            manager.create(type, {"n": n}, id=f"{type}-{n}")
    manager.run_all()
    manager.create("ok", id="due")
    manager.create("ok", id="child", after=["due"])
    return manager


#: By filters that mean everything: how many each command changes.
CHANGED = {"retry": 5, "revive": 3, "cancel": 4, "snooze": 3, "remove": 8, "purge": 4}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dry_run_counts_and_changes_nothing(here: Here, manager: JobManager, jobs: Jobs, command: str) -> None:
    before = list(jobs.find())
    answer = here(command, *COMMANDS[command], "--all", "--dry-run")
    assert answer.code == 0, answer.err
    assert answer.rows[0] == ["STATE", "TYPE", "JOBS"]
    assert sum(int(row[2]) for row in answer.rows[1:] if len(row) == 3) == CHANGED[command]
    assert f"{CHANGED[command]} jobs would be" in answer.err
    assert answer.err.endswith("nothing was changed\n")
    assert list(jobs.find()) == before
    found = here(command, *COMMANDS[command], "--all", "--dry-run", "--json").json
    assert (found["operation"], found["dry_run"], found["complete"]) == (command, True, True)
    assert (found["matched"], found["changed"], len(found["ids"])) == (CHANGED[command], 0, CHANGED[command])
    assert list(jobs.find()) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_all_are_changed_and_the_second_time_none(here: Here, manager: JobManager, command: str) -> None:
    answer = here(command, *COMMANDS[command], "--all", "--yes", "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert found.keys() == {
        *("operation", "dry_run", "complete", "matched", "changed", "became", "counts", "ids", "left"),
    }
    assert (found["matched"], found["changed"], found["complete"]) == (CHANGED[command], CHANGED[command], True)
    assert sum(found["became"].values()) == found["changed"]
    assert sum(one["count"] for one in found["counts"]) == found["matched"]
    assert all(one.keys() == {"state", "type", "count"} for one in found["counts"])
    again = here(command, *COMMANDS[command], "--all", "--yes")
    if command != "snooze":  # two hours from now may be later by now
        assert (again.code, again.out) == (4, "")
        assert f"nothing to {command}" in again.err


@pytest.mark.parametrize(
    "more",
    [[], ["--yes"], ["--all"], ["--all", "--type", "ok", "--yes"], ["due", "--all", "--yes"]],
    ids=["nothing", "yes", "all", "all of a type", "all and one"],
)
def test_every_job_is_meant_only_if_that_is_said_twice(
    here: Here, manager: JobManager, jobs: Jobs, more: list[str]
) -> None:
    before = list(jobs.find())
    for command in ("remove", "snooze"):
        answer = here(command, *COMMANDS[command], *more)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("jobpool: ")
    assert list(jobs.find()) == before


@pytest.mark.parametrize("command", ["cancel", "snooze"])
def test_without_mongodb_there_is_one_line(here: Here, command: str) -> None:
    answer = here(command, *COMMANDS[command], "--type", "a", "--uri", GONE, "--timeout", "1")
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)
    assert answer.err.startswith("jobpool: ")


@pytest.mark.parametrize("command", ["retry", "purge"])
def test_a_mistyped_database_is_refused_and_not_made(
    here: Here, client: MongoClient[dict[str, Any]], command: str
) -> None:
    answer = here(command, *COMMANDS[command], "--all", "--yes", "--database", "mistyped")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no collection mistyped.jobs" in answer.err
    assert "mistyped" not in client.list_database_names()


def test_filters_are_asked_about_where_somebody_can_answer(cli: Cli, manager: JobManager) -> None:
    answer = cli("retry", "--type", "bad")
    assert (answer.code, answer.out) == (2, "")
    assert "3 jobs would be retried: all failed" in answer.err
    assert "--yes" in answer.err
    for typed, code, failed in (("n\n", 1, 3), ("\n", 1, 3), ("\x03", 130, 3), ("y\n", 0, 0)):
        with cli.on_a_terminal("retry", "--type", "bad", width=60) as terminal:
            terminal.read_until("Retry these 3 jobs? [y/N]")
            terminal.type(typed)
            assert terminal.end() == code
        assert ("nothing was changed" in terminal.text) == (failed == 3)
        assert manager.count(state="failed") == failed
    assert "3 jobs retried (3 had failed)" in terminal.text


def test_ids_are_changed_without_a_question(cli: Cli, manager: JobManager) -> None:
    answer = cli("retry", "bad-0", "again-1")
    assert (answer.code, answer.out) == (0, "2 jobs retried (1 had failed, 1 waited for a retry)\n")
    assert {job.id for job in manager.find(state="failed")} == {"bad-1", "bad-2"}


def test_ids_that_cannot_be_changed_are_named(here: Here, manager: JobManager) -> None:
    answer = here("retry", "bad-0", "ok-0", "due", "nowhere")
    assert (answer.code, answer.out) == (1, "1 job retried (1 had failed)\n")
    lines = answer.err.splitlines()
    assert lines[0].startswith("jobpool: ok-0 is left: it succeeded; jobpool revive")
    assert lines[1].startswith("jobpool: due is left: it has not failed")
    assert lines[2] == "jobpool: nowhere is left: no such job"
    found = here("retry", "ok-0", "nowhere", "--json")
    assert found.code == 4
    assert found.json["left"] == [{"id": "ok-0", "state": "succeeded"}, {"id": "nowhere", "state": None}]
    filtered = here("retry", "bad-0", "bad-1", "--type", "again")
    assert (filtered.code, filtered.out) == (4, "")
    assert "jobpool: bad-1 is left: it is failed, and other options do not mean it\n" in filtered.err
    many = here("cancel", "due", *(f"none-{n}" for n in range(15)))
    assert (many.code, many.out) == (1, "1 job cancelled (1 ended at once)\n")
    assert many.err.count("no such job") == 10
    assert "and 5 more are left" in many.err


@pytest.mark.parametrize("shape", ["ids", "json"])
def test_ids_come_from_a_pipe(cli: Cli, manager: JobManager, shape: str) -> None:
    listed = cli("ls", "--state", "failed", f"--{shape}")
    answer = cli("retry", "-", input=f"\ufeff{listed.out}\n")  # with the mark that some shells put first
    assert (answer.code, answer.out, answer.err) == (0, "3 jobs retried (3 had failed)\n", "")


@pytest.mark.parametrize(
    ("piped", "code", "said"),
    [
        (b"", 4, "no ids came"),
        (b"\n \n", 4, "no ids came"),
        (b'bad-0\n{"id": ', 2, "line 2 of stdin is no JSON"),
        (b'bad-0\n{"id": ' + b"[" * 100_000, 2, "line 2 of stdin is no JSON"),
        (b'bad-0\n{"name": "x"}\n', 2, 'line 2 of stdin has no "id"'),
        (b'{"id": 5}\n', 2, 'line 1 of stdin has no "id"'),
        (b"bad-0\n\xff\xfe\n", 2, "line 2 of stdin is not UTF-8"),
        (b"bad-0\n" + b"x" * 600, 2, "id must have 1 to 512 characters"),
        (b"bad-0\na\x1b[31mb\n", 2, "id must not hold control characters"),
    ],
    ids=["empty", "blank", "broken", "deep", "no id", "number", "bytes", "long", "control"],
)
def test_nonsense_in_a_pipe_changes_nothing(
    here: Here, manager: JobManager, piped: bytes, code: int, said: str
) -> None:
    answer = here("retry", "-", input=piped)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "\x1b" not in answer.err
    assert manager.count(state="failed") == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry", "--group", "xyz"],
        ["retry", "--state", "done"],
        ["retry", "--older-than", "soon"],
        ["snooze", "--type", "a"],
        ["snooze", "--type", "a", "--for", "1h", "--run-at", "2026-11-27T12:00:00Z"],
        ["snooze", "--type", "a", "--run-at", "tomorrow"],
        ["snooze", "--type", "a", "--run-at", "2999-01-01T00:00:00Z", "--yes"],
        ["purge", "--type", "a"],
        ["purge", "--older-than", "-1", "--all"],
        ["cancel", "--text", ""],
    ],
    ids=" ".join,
)
def test_nonsense_is_a_usage_error(here: Here, manager: JobManager, arguments: list[str]) -> None:
    manager.create("a")
    answer = here(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines()[-1].startswith("jobpool: ")


def test_errors_lead_to_a_retry_of_a_group(here: Here, manager: JobManager) -> None:
    (group,) = here("errors", "--json").lines
    answer = here("retry", "--group", group["group"], "--yes")
    assert (answer.code, answer.out) == (0, "3 jobs retried (3 had failed)\n")
    assert here("retry", "--group", group["group"], "--yes").code == 4


def test_filters_are_heeded(here: Here, manager: JobManager) -> None:
    assert here("retry", "--text", '"n": 1', "--yes").code == 4, "data are no text of JSON"
    assert here("retry", "--error", "KeyError", "--yes").code == 4
    assert here("retry", "--older-than", "1h", "--yes").code == 4
    answer = here(
        "retry", "--type", "bad", "--type", "ok", "--newer-than", "1h", "--error", "TimeoutError", "--yes"
    )
    assert (answer.code, answer.out) == (0, "3 jobs retried (3 had failed)\n")


def test_revive_takes_succeeded_ones_only_by_name(here: Here, manager: JobManager) -> None:
    left = here("revive", "ok-0")
    assert (left.code, left.out) == (4, "")
    assert "--succeeded" in left.err
    assert here("revive", "ok-0", "--succeeded").out == "1 job revived\n"
    manager.run_all("ok")
    found = here("revive", "--state", "failed", "--succeeded", "--dry-run", "--json").json
    assert {one["state"] for one in found["counts"]} == {"failed", "succeeded"}
    assert here("revive", "--state", "succeeded", "--type", "ok", "--yes").out.endswith("jobs revived\n")
    assert manager.count(type="ok", state="succeeded") == 0


def test_cancel_takes_those_who_wait_along_if_asked_to(here: Here, manager: JobManager) -> None:
    assert here("cancel", "due").out == "1 job cancelled (1 ended at once)\n"
    assert manager.get("child").state == "waiting"
    manager.create("ok", id="second")
    manager.create("ok", id="its child", after=["second"])
    assert here("cancel", "second", "--cascade").out == "2 jobs cancelled (2 ended at once)\n"
    assert manager.get("its child").state == "cancelled"


def test_remove_says_what_it_leaves(here: Here, manager: JobManager, jobs: Jobs) -> None:
    answer = here("remove", "due")
    assert (answer.code, answer.out) == (1, "0 jobs removed\n")
    assert "others wait for them" in answer.err
    assert "jobpool: due is left" in answer.err
    jobs.update_one({"_id": "bad-0"}, {"$set": {"state": "running", "lease_until": datetime.now(UTC)}})
    held = here("remove", "bad-0")
    assert (held.code, held.out) == (4, "")
    assert "bad-0 is left: it runs" in held.err
    most = here("remove", "--type", "bad", "--yes")
    assert (most.code, most.out) == (0, "2 jobs removed\n")
    assert "1 job running left: it runs" in most.err


def test_snoozed_jobs_are_due_at_that_time(here: Here, manager: JobManager) -> None:
    later = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    answer = here("snooze", "--type", "ok", "--run-at", later.isoformat(), "--yes")
    assert (answer.code, answer.out) == (0, f"1 job snoozed until {later:%Y-%m-%d %H:%M:%SZ}\n")
    assert manager.get("due").run_at == later
    assert here("snooze", "due", "--for", "2h").code == 4
    assert manager.get("due").run_at == later


def test_purge_goes_by_when_jobs_ended(here: Here, manager: JobManager, jobs: Jobs) -> None:
    assert here("purge", "--older-than", "1d", "--yes").code == 4
    assert here("purge", "--older-than", "0").code == 2, "nobody can be asked"
    jobs.update_one({"_id": "ok-0"}, {"$set": {"finished_at": datetime.now(UTC) - timedelta(days=2)}})
    assert here("purge", "--older-than", "1d", "--yes").out == "1 job purged\n"
    assert manager.count(ids=["ok-0"]) == 0


@pytest.mark.parametrize("without_rich", [False, True], ids=["rich", "plain"])
def test_a_narrow_terminal_and_one_without_colours_show_it(
    cli: Cli, manager: JobManager, without_rich: bool
) -> None:
    with cli.on_a_terminal("retry", "--all", "-n", width=60, without_rich=without_rich, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert "5 jobs would be retried: 3 failed, 2 waiting for a retry" in terminal.text
    assert "\x1b[3" not in terminal.raw.replace("\x1b[3J", "")


def test_a_pool_goes_on_with_what_is_retried(here: Here, make_manager: MakeManager) -> None:
    broken = [True]

    def work(data: Any) -> None:
        if broken[0]:
            raise TimeoutError

    manager = make_manager(executors={"a": work})
    with WorkerPool(manager):
        manager.create_many({"type": "a", "data": n} for n in range(20))
        until(lambda: manager.count(state="failed") == 20, "failures")
        broken[0] = False
        assert here("retry", "--type", "a", "--yes").out == "20 jobs retried (20 had failed)\n"
        until(lambda: manager.count(state="succeeded") == 20, "the retries")


# A large collection


@pytest.fixture(scope="module")
def large(server: EmbeddedMongo, client: MongoClient[dict[str, Any]]) -> Iterator[Jobs]:
    """A hundred thousand failed jobs."""
    name = "test_cli_bulk_large"
    client.drop_database(name)
    with JobManager(name, uri=server.uri) as manager:
        manager.ensure_indexes()
    jobs, now = client[name]["jobs"], datetime.now(UTC)
    error = {"type": "E", "message": "m", "traceback": "", "attempt": 1}
    rest = {"state": "failed", "priority": 0, "run_at": now, "fence": 1, "created_at": now, "finished_at": now}
    for start in range(0, MANY, 10_000):
        jobs.insert_many(
            (
                {
                    "_id": f"j{n:06}",
                    "type": "a",
                    "data": n,
                    "attempts": 1,
                    "max_attempts": 1,
                    "error": error,
                    **rest,
                }
                for n in range(start, start + 10_000)
            ),
            ordered=False,
        )
    yield jobs
    client.drop_database(name)


def test_what_was_broken_off_goes_on_and_nothing_is_changed_twice(cli: Cli, large: Jobs, proxy: Proxy) -> None:
    """By Ctrl-C, a kill, and a network that is gone, each in the middle."""
    arguments = ["retry", "--state", "failed", "--yes", "--json", "--database", large.database.name]

    def retried() -> int:
        return large.count_documents({"state": "pending"})

    def idle() -> bool:
        return not large.database.client.admin.command("currentOp", ns=large.full_name, active=True)["inprog"]

    done = retried()
    for cause in ("Ctrl-C", "kill", "network"):
        with cli.started(*arguments, "--timeout", "2", JOBPOOL_URI=proxy.uri) as process:
            until(lambda: retried() > done, "the first page", patience=60)  # noqa: B023
            if cause == "network":
                proxy.weather = Weather(hole=True)
            else:
                process.send_signal(signal.SIGINT if cause == "Ctrl-C" else signal.SIGKILL)
            out, err = process.communicate(timeout=60)
        before, done = done, retried()
        assert before < done < MANY
        if cause == "kill":
            assert process.returncode == -signal.SIGKILL
            until(idle, "the server has done what it was told")
            done = retried()
            continue
        found = json.loads(out)
        assert (found["complete"], found["matched"] <= MANY - before) == (False, True)
        told = f"jobpool: {found['changed']:,} of {found['matched']:,} jobs are done with"
        assert told in err.decode()
        assert "the same command goes on with the rest" in err.decode()
        if cause == "network":
            assert process.returncode == 3
            assert "and perhaps some of the next 2,000" in err.decode()
        else:
            assert (process.returncode, found["changed"]) == (130, done)
    answer = cli(*arguments, timeout=120)
    found = answer.json
    assert (answer.code, found["complete"], found["changed"]) == (0, True, found["matched"])
    assert found["changed"] <= MANY - done, "the server may have gone on with what it was told last"
    assert large.count_documents({"state": "pending", "attempts": 1, "max_attempts": 2}) == MANY


def test_a_server_that_refuses_in_the_middle_is_told_with_how_far_it_came(
    here: Here, manager: JobManager, jobs: Jobs
) -> None:
    manager.create_many({"type": "mail", "data": n} for n in range(3))
    jobs.database.command("collMod", jobs.name, validator={"never": {"$exists": True}})
    answer = here("cancel", "--type", "mail", "--yes")
    assert answer.code == 1
    assert "jobpool: 0 of 3 jobs are done with, and perhaps some of the next 3; " in answer.err
    assert manager.count(type="mail", state="pending") == 3
