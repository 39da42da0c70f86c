"""``jobpool why``: as its users have it, with pools that are processes."""

from __future__ import annotations

import re
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobpool import JobManager
from jobpool.store.cards import PoolCard

from ..conftest import Jobs
from ..waiting import until
from .cli import GONE, Cli
from .conftest import StartWorker


def test_the_answer_is_a_sentence_then_facts_then_what_helps(cli: Cli, manager: JobManager) -> None:
    id = manager.create("mail", delay=7200).id
    manager.pause("mail", reason="deploy")
    answer = cli("why", id)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].startswith(f"{id} (mail, pending): it is not due for another ")
    assert lines[1].startswith("also: type 'mail' has been paused for ")
    assert lines[2] == "also: no pool is alive, so nobody runs jobs of type 'mail'."
    assert any(re.match(r"run at +20\d\d-.*Z \(in (2h|1h 59m)\)$", line) for line in lines)
    assert lines[-2:] == ["-> to go on: jobpool resume mail", "-> start one: jobpool worker MODULE:MANAGER"]


def wait_for_a_thread(manager: JobManager, jobs: Jobs) -> tuple[str, str]:
    """Return a job that waits behind others for a thread, and one that has the only one there is."""
    running, _, last = (manager.create("mail", number).id for number in range(3))
    manager.store.presence.announce(
        PoolCard("p1", "web", "h1", 7, ("mail",), 1, version="9", state="running"), 600
    )
    now = datetime.now(UTC)
    held = {"claim": "p1.0", "pool": "web", "lease_until": now + timedelta(seconds=600), "started_at": now}
    jobs.update_one({"_id": running}, {"$set": {"state": "running", "attempts": 1, **held}})
    return last, running


def test_of_the_second_reason_there_is_a_sentence_and_nothing_is_said_twice(
    cli: Cli, manager: JobManager, jobs: Jobs
) -> None:
    last, running = wait_for_a_thread(manager, jobs)
    lines = cli("why", last).out.splitlines()
    assert "1 due job comes before it" in lines[0]
    assert lines[1].startswith("also: the only thread of the pool that runs its type is taken; job 'v1:")
    helps = "-> wait, or have more threads or pools, or give it a higher priority when it is created"
    assert lines[2:] == ["", helps], "no tables of the second, and its remedy is in that of the first"
    (behind, busy) = cli("why", last, "--json").json["reasons"]
    assert (behind["code"], busy["code"]) == ("behind", "busy")
    assert busy["facts"]["longest"][0]["id"] == running, "a program gets all"
    assert busy["remedy"]


@pytest.mark.parametrize("without_rich", [False, True], ids=["rich", "plain"])
def test_ids_in_tables_are_short_on_a_terminal_and_whole_in_a_pipe(
    cli: Cli, manager: JobManager, jobs: Jobs, without_rich: bool
) -> None:
    last, running = wait_for_a_thread(manager, jobs)
    jobs.update_one({"_id": last}, {"$set": {"priority": 9}})
    with cli.on_a_terminal("why", last, width=100, without_rich=without_rich) as terminal:
        assert terminal.end() == 0
    assert f"\n{running[:11]}… " in terminal.text
    assert running not in terminal.text
    assert last in terminal.text, "of the job itself there is all of it"
    assert f"\n{running} " in cli("why", last, without_rich=without_rich).out


def test_what_helps_names_the_manager_that_was_given(cli: Cli, manager: JobManager, database: str) -> None:
    id = manager.create("quick").id
    named = "tests.process.app:manager"
    answer = cli("why", id, "-m", named, JOBPOOL_DATABASE="", TEST_DATABASE=database)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == f"-> start one: jobpool worker {named}"


def test_json_has_codes_texts_remedies_and_facts(cli: Cli, manager: JobManager) -> None:
    id = manager.create("mail", delay=7200).id
    answer = cli("why", id, "--json")
    assert answer.code == 0
    assert set(answer.json) == {"id", "type", "state", "reasons", "at"}
    assert (answer.json["id"], answer.json["type"], answer.json["state"]) == (id, "mail", "pending")
    first, second = answer.json["reasons"]
    assert set(first) == set(second) == {"code", "text", "remedy", "facts"}
    assert (first["code"], second["code"]) == ("not_due", "no_executor")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["facts"]["run_at"])
    assert isinstance(first["facts"]["seconds"], float)
    several = cli("why", id, manager.create("sms").id, "--json")
    assert [line["type"] for line in several.lines] == ["mail", "sms"], "one a line"


