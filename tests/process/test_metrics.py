"""``jobpool metrics``: the cluster view without a pool."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from jobpool import JobManager
from jobpool.embedded import EmbeddedMongo

from ..waiting import PATIENCE, until
from .cli import GONE


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobpool", "metrics", *arguments]


@pytest.fixture
def shop(manager: JobManager) -> str:
    """The name of a database with three jobs."""
    manager.create_many({"type": "resize", "data": n} for n in range(3))
    return manager.store.name.partition(".")[0]


def test_it_prints_one_exposition(server: EmbeddedMongo, shop: str) -> None:
    done = subprocess.run(command(shop, "--uri", server.uri), capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'jobpool_backlog_jobs{state="due",type="resize"} 3.0' in done.stdout
    assert "jobpool_pools_alive 0.0" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name the database"),
        (("x", "--uri", "nonsense"), 2, "a MongoDB URI begins with"),
        (("x", "--every", "0"), 2, "--every"),
        (("x", "--uri", GONE), 3, "127.0.0.1:9"),
        (("a b", "--uri", "mongodb://127.0.0.1:9"), 2, "cannot name a collection"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line(arguments: tuple[str, ...], code: int, message: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBPOOL_")}
    done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.fixture
def exporter(server: EmbeddedMongo, shop: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves the view of the database's jobs, and its address."""
    arguments = ("--uri", server.uri, "--serve", "0", "--every", "0.2")
    with subprocess.Popen(command(shop, *arguments), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            yield process, line.partition(" on ")[2].partition("/metrics")[0]
        finally:
            process.kill()


def test_it_serves_what_changes_until_it_is_told_to_end(
    manager: JobManager, exporter: tuple[subprocess.Popen[str], str]
) -> None:
    process, url = exporter
    assert url.startswith("http://127.0.0.1:")
    manager.create("resize", "one more")
    until(lambda: b'jobpool_backlog_jobs{state="due",type="resize"} 4.0' in urlopen(f"{url}/metrics").read())
    for path in ("healthz", "readyz"):
        assert urlopen(f"{url}/{path}").status == 200
    told = json.loads(urlopen(f"{url}/backlog?type=resize&threads=2").read())
    assert (told["due"], told["suggested_pools"], told["pools_alive"]) == (4, 2, 0)
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{url}/other")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_it_is_alive_and_not_ready_when_it_cannot_count() -> None:
    with EmbeddedMongo() as own:
        arguments = command("x", "--uri", own.uri, "--serve", "0", "--every", "0.2")
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                url = process.stderr.readline().partition(" on ")[2].partition("/metrics")[0]
                until(lambda: _status(f"{url}/readyz") == 200)
                own.stop()
                until(lambda: _status(f"{url}/readyz") == 503)
                assert _status(f"{url}/healthz") == 200
            finally:
                process.kill()


def _status(url: str) -> int:
    try:
        status: int = urlopen(url, timeout=PATIENCE).status
    except HTTPError as error:
        return error.code
    return status
