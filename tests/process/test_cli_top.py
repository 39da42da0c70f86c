"""``jobpool top``: on a terminal, in a pipe, and with a MongoDB that goes and comes back."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobpool import JobManager, WorkerPool, current_job
from jobpool.embedded import EmbeddedMongo

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy, Weather
from ..waiting import until
from .cli import Cli

#: Into the other screen, and back; the cursor is shown again.
ENTER, LEAVE, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
KEYS = {
    *(
        "collection",
        "at",
        "server",
        "replica_set",
        "members",
        "unreachable",
        "documents",
        "pools_alive",
        "threads",
        "busy",
        "rates",
    ),
    *("counted_at", "types", "pools", "running", "failures", "paused", "trouble", "trouble_since", "uncounted"),
}


@pytest.fixture
def busy(make_manager: MakeManager) -> Iterator[JobManager]:
    """A pool that runs a job, jobs that wait, and one that failed."""
    go_on = threading.Event()

    def hold(data: Any) -> None:
        current_job().progress(1, 4)
        go_on.wait(60)

    def fail(data: Any) -> None:
        raise LookupError(f"no {data} \x1b[2J")

    manager = make_manager(executors={"render": hold, "bad": fail})
    manager.create("bad", 1)
    manager.run_all("bad")
    with WorkerPool(manager, ["render"], threads=2, name="studio"):
        manager.create("render", 1, id="long")
        until(lambda: manager.get("long").progress)
        until(manager.pools)
        manager.create_many({"type": "mail", "data": n} for n in range(1200))
        yield manager
        go_on.set()


def restored(raw: str) -> bool:
    """Say whether the terminal is left as it was found: the first screen, with a cursor."""
    return raw.rfind(LEAVE) > raw.rfind(ENTER) >= 0 and raw.rfind(CURSOR) > raw.rfind("\x1b[?25l")


def test_one_look_in_a_pipe_is_plain(cli: Cli, busy: JobManager) -> None:
    answer = cli("top", "--once")
    assert (answer.code, answer.err) == (0, "")
    assert "\x1b" not in answer.out
    rows = {row[0]: row for row in answer.rows if row}
    assert rows["mail"][1] == "1,200"
    assert rows["studio"][1:3] == ["1", "2"]
    assert rows["long"][2:4] == ["render", "25%"]
    assert rows["LookupError"][2:] == ["bad", "1", "no", "1", "\\x1b[2J"]
    assert "1 pool  1 of 2 threads busy  1,202 jobs" in answer.out


def test_one_look_as_json(cli: Cli, busy: JobManager) -> None:
    (found,) = cli("top", "--once", "--json").lines
    assert set(found) == KEYS
    assert (found["documents"], found["busy"], found["threads"], found["trouble"]) == (1202, 1, 2, None)
    assert set(found["rates"]) == {
        *("seconds", "growth", "ended", "failed", "backlog", "created", "removed", "started"),
    }
    assert (found["rates"]["created"], found["rates"]["started"] >= 0) == (None, True)
    assert [(one["silent"], one["heard_ago"] >= 0, one["started"] >= 0) for one in found["pools"]] == [
        (False, True, True)
    ]
    assert {one["type"]: one["due"] for one in found["types"]} == {"bad": 0, "mail": 1200, "render": 0}
    assert [(one["id"], one["pool"]) for one in found["running"]] == [("long", "studio")]
    assert [(one["type"], one["error"], one["jobs"]) for one in found["failures"]] == [("bad", "LookupError", 1)]


def test_in_a_pipe_frames_follow_each_other_until_a_signal(cli: Cli, manager: JobManager) -> None:
    manager.create_many({"type": "mail", "data": n} for n in range(3))
    with cli.started("top", "--json", "--every", "0.2") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        manager.create_many({"type": "mail", "data": n} for n in range(3, 103))
        frames = (json.loads(line) for line in process.stdout)
        grown = next(frame for frame in frames if frame["documents"] == 103)
        while not grown["rates"]["backlog"]:
            grown = next(frames)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 130
    assert (first["documents"], first["rates"]["growth"]) == (3, None)
    assert grown["rates"]["backlog"] > 0
    assert {one["type"]: one["due"] for one in grown["types"]} == {"mail": 103}


def test_what_is_created_and_removed_is_told_apart(cli: Cli, manager: JobManager) -> None:
    manager.create_many({"type": "mail", "data": n} for n in range(100))
    with cli.started("top", "--json", "--every", "0.2") as process:
        assert process.stdout is not None
        frames = (json.loads(line) for line in process.stdout)
        assert next(frames)["documents"] == 100
        manager.create_many({"type": "mail", "data": n} for n in range(50, 150))
        assert manager.remove_many(type="mail") == 150
        created = removed = 0
        while removed < 150:
            frame = next(frames)
            created += round(frame["rates"]["created"] * frame["rates"]["seconds"])
            removed += round(frame["rates"]["removed"] * frame["rates"]["seconds"])
        process.kill()
    assert (created, removed) == (50, 150)


def test_who_has_read_enough_ends_it_quietly(cli: Cli, manager: JobManager) -> None:
    with cli.started("top", "--every", "0.1") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_on_a_terminal_it_takes_the_screen_and_gives_it_back(cli: Cli, busy: JobManager) -> None:
    with cli.on_a_terminal("top", "--every", "0.2", width=100, height=40) as terminal:
        before = terminal.attributes()
        terminal.read_until("q quit")
        assert ENTER in terminal.raw
        assert "LookupError" in terminal.text
        assert "mail" in terminal.text
        busy.create("newcomer")
        terminal.read_until("newcomer")
        busy.pause("mail", reason="a strike")
        terminal.read_until("PAUSED: mail")
        assert terminal.attributes() != before
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.attributes() == before
    assert restored(terminal.raw)
    assert "\x1b[2J" not in terminal.text


def test_keys_sort_freeze_and_help(cli: Cli, busy: JobManager) -> None:
    with cli.on_a_terminal("top", "--every", "0.2", width=100, height=40) as terminal:
        terminal.read_until("sorted by due")
        terminal.type("s")
        terminal.read_until("sorted by oldest")
        terminal.type("p")
        terminal.read_until("FROZEN")
        frames = len(terminal.raw)
        busy.create("newcomer")
        terminal.type("?")
        terminal.read_until("any key ends this help")
        terminal.type("x")
        terminal.read_until("FROZEN", terminal.text.count("FROZEN") + 1)
        assert "newcomer" not in terminal.raw[frames:]
        terminal.type("p")
        terminal.read_until("newcomer")
        terminal.type("q")
        assert terminal.end() == 0


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (None, 130)],
    ids=["SIGINT", "SIGTERM", "Ctrl-C"],
)
def test_a_signal_ends_it_and_restores_the_terminal(
    cli: Cli, busy: JobManager, number: signal.Signals | None, code: int
) -> None:
    with cli.on_a_terminal("top") as terminal:
        before = terminal.attributes()
        terminal.read_until("q quit")
        if number is None:
            terminal.type("\x03")
        else:
            terminal.send(number)
        assert terminal.end() == code
        assert terminal.attributes() == before
    assert restored(terminal.raw)
    assert "Traceback" not in terminal.text


def test_an_unforeseen_error_restores_the_terminal(cli: Cli, busy: JobManager, tmp_path: Path) -> None:
    """Whatever goes wrong in the drawing."""
    (tmp_path / "sitecustomize.py").write_text(
        "import jobpool.cli.live.drawing as drawing\n"
        "def broken(*_, **__): raise ZeroDivisionError('drawn wrongly')\n"
        "drawing.fitted = broken\n"
    )
    path = f"{tmp_path}:{cli.environment['PYTHONPATH']}"
    with cli.on_a_terminal("top", PYTHONPATH=path) as terminal:
        before = terminal.attributes()
        assert terminal.end() == 1
        assert terminal.attributes() == before
    assert "drawn wrongly" in terminal.text
    assert restored(terminal.raw)


def test_ctrl_z_gives_the_terminal_back_as_long_as_it_sleeps(cli: Cli, busy: JobManager) -> None:
    """Here no shell waits for it, so that it wakes at once."""
    with cli.on_a_terminal("top", "--every", "0.2") as terminal:
        before = terminal.attributes()
        terminal.read_until("q quit")
        taken = terminal.attributes()
        terminal.type("\x1a")
        until(lambda: terminal._read(0.1) and terminal.raw.count(ENTER) == 2)
        left, taken_again = terminal.raw.find(LEAVE), terminal.raw.rfind(ENTER)
        assert 0 < left < taken_again
        terminal.read_until("q quit", terminal.text.count("q quit") + 1)
        assert terminal.attributes() == taken != before
        terminal.type("q")
        assert terminal.end() == 0
        assert terminal.attributes() == before
    assert restored(terminal.raw)


def test_it_fits_windows_of_any_size(cli: Cli, busy: JobManager) -> None:
    busy.create_many({"type": f"type.{n}" * 8} for n in range(50))
    with cli.on_a_terminal("top", "--every", "0.2", width=60, height=20) as terminal:
        terminal.read_until("sorted by")
        small = terminal.text
        assert "RUNS LONGEST" in small
        terminal.resize(120, 50)
        terminal.read_until("type.11type")
        terminal.resize(20, 1)
        seen = terminal.raw.count("\x1b[H")
        until(lambda: terminal._read(0.1) and terminal.raw.count("\x1b[H") > seen + 2)
        terminal.resize(20, 4)
        seen = terminal.text.count("q quit")
        terminal.read_until("q quit", seen + 2)
        terminal.type("q")
        assert terminal.end() == 0
    assert max(len(line.rstrip()) for line in small.splitlines()) <= 60


def test_without_rich_frames_follow_each_other(cli: Cli, busy: JobManager) -> None:
    with cli.on_a_terminal("top", "--every", "0.2", without_rich=True, width=60) as terminal:
        terminal.read_until("threads busy", 2)
        terminal.type("\x03")
        assert terminal.end() == 130
    assert "\x1b" not in terminal.raw
    assert max(map(len, terminal.text.splitlines())) <= 62  # the longest part of a line is that long


def test_on_a_dumb_terminal_frames_follow_each_other(cli: Cli, busy: JobManager) -> None:
    with cli.on_a_terminal("top", "--every", "0.2", width=100, TERM="dumb") as terminal:
        terminal.read_until("threads busy", 2)
        terminal.type("\x03")
        assert terminal.end() == 130
    assert ENTER not in terminal.raw


def test_the_view_stays_while_mongodb_is_away_and_goes_on(
    server: EmbeddedMongo, database: str, tmp_path: Path, busy: JobManager, proxy: Proxy
) -> None:
    cli = Cli(f"{proxy.uri}&serverSelectionTimeoutMS=500", database, tmp_path)
    with cli.on_a_terminal("top", "--every", "0.2", "--timeout", "1", width=140, height=40) as terminal:
        terminal.read_until("1,202 jobs")
        proxy.weather = Weather(hole=True)
        terminal.read_until("NO ANSWER for")
        assert "1,202 jobs" in terminal.text[terminal.text.rfind("threads busy") - 60 :]
        proxy.forgive()
        busy.create("newcomer")
        terminal.read_until("newcomer")
        proxy.weather = Weather(hole=True)
        seen = terminal.text.count("NO ANSWER for")
        terminal.read_until("NO ANSWER for", seen + 1)
        terminal.type("q")  # nobody waits for it
        assert terminal.end(10) == 0
        proxy.forgive()
    assert restored(terminal.raw)


def test_frames_in_a_pipe_tell_of_a_mongodb_that_is_away(
    server: EmbeddedMongo, database: str, tmp_path: Path, manager: JobManager, proxy: Proxy
) -> None:
    manager.create("mail")
    cli = Cli(f"{proxy.uri}&serverSelectionTimeoutMS=300", database, tmp_path)
    with cli.started("top", "--json", "--every", "0.2", "--timeout", "0.5") as process:
        assert process.stdout is not None
        frames = (json.loads(line) for line in process.stdout)
        assert next(frames)["trouble"] is None
        proxy.weather = Weather(hole=True)
        away = next(frame for frame in frames if frame["trouble"])
        proxy.forgive()
        back = next(frame for frame in frames if not frame["trouble"])
        process.kill()
    assert away["documents"] == 1
    assert datetime.fromisoformat(away["trouble_since"]) <= datetime.now(UTC)
    assert back["at"] > away["at"]


def test_counting_that_takes_too_long_is_told_and_the_rest_goes_on(cli: Cli, busy: JobManager, jobs: Jobs) -> None:
    """As where tens of millions of jobs are due: here the index that is counted is not there."""
    jobs.drop_index("jobpool_waiting")
    (found,) = cli("top", "--once", "--json").lines
    assert found["types"] is None
    assert "an index of jobpool is missing" in found["uncounted"]
    assert (found["documents"], len(found["running"]), found["trouble"]) == (1202, 1, None)


@pytest.mark.parametrize("every", ["0", "0.05", "nonsense", "-1"])
def test_nonsense_intervals_are_refused(cli: Cli, every: str) -> None:
    answer = cli("top", "--every", every)
    assert (answer.code, answer.out) == (2, "")
    assert "--every" in answer.err
