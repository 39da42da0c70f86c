"""What a pool claims is one view, replaced whole; and who changes it on the main thread waits elsewhere."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest

from jobpool import Executor
from jobpool.config import PoolConfig
from jobpool.executors import Executors
from jobpool.pauses import Pause, Paused
from jobpool.pool.elsewhere import elsewhere
from jobpool.pool.serving import Serving

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def run(data: Any) -> None:
    """Do nothing."""


def fail() -> None:
    raise KeyError("its own")


def serving(*types: str, **executors: Executor) -> Serving:
    known = Executors({"a": run, "b": Executor(run, timeout=3), **executors})
    return Serving(known, PoolConfig(), types or ("a", "b"))


def test_all_types_are_claimed_at_first() -> None:
    now = serving().now
    assert (now.types, now.claimed) == (("a", "b"), ("a", "b"))
    assert now.wanted == {"a", "b"}
    assert set(now.rules) == {"a", "b"}
    assert not now.paused


def test_a_change_makes_another_view_and_leaves_the_old_one_alone() -> None:
    changed = serving()
    before = changed.now
    changed.pause(Paused(types={"a": Pause(SINCE)}))
    assert (changed.now.types, changed.now.claimed, set(changed.now.rules)) == (("a", "b"), ("b",), {"b"})
    changed.remove(["b"])
    assert (changed.now.types, changed.now.claimed) == (("a",), ())
    changed.add(["b", "a"])
    assert (changed.now.types, changed.now.claimed) == (("a", "b"), ("b",))
    changed.pause(Paused())
    assert changed.now.claimed == before.claimed == ("a", "b")
    assert changed.now is not before


def test_what_changes_nothing_makes_no_other_view() -> None:
    """So nobody goes through what he holds for nothing."""
    same = serving()
    before = same.now
    same.add(["a"])
    same.remove(["c"])
    same.pause(Paused())
    assert same.now is before


def test_everything_may_be_paused_beside_a_type() -> None:
    paused = serving()
    paused.pause(Paused(everything=Pause(SINCE, "night"), types={"a": Pause(SINCE, "a")}))
    assert paused.now.claimed == ()
    assert [paused.why(type, paused.now.paused) for type in ("a", "b")] == [
        Pause(SINCE, "a"),
        Pause(SINCE, "night"),
    ]


def test_the_alias_of_a_paused_type_is_paused_and_not_the_other_way_round() -> None:
    mail = Executor(run, aliases=["post"])
    paused = serving("mail", "post", mail=mail)
    paused.pause(Paused(types={"mail": Pause(SINCE)}))
    assert not paused.now.wanted
    paused.pause(Paused(types={"post": Pause(SINCE)}))
    assert paused.now.wanted == {"mail"}


def test_the_shortest_limit_outlives_its_type() -> None:
    """An executor of it may still run."""
    limits = serving("a")
    assert limits.now.shortest == inf
    limits.add(["b"])
    limits.remove(["b"])
    assert limits.now.shortest == 3


def test_work_of_the_main_thread_is_done_on_another_one() -> None:
    assert threading.current_thread() is threading.main_thread()
    assert elsewhere("named", lambda: threading.current_thread().name) == "named"
    with pytest.raises(KeyError, match="its own"):
        elsewhere("named", fail)


def test_work_of_other_threads_is_done_where_it_is() -> None:
    names: list[str] = []
    thread = threading.Thread(
        target=lambda: names.append(elsewhere("named", lambda: threading.current_thread().name)), name="caller"
    )
    thread.start()
    thread.join()
    assert names == ["caller"]
