"""Child processes of isolated executors: what they run, how they end, and what is left of them."""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from jobpool.errors import InvalidJob, PoolStateError, ProcessDied
from jobpool.pool.children import Children
from jobpool.signals import Retry, Snooze

from ..waiting import PATIENCE, until
from . import isolated

CREATED = datetime(2026, 1, 2, tzinfo=UTC)
FACTS = {"id": "a", "type": "t", "attempt": 2, "fence": 3, "created_at": CREATED, "pool": "p"}


def never() -> None:
    return None


class Run(Protocol):
    def __call__(
        self,
        fn: Callable[[Any], Any],
        data: Any = ...,
        *,
        limit: float | None = ...,
        told: Callable[[], BaseException | None] = ...,
    ) -> Any: ...


def runner(children: Children) -> Run:
    def run(
        fn: Callable[[Any], Any],
        data: Any = None,
        *,
        limit: float | None = None,
        told: Callable[[], BaseException | None] = never,
    ) -> Any:
        return children.run(fn, data, facts=FACTS, limit=limit, told=told)

    return run


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children("unit")
    yield children
    children.close(PATIENCE)


@pytest.fixture
def run(children: Children) -> Run:
    return runner(children)


@pytest.fixture(scope="module")
def shared() -> Iterator[Children]:
    """For what leaves its child alive."""
    children = Children("shared")
    yield children
    children.close(PATIENCE)


@pytest.fixture
def quick(shared: Children) -> Run:
    return runner(shared)


def is_gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"  # of whoever has adopted it


def read_when_there(path: Path) -> list[int]:
    until(path.exists, str(path))
    return [int(word) for word in path.read_text().split()]


# --- what runs ----------------------------------------------------------------------------


def test_a_result_comes_back(quick: Run) -> None:
    data = {"a": [1, 2.5, None, CREATED], "b": b"\0"}
    assert quick(isolated.echo, data) == data


def test_much_data_comes_back(quick: Run) -> None:
    assert quick(isolated.echo, b"x" * 12_000_000) == b"x" * 12_000_000


def test_a_coroutine_is_run_to_its_end(quick: Run) -> None:
    assert quick(isolated.echo_later, 5) == [5, "a"]


def test_a_child_is_kept_for_the_next_job(children: Children, run: Run) -> None:
    assert [run(isolated.count) for _ in range(3)] == [1, 2, 3]
    assert len(children.pids) == 1


def test_a_child_runs_no_more_jobs_than_it_may() -> None:
    children = Children("few", max_tasks=2)
    assert [runner(children)(isolated.count) for _ in range(5)] == [1, 2, 1, 2, 1]
    children.close(PATIENCE)


def test_as_many_children_as_threads_run_at_once(children: Children, run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(3)]
    with ThreadPoolExecutor(3) as threads:
        runs = [threads.submit(run, isolated.hang_in, str(path)) for path in paths]
        pids = {read_when_there(path)[0] for path in paths}
        assert pids == set(children.pids)
        assert len(pids) == 3
        children.close(PATIENCE)
        assert {type(one.exception(PATIENCE)) for one in runs} == {ProcessDied}


def test_the_job_in_hand_is_shown(quick: Run) -> None:
    seen = quick(isolated.whoami, 5)
    assert seen["pid"] != os.getpid()
    assert seen["group"] == seen["pid"]
    assert seen["job"] == ("a", "t", 2, 3, CREATED, 5, False)
    assert seen["fields"] == {"job_id": "a", "job_type": "t", "pool": "p", "attempt": 2}


def test_what_a_child_cannot_do_is_refused_clearly(quick: Run) -> None:
    with pytest.raises(PoolStateError, match="in a child process cannot report"):
        quick(isolated.report)


def test_a_child_inherits_no_sockets_and_no_files(children: Children, run: Run, tmp_path: Path) -> None:
    with socket.socket() as ours, open(tmp_path / "ours", "w") as file:
        ours.bind(("127.0.0.1", 0))
        os.set_inheritable(file.fileno(), True)
        theirs = run(isolated.open_files)
        ours_too = os.readlink(f"/proc/self/fd/{ours.fileno()}")
    assert ours_too not in theirs
    assert str(tmp_path / "ours") not in theirs
    assert sum(name.startswith("socket:") for name in theirs) == 1  # its line


def test_an_executor_may_use_multiprocessing(quick: Run) -> None:
    assert quick(isolated.with_a_pool_of_its_own, [-1, 2]) == [1, 2]


