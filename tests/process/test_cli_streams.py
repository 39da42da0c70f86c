"""Streams that are closed, full, or know few characters: commands say so in a line, or spell what they cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobpool import JobManager

from .cli import Cli

FULL = Path("/dev/full")


def shell(cli: Cli, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script in which ``jobpool`` is the command."""
    command = f'jobpool() {{ "{sys.executable}" -m jobpool "$@"; }}; {script}'
    environment = {**cli.environment, **variables}
    return subprocess.run(
        ["sh", "-c", command],
        env=environment,
        cwd=cli._directory,
        capture_output=True,
        encoding="latin-1",
        timeout=60,
    )


def test_who_closes_a_stream_gets_the_exit_code_all_the_same(cli: Cli, manager: JobManager) -> None:
    """As some schedulers and daemons do."""
    manager.create("mail")
    done = shell(cli, "jobpool stats >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert shell(cli, "jobpool types 2>&-").returncode == 0
    refused = shell(cli, "jobpool pause --all <&-")
    assert (refused.returncode, "say --yes" in refused.stderr) == (2, True)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", ["types", "top --once", "help stats"])
def test_a_full_disk_is_told_in_one_line(cli: Cli, manager: JobManager, command: str) -> None:
    manager.create("mail")
    done = shell(cli, f"jobpool {command} >{FULL}")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "nobody" not in line and "no pool" not in line] == [
        "jobpool: [Errno 28] No space left on device"
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_does_not_know_is_spelled(cli: Cli, manager: JobManager, encoding: str) -> None:
    manager.create("\u65e5\u672c \U0001f600 \xe9")
    found = shell(cli, "jobpool types --json", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert found.returncode == 0
    assert json.loads(found.stdout)["type"] == "\u65e5\u672c \U0001f600 \xe9"
    assert "\\u65e5\\u672c \\ud83d\\ude00" in shell(cli, "jobpool types", PYTHONIOENCODING="ascii").stdout