def test_the_beginning_of_an_id_will_do_and_one_that_is_not_there_is_said(cli: Cli, manager: JobManager) -> None:
    id = manager.create("mail").id
    assert cli("why", id.removeprefix("v1:")[:8]).out.startswith(f"{id} (mail, pending): ")
    answer = cli("why", "nobody", id)
    assert answer.code == 4
    assert answer.err.startswith("jobpool: no job 'nobody' in ")
    assert answer.err.count("\n") == 1
    assert answer.out.strip().startswith(f"{id} (mail, pending): "), "of the others it tells"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("x", "--timeout", "1", "--uri", GONE), 3, "jobpool: "),
        ((), 2, "ID"),
        (("x", "--collection", "jbos"), 2, "there is no collection"),
        (("\x1b[2J",), 2, "id must not hold control characters"),
        (("a" * 600,), 2, "id must have 1 to 512 characters"),
    ],
    ids=["unreachable", "no_id", "no_collection", "control", "long"],
)
def test_what_cannot_be_answered_is_one_line(
    cli: Cli, manager: JobManager, arguments: tuple[str, ...], code: int, said: str
) -> None:
    manager.create("mail")
    answer = cli("why", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.err
    if code != 2 or arguments:
        assert answer.err.count("\n") == 1, answer.err


def test_foreign_texts_do_not_reach_the_terminal(cli: Cli, manager: JobManager, jobs: Jobs) -> None:
    manager.create("mail", id="j")
    jobs.update_one({}, {"$set": {"state": "failed", "error": {"type": "E\x1b[2J", "message": "a\nb\u202ec"}}})
    for answer in (cli("why", "j"), cli("why", "j", without_rich=True)):
        assert answer.code == 0
        assert "E\\x1b[2J: a b\\u202ec" in answer.out
        assert "\x1b" not in answer.out


@pytest.mark.parametrize("without_rich", [False, True], ids=["rich", "plain"])
def test_it_fits_a_narrow_terminal(cli: Cli, manager: JobManager, without_rich: bool) -> None:
    first = manager.create("mail", id="first")
    manager.create("mail", id="second", after=[first.id])
    with cli.on_a_terminal("why", "second", width=60, without_rich=without_rich) as terminal:
        assert terminal.end() == 0
    lines = terminal.text.splitlines()
    assert max(map(len, lines)) <= 60
    assert "jobpool why first" in lines[-2]
    assert ("\x1b[" in terminal.raw) is not without_rich
    with cli.on_a_terminal("why", "second", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert not re.search(r"\x1b\[[0-9;]*3\dm", terminal.raw)


def test_a_killed_worker_its_lease_and_its_end(
    cli: Cli, manager: JobManager, start_worker: StartWorker, jobs: Jobs
) -> None:
    """From a running job to one whose holder is silent, to a lost one, to one that failed."""
    id = manager.create("endless", 1).id
    worker = start_worker("--name", "mortal")
    worker.wait_for("began 1")
    until(manager.pools)

    def first() -> Any:
        return cli("why", id, "--json").json["reasons"][0]

    def until_code(code: str) -> Any:
        until(lambda: manager.why(id).code == code, code)
        return first()

    running = first()
    assert running["code"] == "running"
    assert running["facts"]["holder"]["pid"] == worker.process.pid
    worker.send(signal.SIGKILL)
    worker.process.wait()

    def let_pass(seconds: float) -> None:
        past = [{"$set": {"lease_until": {"$subtract": ["$lease_until", 1000 * seconds]}}}]
        jobs.update_one({"_id": id}, past)

    let_pass(20)
    gone = first()
    assert gone["code"] == "holder_gone", "by the word of its heartbeats, whatever it announced"
    assert f"process {worker.process.pid} runs it and has not been heard of for " in gone["text"]
    assert gone["facts"]["silent_seconds"] >= 20
    jobs.database[f"{jobs.name}.pools"].update_many({}, {"$set": {"fresh_until": datetime.now(UTC)}})
    let_pass(30)
    lost = first()
    assert lost["code"] == "lost"
    assert "no pool is alive that would take it back: it fails then with WorkerLost" in lost["text"]
    other = start_worker("--lease", "1")
    assert "WorkerLost: pool mortal let the lease expire" in until_code("failed")["text"]
    other.send(signal.SIGTERM)
    other.end()


def test_watching_tells_what_changes_until_the_end(
    cli: Cli, manager: JobManager, start_worker: StartWorker, tmp_path: Path
) -> None:
    id = manager.create("until_released", 1).id
    told: list[str] = []
    with cli.started("why", id, "--watch") as process:
        assert process.stdout is not None
        output = process.stdout

        def read() -> None:
            told.extend(line.decode() for line in output)

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda: any("no pool is alive" in line for line in told))
        worker = start_worker()
        until(lambda: any(": running: it runs" in line for line in told))
        (tmp_path / "release").touch()
        until(lambda: any(": succeeded: it succeeded" in line for line in told))
        assert process.wait(timeout=30) == 0
        reader.join()
    worker.send(signal.SIGTERM)
    worker.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_watching(cli: Cli, manager: JobManager, number: signal.Signals) -> None:
    with cli.started("why", manager.create("nobody").id, "--watch", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b'"no_executor"' in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == b"jobpool: interrupted\n"
