"""The programs these tests need and Python does not bring: found, or the test is skipped, and in CI fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

#: What a session of tests downloads stays here between sessions; git ignores it.
CACHE = Path(__file__).parents[2] / ".cache"


def need_promtool() -> str:
    """Return the path of promtool, which comes with Debian's package `prometheus`."""
    return _need("promtool", "Debian's package prometheus has it")


def need_prometheus() -> str:
    """Return the path of the Prometheus server."""
    return _need("prometheus", "Debian's package prometheus has it")


def need_npm() -> str:
    """Return the path of npm; Node is there as well."""
    _need("node", "Debian's package nodejs has it")
    return _need("npm", "Debian's package npm has it")


def need_shell(name: str) -> str:
    """Return the path of bash, zsh or fish."""
    return _need(name, f"Debian's package {name} has it")


def promtool(*arguments: str | Path, stdin: str | None = None) -> str:
    """Run promtool, fail if it finds fault, and return what it printed."""
    done = subprocess.run(
        [need_promtool(), *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, f"promtool {' '.join(map(str, arguments))}:\n{printed}"
    return printed


def absent(what: str) -> None:
    """Skip the test for want of `what`; fail it where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; with $CI set nothing may be missing")
    pytest.skip(what)


def _need(program: str, advice: str) -> str:
    found = shutil.which(program)
    if found is None:
        absent(f"there is no {program} on the path: {advice}")
    return str(found)
