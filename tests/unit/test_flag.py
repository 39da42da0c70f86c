"""An event that a signal handler may touch."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

import pytest

from jobpool.pool import flag as module
from jobpool.pool.flag import Flag


def test_it_is_set_until_it_is_cleared() -> None:
    flag = Flag()
    assert (flag.is_set(), flag.wait(0)) == (False, False)
    flag.set()
    flag.set()
    assert (flag.is_set(), flag.wait(), flag.wait(0)) == (True, True, True)
    flag.clear()
    flag.clear()
    assert (flag.is_set(), flag.wait(0.01)) == (False, False)


def test_setting_it_lets_everybody_pass() -> None:
    flag, answers = Flag(), list[bool]()
    threads = [threading.Thread(target=lambda: answers.append(flag.wait(30))) for _ in range(8)]
    for thread in threads:
        thread.start()
    flag.set()
    for thread in threads:
        thread.join()
    assert answers == [True] * 8


def test_a_word_between_two_waits_is_not_lost() -> None:
    """One thread clears, looks and waits; another puts something where it looks, and sets."""
    flag, seen, put = Flag(), 0, 0

    def tell() -> None:
        nonlocal put
        for _ in range(20_000):
            put += 1
            flag.set()

    thread = threading.Thread(target=tell)
    thread.start()
    while seen < 20_000:
        flag.clear()
        if seen != put:
            seen = put
        else:
            assert flag.wait(30), "a word was lost"
    thread.join()


@pytest.mark.parametrize("operation", ["set", "clear", "wait"])
def test_a_signal_handler_may_set_it_on_top_of_every_line(operation: str) -> None:
    """The handler runs before every line of `operation` in turn, and it neither hangs nor is overheard."""
    lines = 0
    while _interrupted_at(operation, lines):
        lines += 1
    assert lines >= 2


def _interrupted_at(operation: str, line: int) -> bool:
    """Run `operation`, with a signal at its line number `line`; return whether it has that many lines."""
    flag = Flag()
    struck = 0

    def handler(number: int, frame: FrameType | None) -> None:
        flag.set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal struck
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "line":
            struck += 1
            if struck == line + 1:
                signal.raise_signal(signal.SIGUSR1)
        return trace

    before = signal.signal(signal.SIGUSR1, handler)
    tracing = sys.gettrace()
    sys.settrace(trace)
    try:
        getattr(flag, operation)(*([0.01] if operation == "wait" else []))
    finally:
        sys.settrace(tracing)
        signal.signal(signal.SIGUSR1, before)
    if struck > line and operation != "clear":
        assert flag.wait(30)
    return struck > line
