"""``jobpool tail`` as a process: what it shows, and that nothing is lost on the way."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager
from jobpool.cli.tail import LATE
from jobpool.embedded import EmbeddedMongo

from ..conftest import Jobs
from ..faults.proxy import FAIR, Proxy, Weather
from ..waiting import until
from .cli import GONE, Cli, Here

ERROR = {"type": "ValueError", "traceback": "", "attempt": 1}
HOSTILE = "\x1b[2J\u202e\r\n"


class Tail:
    """A ``tail`` that runs, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((process.stdout, self.out), (process.stderr, self.err))
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(pipe: Any, lines: list[str]) -> None:
        for line in pipe:
            lines.append(line.decode().rstrip("\n"))

    def until(self, part: str, where: Callable[[], list[str]] | None = None) -> None:
        """Wait until a line of its output, or of what `where` returns, has that part."""
        lines = where or (lambda: self.out)
        until(lambda: any(part in line for line in list(lines())), f"{part} in {self.out[-3:]} {self.err[-3:]}")

    def said(self, part: str) -> None:
        """Wait until it says that on stderr."""
        self.until(part, lambda: self.err)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        """Wait for its end; return its exit code."""
        code = self.process.wait(timeout=60)
        for thread in self._threads:
            thread.join(10)
        return code

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Kinds and ids, of a tail that prints JSON."""
        return [(change["kind"], change["id"]) for change in map(json.loads, self.out)]


@contextmanager
def tailing(cli: Cli, *arguments: str) -> Iterator[Tail]:
    """Run ``tail``; the block begins when it watches."""
    with cli.started("tail", *arguments) as process:
        tail = Tail(process)
        tail.said("watching")
        yield tail


def test_what_happens_is_shown_a_line_each_until_ctrl_c(cli: Cli, manager: JobManager) -> None:
    with tailing(cli) as tail:
        manager.create("mail", {"to": "ann"}, id="one", delay=100)
        manager.cancel("one")
        manager.remove("one")
        tail.until("removed")
        assert tail.interrupt() == 130
    assert [line.split()[1:4] for line in tail.out] == [
        ["created", "mail", "one"],
        ["cancelled", "mail", "one"],
        ["removed", "mail", "one"],
    ]
    assert "due in 1m 40s" in tail.out[0]
    assert len(tail.err) == 1  # it ends quietly


def test_changes_are_printed_as_json(cli: Cli, manager: JobManager, jobs: Jobs) -> None:
    with tailing(cli, "--json", "--data", "--progress") as tail:
        manager.create("mail", {"to": "ann"}, id="one")
        progress = {"done": 1, "total": 2, "note": "half"}
        jobs.update_one({"_id": "one"}, {"$set": {"state": "running", "attempts": 1, "pool": "p"}})
        jobs.update_one({"_id": "one"}, {"$set": {"progress": progress}})
        jobs.update_one({"_id": "one"}, {"$set": {"state": "failed", "error": {**ERROR, "message": HOSTILE}}})
        tail.until('"kind": "failed"')
        assert tail.interrupt() == 130
    changes = [json.loads(line) for line in tail.out]
    assert [change["kind"] for change in changes] == ["created", "started", "progress", "failed"]
    assert changes[0].keys() == {
        *("kind", "id", "at", "type", "state", "pool", "attempt", "seconds", "run_at", "error", "reason"),
        *("progress", "data"),
    }
    assert {change["data"]["to"] for change in changes} == {"ann"}
    assert (changes[1]["pool"], changes[1]["attempt"], changes[1]["state"]) == ("p", 1, "running")
    assert changes[2]["progress"]["note"] == "half"
    assert changes[3]["error"]["message"] == HOSTILE


def test_it_can_begin_with_what_changed_last(cli: Cli, manager: JobManager) -> None:
    for number in range(5):
        manager.create("x" if number else "y", id=f"{number}")
    with tailing(cli, "-n", "3", "--json") as tail:
        manager.create("x", id="new")
        tail.until('"new"')
        assert tail.interrupt() == 130
    assert tail.changes == [("created", "2"), ("created", "3"), ("created", "4"), ("created", "new")]


def test_jobs_are_chosen_by_type_state_and_id(cli: Cli, manager: JobManager) -> None:
    manager.create("x", id="v1:" + "a" * 64)
    with (
        tailing(cli, "--json", "--type", "x", "--state", "cancelled") as some,
        tailing(cli, "--json", "v1:aaaaaaaa") as one,
    ):
        for id, type in (("1", "x"), ("2", "y")):
            manager.create(type, id=id)
            manager.cancel(id)
        manager.cancel("v1:" + "a" * 64)
        some.until("aaa")
        one.until("aaa")
        assert (some.interrupt(), one.interrupt()) == (130, 130)
    assert some.changes == [("cancelled", "1"), ("cancelled", "v1:" + "a" * 64)]
    assert one.changes == [("cancelled", "v1:" + "a" * 64)]


@pytest.mark.parametrize("without_rich", [False, True], ids=["rich", "plain"])
def test_a_line_fits_a_terminal_and_moves_no_cursor(cli: Cli, manager: JobManager, without_rich: bool) -> None:
    with cli.on_a_terminal("tail", "--data", width=60, without_rich=without_rich) as terminal:
        terminal.read_until("watching")
        manager.create("mail", f"{HOSTILE}{'x' * 200}", id="i" * 100)
        manager.cancel("i" * 100)
        terminal.read_until("cancelled")
        terminal.type("\x03")
        assert terminal.end() == 130
    shown = terminal.text.replace("^C", "")
    lines = [line for line in shown.splitlines() if "created" in line or "cancelled" in line]
    assert len(lines) == 2
    assert max(map(len, lines)) <= 60
    assert "\x1b[2J" not in terminal.raw
    assert ("\x1b[36mcreated" in terminal.raw) is not without_rich


def test_a_mongodb_that_goes_and_comes_again_loses_no_change(cli: Cli, manager: JobManager, proxy: Proxy) -> None:
    with tailing(cli, "--json", "--uri", proxy.uri, "--timeout", "1") as tail:
        manager.create("x", id="before")
        tail.until('"before"')
        proxy.weather = Weather(hole=True)
        tail.said("does not answer, waiting for it")
        for number in range(50):
            manager.create("x", id=f"{number}")
        proxy.cut()
        proxy.weather = FAIR
        tail.said("answers again")
        manager.create("x", id="after")
        tail.until('"after"')
        assert tail.interrupt() == 130
    assert [id for _, id in tail.changes] == ["before", *(f"{number}" for number in range(50)), "after"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_while_it_waits_for_mongodb(
    cli: Cli, manager: JobManager, proxy: Proxy, number: signal.Signals
) -> None:
    with tailing(cli, "--uri", proxy.uri, "--timeout", "1") as tail:
        proxy.weather = Weather(hole=True)
        tail.said("does not answer")
        assert tail.interrupt(number) == 130
    assert len(tail.err) == 2  # it ends quietly


def test_sigterm_closes_the_stream(cli: Cli, manager: JobManager, client: MongoClient[dict[str, Any]]) -> None:
    def watched() -> int:
        mine = {"ns": manager.store.name, "cursor.tailable": True}
        some: list[dict[str, Any]] = [{"$currentOp": {"idleCursors": True}}, {"$match": mine}]
        return len(client.admin.aggregate(some).to_list())

    with tailing(cli) as tail:
        until(lambda: watched() == 1, "the stream")
        assert tail.interrupt(signal.SIGTERM) == 130
        until(lambda: watched() == 0, "its end")


def test_a_dropped_collection_ends_it_with_a_reason(cli: Cli, manager: JobManager, jobs: Jobs) -> None:
    with tailing(cli) as tail:
        jobs.drop()
        assert tail.end() == 1
    assert tail.err[-1] == "jobpool: the change stream has ended: the collection was dropped or renamed"


def test_a_standalone_server_is_refused_with_the_remedy(here: Here) -> None:
    with EmbeddedMongo(replicated=False) as server:
        with JobManager("alone", uri=server.uri) as manager:
            manager.create("x")
        answer = here("tail", "--uri", server.uri, "-d", "alone")
    assert (answer.code, answer.out) == (1, "")
    assert "replSet" in answer.err.splitlines()[-1]


def test_who_reads_too_slowly_hears_what_was_left_out(cli: Cli, manager: JobManager) -> None:
    with cli.started("tail", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"watching" in process.stderr.readline()
        # The pipe takes some hundred lines; behind it, `tail` waits for its reader.
        manager.create_many([{"type": "x", "data": n, "id": f"{n}"} for n in range(10_000)])
        read = process.stdout.fileno()
        newest = manager.find(limit=1)[0].created_at
        store = manager.store
        until(lambda: (store.clock.now() - newest).total_seconds() > LATE + 1, "changes that are some seconds old")
        lines = b""
        while b"left out" not in lines:
            ready, _, _ = select.select([read, process.stderr.fileno()], [], [], 30)
            assert ready, "it says nothing more"
            for file in ready:
                lines += os.read(file, 1 << 16)
        manager.create("x", id="after")
        while b'"after"' not in lines:
            lines += os.read(read, 1 << 16)
        process.send_signal(signal.SIGINT)
        process.stdout.close()
        process.stderr.close()
        assert process.wait(timeout=60) in (0, 130)
    assert 0 < lines.count(b'"created"') < 10_001


def test_everything_can_be_asked_for(cli: Cli, manager: JobManager) -> None:
    with tailing(cli, "--all", "--json") as tail:
        manager.create_many([{"type": "x", "data": n, "id": f"{n}"} for n in range(10_000)])
        until(lambda: len(tail.out) == 10_000, "all of them")
        assert tail.interrupt() == 130
    assert [id for _, id in tail.changes] == [f"{n}" for n in range(10_000)]


@pytest.mark.parametrize("arguments", ["-n many", "--state nonsense", "--type "], ids=["last", "state", "type"])
def test_nonsense_is_a_usage_error_in_one_line(here: Here, manager: JobManager, arguments: str) -> None:
    answer = here("tail", *arguments.split(" "))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1


def test_without_mongodb_it_says_so_in_one_line(here: Here) -> None:
    uri = GONE
    answer = here("tail", "--uri", uri, "--timeout", "1")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.count("\n") == 1
