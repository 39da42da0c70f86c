"""The harness does what it says: the tools are tried before they are used."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from jobpool import WorkerPool
from jobpool.errors import StoreUnavailable

from ..conftest import MakeManager
from ..waiting import until
from .failpoints import Client, fail_command
from .history import History, events
from .oplog import changes
from .processes import Run
from .proxy import FAIR, Proxy, Weather
from .replicas import ReplicaSet


def test_a_quiet_run_has_no_violations(run: Run) -> None:
    worker = run.worker(threads=4)
    run.create("once", 50)
    run.create("retried", 30)
    run.create("doomed", 5)
    run.wait_until_done()
    assert worker.end() == 0
    run.judge()
    assert run.count("entered") == 50 + 30 + 10 + 10
    assert worker.said("counted") == 1


def test_no_metric_is_labelled_with_a_job(run: Run) -> None:
    """Labels are few: no id, no process, no host."""
    ids = run.create("once", 20)
    with WorkerPool(run.manager, ["once"], lease=30):
        run.wait_until_done()
    assert run.manager.run_all() == 0
    exposition = run.manager.exposition()[1].decode()
    assert "jobpool_attempts_total" in exposition
    assert not [id for id in ids if id in exposition], "a job is a label"
    assert str(os.getpid()) not in re.findall(r'"([^"]*)"', exposition)


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.say("one")
    with history.path.open("a") as file:
        file.write('\n[12.5, 77, "ki')
    history.say("two", id="x")
    with history.path.open("a") as file:
        file.write('\n[13.5, 77, "in the maki')
    assert [event.name for event in events(history.path)] == ["one", "two"]
    history.close()


def test_the_oplog_tells_every_change(run: Run) -> None:
    run.create("once", 1)
    run.manager.run()
    steps = [
        (change.before and change.before["state"], change.after and change.after["state"])
        for change in changes(run.client, f"{run.database}.jobs")
    ]
    assert steps == [(None, "pending"), ("pending", "claimed"), ("claimed", "running"), ("running", "succeeded")]


def test_a_failpoint_counts_what_it_struck(make_manager: MakeManager, client: Client) -> None:
    manager = make_manager()
    manager.ensure_indexes()
    with fail_command(client, ["insert"], times=1, code=50) as point:
        with pytest.raises(StoreUnavailable):
            manager.create("a", 1)
        assert point.struck == 1, "the driver does not repeat it"
    assert point.struck == 1
    assert manager.create("a", 1).created


def test_latency_and_dribble_delay(proxy: Proxy, make_manager: MakeManager) -> None:
    manager = make_manager(uri=proxy.uri)
    manager.ensure_indexes()
    for weather in (Weather(latency=0.05, jitter=0.02), Weather(chunk=16), Weather(rate=100_000)):
        before = proxy.delayed
        proxy.weather = weather
        assert manager.create("a", str(weather)).created
        assert proxy.delayed > before
    proxy.weather = FAIR


def test_a_black_hole_ends_and_delivers_what_it_swallowed(proxy: Proxy, make_manager: MakeManager) -> None:
    manager = make_manager(uri=proxy.uri, timeout=0.5)
    manager.create("a", 0)  # from here on it knows the server's time
    proxy.weather = Weather(hole=True)
    with pytest.raises(StoreUnavailable):
        manager.create("a", 1)
    proxy.weather = FAIR
    until(lambda: manager.count() == 2, "the late insert")


def test_cut_connections_are_made_anew(proxy: Proxy, make_manager: MakeManager) -> None:
    manager = make_manager(uri=proxy.uri)
    manager.ensure_indexes()
    for half in (False, True):
        assert proxy.cut(half=half) > 0
        assert manager.create("a", half).created


def test_a_reply_may_be_lost_by_a_reset(proxy: Proxy, make_manager: MakeManager) -> None:
    manager = make_manager(uri=proxy.uri)
    manager.ensure_indexes()
    proxy.lose_reply_of("insert", reset=True)
    assert manager.create("a", 1).created
    assert proxy.lost == ["insert"]


def test_a_replica_set_elects_another_primary(replicas: ReplicaSet) -> None:
    first = replicas.kill_primary()
    began = time.monotonic()
    second = replicas.primary()
    print(f"elected after {time.monotonic() - began:.1f} s")
    assert second is not first
    first.start()
    replicas.settle()
    replicas.step_down()
    replicas.settle()
    second = replicas.primary()
    second.send(signal.SIGSTOP)
    third = replicas.primary()
    second.send(signal.SIGCONT)
    replicas.settle()
    assert third is not second