def test_a_process_that_an_executor_forks_can_be_terminated(quick: Run) -> None:
    assert quick(isolated.terminate_a_fork) == signal.SIGTERM


def test_signals_to_a_whole_group_end_neither_the_child_nor_are_they_lost_on_its_programs(quick: Run) -> None:
    assert quick(isolated.signal_itself) == "True"


def test_warnings_go_to_stderr_with_the_job(
    children: Children, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    run(isolated.warn)
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" WARNING ")[2] for line in lines] == [
        "shop: of the shop [job 'a']",
        "jobpool.job: of the job [job 'a']",
    ]


# --- what fails ---------------------------------------------------------------------------


def test_an_exception_comes_with_the_childs_traceback(quick: Run) -> None:
    with pytest.raises(ValueError, match=r"^no 5$") as caught:
        quick(isolated.fail, 5)
    cause = str(caught.value.__cause__)
    assert "KeyError: 'inner'" in cause
    assert 'isolated.py", line' in cause
    assert "jobpool/child" not in cause


@pytest.mark.parametrize(
    ("fn", "kind", "text"),
    [
        (isolated.fail_with_two, isolated.TwoArguments, "7: because"),
        (isolated.exit_as_a_program, SystemExit, "5"),
        (isolated.fail_with_a_lock, RuntimeError, "ValueError: has a lock"),
        (isolated.fail_with_a_local_class, RuntimeError, "Local: unknown elsewhere"),
        (isolated.fail_hostile, RuntimeError, "Hostile: <no message: str() raised RuntimeError>"),
        (isolated.return_a_lock, TypeError, "cannot pickle '_thread.lock' object"),
    ],
)
def test_whatever_is_raised_arrives_and_the_child_lives_on(
    quick: Run, fn: Callable[[Any], Any], kind: type[BaseException], text: str
) -> None:
    before = quick(isolated.whoami)["pid"]
    with pytest.raises(kind) as caught:
        quick(fn)
    assert str(caught.value) == text
    assert quick(isolated.whoami)["pid"] == before


def test_what_an_executor_raises_to_steer_its_job_arrives_whole(quick: Run) -> None:
    with pytest.raises(Retry, match="later") as retry:
        quick(functools.partial(isolated.raise_retry, "later"), 7.5)
    with pytest.raises(Snooze) as snooze:
        quick(isolated.raise_snooze, 60.0)
    assert (retry.value.after, snooze.value.seconds, snooze.value.until) == (7.5, 60.0, None)


def test_a_result_longer_than_any_is_refused_in_the_child(quick: Run) -> None:
    with pytest.raises(InvalidJob, match="over the limit"):
        quick(isolated.return_much, 65 * 1024 * 1024)


def test_a_result_whose_class_is_not_here_fails_its_job_only(quick: Run) -> None:
    with pytest.raises(AttributeError, match="only_there"):
        quick(isolated.return_what_is_only_there)
    assert quick(isolated.echo, 1) == 1


def test_a_function_that_the_child_does_not_find_fails_its_job_only(
    quick: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def invented(data: Any) -> None: ...

    invented.__module__, invented.__qualname__ = isolated.__name__, "invented"
    monkeypatch.setattr(isolated, "invented", invented, raising=False)
    with pytest.raises(AttributeError, match="invented"):
        quick(invented)
    assert quick(isolated.echo, 1) == 1


# --- what dies ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "data", "how"),
    [
        (isolated.leave, 3, "ended with exit code 3"),
        (isolated.leave, 0, "ended with exit code 0"),
        (isolated.segfault, None, "was ended by SIGSEGV"),
        (isolated.crash, signal.SIGKILL, "was ended by SIGKILL (as when memory runs out)"),
        (isolated.crash, signal.SIGTERM, "was ended by SIGTERM"),
    ],
)
def test_a_dead_child_costs_its_own_job_only(run: Run, fn: Callable[[Any], Any], data: Any, how: str) -> None:
    with pytest.raises(ProcessDied) as caught:
        run(fn, data)
    assert str(caught.value) == f"job 'a': its child process {how}"
    assert run(isolated.echo, 1) == 1


