"""Workers that are frozen for longer than their leases and wake up, and outcomes that nobody takes."""

from __future__ import annotations

import signal
from pathlib import Path

from ..waiting import until
from .failpoints import Client, fail_command
from .measures import executions
from .processes import Run


def test_a_paused_worker_is_refused_when_it_wakes(run: Run, tmp_path: Path) -> None:
    """Its outcomes and its heartbeat change nothing, though they come first; the other attempt's stand."""
    ids = run.create("until_released_twice", 4)
    types = ["until_released_twice"]
    first = tmp_path / "first"
    paused = run.worker(threads=4, types=types, name="paused", variables={"FAULTS_RELEASE": str(first)})
    run.wait_for("entered", 4)
    paused.send(signal.SIGSTOP)
    other = run.worker(threads=4, types=types, name="other")
    run.wait_for("entered", 8)
    paused.send(signal.SIGCONT)
    until(lambda: "lost" in paused.log.read_text(), "the notice of the paused worker")
    first.touch()
    until(lambda: answered(run) == 4, "the answers to the outcomes of the paused worker")
    run.release()
    run.wait_until_done()
    run.wait_for("left", 8)
    assert (paused.end(), other.end()) == (0, 0)
    run.judge()
    assert executions(run.events()) == 8
    assert {job.pool for job in run.manager.find(ids=ids)} == {"other"}


def test_a_finish_that_failed_is_repeated(run: Run, client: Client) -> None:
    """The server refuses again and again just when the outcome is to be written."""
    (id,) = run.create("until_released", 1)
    worker = run.worker(threads=1, lease=30, types=["until_released"])
    run.wait_for("entered")
    with fail_command(client, ["update"], times=3, code=50) as point:
        run.release()
        until(lambda: point.struck == 3, "the fault")
    until(lambda: run.manager.get(id).state == "succeeded", "the state that the executor made")
    assert worker.end() == 0
    assert run.count("finish-unknown") == 3
    run.judge()


def answered(run: Run) -> int:
    """Return for how many outcomes the store has said whether they stand."""
    answers = [event.fields for event in run.events() if event.name == "finish-ok"]
    return sum(len(fields["jobs"]) + len(fields["lost"]) for fields in answers)
