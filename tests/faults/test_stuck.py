"""Executors that hang while the server is away."""

from __future__ import annotations

import pytest

from jobpool import WorkerPool

from ..waiting import PATIENCE, until
from . import recording
from .processes import Run
from .proxy import FAIR, Proxy, Weather
from .report import FaultReport

HUNG, OTHERS = 3, 20


@pytest.mark.fault("F21")
def test_f21_hung_executors_are_told_while_the_server_is_away_and_stored_when_it_is_back(
    fault: FaultReport,
    run: Run,
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checker judges every change: only the holder of a claim says that its job is stuck."""
    monkeypatch.setenv("FAULTS_RELEASE", str(run.directory / "release"))
    hung = run.create("until_released", HUNG)

    def told() -> int:
        return sum("is stuck" in line for line in caplog.messages)

    with run.make_manager(uri=proxy.uri, timeout=2) as manager:
        types = ["until_released", "once"]
        pool = WorkerPool(manager, types, threads=HUNG + 1, stuck_after=1, lease=30).start()
        until(lambda: run.count("entered") == HUNG, "the executors")
        proxy.weather = Weather(hole=True)
        until(lambda: told() == HUNG, "the warnings")
        run.wait_for("report-unknown")
        fault.struck(not run.jobs.count_documents({"stuck": {"$exists": True}}), "the write was not answered")
        proxy.weather = FAIR
        proxy.cut()
        stacks = {"_id": {"$in": hung}, "stuck.stack": {"$regex": "in until_released"}}
        until(lambda: run.jobs.count_documents(stacks) == HUNG, "the stacks")
        ids = run.create("once", OTHERS, first=100)
        others = {"_id": {"$in": ids}, "state": "succeeded"}
        until(lambda: run.jobs.count_documents(others) == OTHERS, "the others")
        assert pool.gauges().stuck == HUNG
        run.release()
        run.wait_until_done()
        recording.stop(pool, run.history, PATIENCE)
    run.judge()
    assert run.jobs.count_documents({"state": "succeeded"}) == HUNG + OTHERS
    assert told() == HUNG, "each once"
    fault.figure("stuck with the server away, told once and stored later", f"{HUNG}/{HUNG}")