def test_a_death_disturbs_no_other_child(children: Children, run: Run, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(run, isolated.wait_for, str(tmp_path / "go on"))
        until(lambda: len(children.pids) == 1)
        for _ in range(2):
            with pytest.raises(ProcessDied):
                run(isolated.leave, 3)
        (tmp_path / "go on").touch()
        assert other.result(PATIENCE) == "went on"


def test_a_child_that_died_while_idle_costs_no_job(children: Children, run: Run) -> None:
    pid = run(isolated.whoami)["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: children._idle[0].exitcode is not None)
    assert run(isolated.whoami)["pid"] != pid


def test_a_death_is_seen_while_what_it_forked_lives_and_that_is_ended(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ProcessDied, match="exit code 4"):
        run(isolated.fork_and_die, str(tmp_path / "pid"))
    (forked,) = read_when_there(tmp_path / "pid")
    until(lambda: is_gone(forked))
    assert run(isolated.echo, 1) == 1


# --- what is killed -----------------------------------------------------------------------


def test_a_job_that_is_told_to_end_is_killed_with_all_it_started(run: Run, tmp_path: Path) -> None:
    path, word = tmp_path / "pids", KeyError("cancelled")
    with pytest.raises(KeyError) as caught:
        run(isolated.hang_in, str(path), told=lambda: word if path.exists() else None)
    assert caught.value is word
    child, started = read_when_there(path)
    assert is_gone(child)
    until(lambda: is_gone(started))
    assert run(isolated.whoami)["pid"] != child


def test_pure_computing_is_killed_as_well(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "began"
    with pytest.raises(KeyError):
        run(isolated.spin, str(path), told=lambda: KeyError("enough") if path.exists() else None)
    assert run(isolated.echo, 1) == 1


def test_a_limit_ends_a_job(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"not done after 0\.2 s"):
        run(isolated.spin, str(tmp_path / "began"), limit=0.2)


def test_a_frozen_child_is_killed_though_it_does_not_read(children: Children, run: Run) -> None:
    """More data than the line holds: a sender that waits for the child would not hear the word to end."""
    pid = run(isolated.whoami)["pid"]
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        run(isolated.echo, b"x" * 10_000_000, limit=0.2)
    assert is_gone(pid)


def test_a_child_that_never_gets_ready_ends_as_told(children: Children, run: Run) -> None:
    with pytest.raises(KeyError):
        run(isolated.echo, told=lambda: KeyError("at once"))
    assert children.pids == []


def test_close_ends_idle_children_as_programs_end(run: Run, children: Children, tmp_path: Path) -> None:
    pid = run(isolated.note_the_exit, str(tmp_path / "left"))
    children.close(PATIENCE)
    assert (tmp_path / "left").exists(), "its atexit ran"
    assert is_gone(pid)
    with pytest.raises(PoolStateError, match="closed"):
        run(isolated.echo)
    children.close(0)


def test_close_kills_idle_children_that_do_not_end(run: Run, children: Children) -> None:
    pid = run(isolated.leave_a_thread)
    children.close(0.3)
    assert is_gone(pid)


def test_close_kills_busy_children(run: Run, children: Children, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(run, isolated.hang_in, str(path))
        child, _ = read_when_there(path)
        children.close(PATIENCE)
        assert is_gone(child)
        with pytest.raises(ProcessDied, match="because its pool stopped"):
            busy.result(PATIENCE)
    assert children.pids == []


def test_a_fork_ends_no_children_of_its_parent(run: Run, children: Children) -> None:
    pid = run(isolated.whoami)["pid"]
    forked = os.fork()
    if forked == 0:
        try:
            children.close(0)
        finally:
            os._exit(0)
    os.waitpid(forked, 0)
    assert run(isolated.whoami)["pid"] == pid


# --- what is left -------------------------------------------------------------------------


def held_resources() -> tuple[int, set[threading.Thread], set[str]]:
    """Return how many descriptors this process has, its threads, and its children, dead or alive."""
    kin = {
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and parent_of(entry) == str(os.getpid())
    }
    return len(os.listdir("/proc/self/fd")), set(threading.enumerate()), kin


def parent_of(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_two_hundred_killed_children_leave_nothing_behind(run: Run, tmp_path: Path) -> None:
    """Some while they run, most while they start, which is where a leak would be."""
    run(isolated.echo)  # starts what multiprocessing keeps
    with pytest.raises(ProcessDied):
        run(isolated.leave, 1)
    descriptors, threads, kin = held_resources()

    def kill_one(number: int) -> None:
        path = tmp_path / str(number)
        reached = path.exists if number % 10 == 0 else lambda: True
        with pytest.raises(KeyError):
            run(isolated.spin, str(path), told=lambda: KeyError("now") if reached() else None)

    with ThreadPoolExecutor(4) as killers:
        list(killers.map(kill_one, range(200)))
    # Less is no fault: what earlier tests closed may end meanwhile.
    descriptors_now, threads_now, kin_now = held_resources()
    assert descriptors_now <= descriptors
    assert threads_now <= threads
    assert kin_now <= kin
