"""Which executors a child process can be given."""

from __future__ import annotations

import functools
import math
import operator
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobpool.errors import InvalidConfiguration
from jobpool.isolation import check_isolable, check_not_in_starting_child


def at_the_top(data: Any) -> None: ...


async def coroutine_at_the_top(data: Any) -> None: ...


class Machine:
    def __init__(self, part: object = None) -> None:
        self.part = part

    def work(self, data: Any) -> None: ...

    def __call__(self, data: Any) -> None: ...


def replaced(data: Any) -> None: ...


original = replaced


def replaced(data: Any) -> None: ...  # type: ignore[no-redef]


def make() -> Callable[[Any], None]:
    def inner(data: Any) -> None: ...

    return inner


@pytest.mark.parametrize(
    "fn",
    [
        at_the_top,
        coroutine_at_the_top,
        Machine().work,
        Machine(),
        functools.partial(at_the_top),
        math.sqrt,
        operator.itemgetter("a"),
    ],
)
def test_what_both_processes_find_by_name_is_accepted(fn: Callable[..., Any]) -> None:
    assert check_isolable(fn) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (lambda data: data, "a lambda has no name"),
        (make(), "made inside another function"),
        (Machine(threading.Lock()).work, "it cannot be pickled: cannot pickle '_thread.lock' object"),
        (functools.partial(make()), "it cannot be pickled"),
        (original, "it's not the same object"),
    ],
)
def test_what_a_child_would_not_find_is_refused(fn: Callable[..., Any], reason: str) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot run in a child process") as caught:
        check_isolable(fn)
    assert reason in str(caught.value)


def test_a_decorator_sees_a_function_before_its_name_is_bound() -> None:
    check_isolable(original, defined=False)
    with pytest.raises(InvalidConfiguration):
        check_isolable(make(), defined=False)


CHECK = """
from functools import partial
from jobpool.isolation import check_isolable

def work(data): ...

class Machine:
    def __call__(self, data): ...

for fn in (work, partial(work), Machine()):
    try:
        check_isolable(fn)
        print("fine")
    except ValueError as error:
        print(str(error).partition(": ")[2])
"""


def checked(*arguments: str, stdin: str = "") -> set[str]:
    result = subprocess.run(
        [sys.executable, *arguments], input=stdin, capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.splitlines())


def test_functions_of_a_program_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(CHECK)
    assert checked(str(tmp_path / "program.py")) == {"fine"}


def test_functions_of_an_interactive_session_are_refused() -> None:
    refused = {"it belongs to an interactive session; put it into a module"}
    assert checked("-c", CHECK) == refused
    assert checked("-", stdin=CHECK) == refused


def test_functions_of_the_main_module_of_a_package_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__main__.py").write_text(CHECK)
    (tmp_path / "shop" / "tool.py").write_text(CHECK)
    monkeypatch.chdir(tmp_path)
    assert checked("-m", "shop") == {"a child does not import shop.__main__; put it into another module"}
    assert checked("-m", "shop.tool") == {"fine"}


def test_outside_of_a_starting_child_all_is_allowed() -> None:
    assert check_not_in_starting_child() is None  # type: ignore[func-returns-value]
