"""Pauses end with what ends the process."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys

import pytest

from .test_layering import MODULES, matches

WAITS = """
from jobpool.cli.signals import end_at_once, pause
end_at_once()
try:
    print("waits", flush=True)
    pause(1000)
except KeyboardInterrupt:
    print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_pause_at_once(number: signal.Signals) -> None:
    """Long before it is over."""
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waits\n"
            process.send_signal(number)
            assert process.communicate(timeout=60)[0] == "ended\n"
        finally:
            process.kill()
    assert process.returncode == 0


#: Whose simulated work it is.
SLEEPERS = ("bench.",)


@pytest.mark.parametrize("name", MODULES)
def test_nobody_sleeps_who_could_wait_for_an_event(name: str) -> None:
    calls = [node.func for node in ast.walk(ast.parse(MODULES[name].read_text())) if isinstance(node, ast.Call)]
    sleeps = {"time.sleep", "sleep"} & {ast.unparse(function) for function in calls}
    assert not sleeps or any(matches(name, place) for place in SLEEPERS)
