"""What operators do while pools run: jobs run again, later or never, and nothing that is held is touched."""

from __future__ import annotations

import random

from ..waiting import until
from .app import FLOWING
from .flow_judge import judge_flow
from .processes import Run
from .schedule_judge import judge_schedules

#: What an operator has asked for at least before he is killed, and before the next one ends.
ACTS = 25


def test_an_operator_at_work_disturbs_nobody(run: Run) -> None:
    """He is killed in the middle, and the next one goes on; what they did is what they asked for."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    workers = [run.worker(threads=4, types=FLOWING, wait=False) for _ in range(2)]
    creator = run.creator(first=1, flow=True, wait=False)
    operators = [run.operator(seed=seed + number, pause=0.1, wait=False) for number in range(2)]
    for number, operator in enumerate(operators):
        until(lambda: operator.said("operate") >= ACTS, "an operator's work", 90)  # noqa: B023  (it is awaited here)
        operator.end() if number else operator.kill()
    creator.end()
    run.manager.resume()
    for schedule in run.manager.schedules.list():
        run.manager.schedules.remove(schedule.name)
    run.wait_until_done(150)
    for worker in workers:
        worker.end()
    run.judge()
    found = [*judge_flow(run), *judge_schedules(run)]
    assert not found, "\n".join(map(str, found[:20]))


def test_what_is_held_is_left_alone(run: Run) -> None:
    worker = run.worker(threads=2, types=["until_released"])
    ids = run.create("until_released", 2)
    run.wait_for("entered", 2)
    manager, type = run.manager, "until_released"
    for operation in ("retry", "revive", "snooze", "remove", "purge"):
        run.history.say("operate", operation=operation, types=[type])
    changed = [
        manager.retry_many(type=type).failed,
        manager.revive_many(type=type),
        manager.snooze_many(type=type, delay=1),
        manager.remove_many(type=type),
        manager.purge(0, type=type),
    ]
    held = {job["_id"] for job in run.jobs.find({"state": "running"})}
    run.release()
    run.wait_until_done()
    worker.end()
    run.judge()
    assert (changed, held) == ([0] * 5, set(ids))
