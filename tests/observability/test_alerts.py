"""Each alert fires for its cause and only for that: on a real Prometheus, with all times a sixtieth as long."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from jobpool import JobManager, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.pool import census
from jobpool.pool.reaper import Reaper

from ..waiting import until
from .load import Traffic, at_ease, hurry, make_manager
from .prometheus import Prometheus
from .scaling import Changes, scaled
from .tools import need_prometheus
from .worker import Exporter, Worker

pytestmark = pytest.mark.timeout(240)  # one run serves all tests, and is the set-up of the first

RULES = sorted((Path(__file__).parents[2] / "grafana" / "prometheus").glob("*.rules.yml"))
FACTOR = 60
#: Of windows. When a busy machine answers a scrape is not a sixtieth as uncertain: half a second more or less
#: between the first and the last of 5 seconds makes a rate of 1 one of 0.9.
SHORTEST = 15.0
#: The limits in seconds that have to shrink with the time. Those of counts and ratios stay.
CHANGES: Changes = {
    "job_type:jobpool_oldest_due_age_seconds:max": {"< 300": "< 5"},
    "job_type_state:jobpool_backlog_jobs:max": {"< 300": "< 5"},
    "job:jobpool_job_wait_slow:ratio_rate5m": {'le="30.0"': 'le="0.5"'},
    "job:jobpool_job_wait_slow:ratio_rate30m": {'le="30.0"': 'le="0.5"'},
    "job:jobpool_job_wait_slow:ratio_rate1h": {'le="30.0"': 'le="0.5"'},
    "job:jobpool_job_wait_slow:ratio_rate6h": {'le="30.0"': 'le="0.5"'},
    "JobpoolBacklogTooOld": {"> 300": "> 5"},
    "JobpoolFetcherStalled": {"> 60": "> 5"},  # a pool asks every second, and a scrape is up to one second old
    "JobpoolSaturated": {"> 30": "> 1"},
    "JobpoolBacklogViewStale": {"> 300": "> 5"},
}
#: Long for jobs of milliseconds, so that a busy machine costs none of them.
LEASE = 3.0
OPTIONS: dict[str, Any] = {"lease": LEASE, "backlog_interval": 1.0}
#: The rest after a count is a time as well. In full, one after a count of 0.3 s would be too long for the alert.
REST = census.REST / FACTOR
#: An alert, and the scrape job for which it fires; each has a database of its own.
Fired = tuple[str, str]

#: What has to fire, by alert, and where it is provoked.
EXPECTED = {
    "JobpoolBacklogTooOld": "lonely",  # jobs come, and the only pool is gone
    "JobpoolNoPoolsAlive": "lonely",
    "JobpoolWaitSLOFastBurn": "full",  # more jobs than threads
    "JobpoolWaitSLOSlowBurn": "full",
    "JobpoolSaturated": "full",
    "JobpoolFailureRatioHigh": "shop",  # an executor that always raises
    "JobpoolExecutorStuck": "shop",  # and one that does not return
    "JobpoolPoolDown": "shop",  # a worker killed
    "JobpoolJobsReaped": "shop",
    "JobpoolLeasesLost": "shop",  # its successor paused
    "JobpoolInternalErrors": "shop",  # a mistake planted
    "JobpoolFetcherStalled": "cut",  # MongoDB killed
    "JobpoolStoreErrors": "cut",
    "JobpoolBacklogViewStale": "cut",
}
#: What fires besides, rightly.
BESIDES: set[Fired] = {
    ("JobpoolBacklogTooOld", "full"),  # the jobs that wait for a thread
    ("JobpoolPoolDown", "lonely"),  # the pool that is gone
}


@dataclass
class Run:
    """What fired while all was well, and then; and what the alerts say that fire at the end."""

    healthy: set[Fired]
    provoked: set[Fired]
    texts: list[str]


class Stage:
    """Four deployments and one Prometheus that scrapes them all."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._uri = uri = stack.enter_context(EmbeddedMongo()).uri
        self._directory = directory
        self._stack = stack
        self._own = stack.enter_context(EmbeddedMongo())
        self._databases = {
            job: f"alerts_{job}_{uuid.uuid4().hex[:8]}" for job in ("full", "shop", "lonely", "cut")
        }
        self.managers = {job: self._manager(job) for job in self._databases}
        full = self._worker("full", threads=4)
        self.lonely = self._worker("lonely", threads=4)
        self.victim = self._worker("shop", threads=4, types=["render"])
        cut = self._worker("cut", threads=4)
        exporter = self._kept(Exporter(uri, self._databases["lonely"], directory, rest=REST))
        self.shop = self._survivor()
        url = self.shop.serve_metrics(0).url
        targets = {
            "full": [full.address],
            "shop": [self.victim.address, url.removeprefix("http://")],
            "lonely": [self.lonely.address, exporter.address],
            "cut": [cut.address],
        }
        for worker in (full, self.lonely, self.victim, cut):
            worker.wait_until_up()
        self.prometheus = stack.enter_context(Prometheus(directory, targets))
        self.prometheus.wait_until_up(*(address for addresses in targets.values() for address in addresses))
        # not before: minutes without a scrape are seconds here, and rightly set off an alert
        self.prometheus.load([scaled(path, directory, FACTOR, CHANGES, SHORTEST) for path in RULES])

    def uri(self, job: str) -> str:
        """Return the server of a deployment; one has its own, to lose it, and none that of other tests."""
        return self._own.uri if job == "cut" else self._uri

    def fired(self) -> set[Fired]:
        """Return all alerts that have fired so far."""
        found = self.prometheus.query('max_over_time(ALERTS{alertstate="firing"}[10m])')
        return {(one["metric"]["alertname"], one["metric"].get("job", "")) for one in found}

    def wait_for(self, *alerts: str) -> None:
        """Wait until these have fired where they are expected."""
        missing = {(alert, EXPECTED[alert]) for alert in alerts}

        def all_came() -> bool:
            missing.difference_update(self.fired())
            return not missing

        try:
            until(all_came, "all alerts", patience=60)
        except AssertionError:
            raise AssertionError(f"missing: {sorted(missing)}") from None

    def healthy(self) -> None:
        """Let all four work in peace for longer than any alert waits."""
        for job, manager in self.managers.items():
            traffic = Traffic(manager, {"resize": 4.0}, burst=0)
            if job == "cut":  # its producer would only learn that MongoDB is gone
                with traffic:
                    self._scrapes(3)
            else:
                self._stack.enter_context(traffic)
        self._scrapes(17)

    def go_wrong(self) -> None:
        """Provoke every cause."""
        # So long that a thread is busy however long a busy machine takes from one job to the next.
        self.managers["full"].create_many({"type": "render", "data": {"n": n, "seconds": 5.0}} for n in range(100))
        self.lonely.kill()
        os.kill(self._own.server_pid, signal.SIGKILL)
        self._stack.enter_context(Traffic(self.managers["shop"], {"failing": 5.0}, burst=0))
        self.managers["shop"].create("hang", {"seconds": 600})
        with patch.object(Reaper, "act", side_effect=RuntimeError("planted by a test")):
            self.wait_for("JobpoolInternalErrors")
        self._kill_and_pause()
        self.wait_for(*EXPECTED)

    def _kill_and_pause(self) -> None:
        """Kill a worker that runs jobs; let its successor stand still for longer than its lease."""
        self._occupy_victim()
        self.victim.kill()
        self.wait_for("JobpoolPoolDown", "JobpoolJobsReaped")
        self.victim = self._worker("shop", port=self.victim.port, threads=4, types=["render"]).wait_until_up()
        self._occupy_victim()
        self.victim.pause()
        threading.Event().wait(1.5 * LEASE)  # the fault itself
        self.victim.resume()
        self.wait_for("JobpoolLeasesLost")

    def _occupy_victim(self) -> None:
        for _ in range(4):
            self.managers["shop"].create("render", {"n": uuid.uuid4().hex, "seconds": 30}, max_attempts=1)
        busy = f'jobpool_threads_busy{{instance="{self.victim.address}"}} == 4'
        until(lambda: self.prometheus.query(busy), busy)

    def _scrapes(self, number: int) -> None:
        """Wait for so many evaluations of the rules."""
        counted = 'count_over_time(up{job="full"}[10m])'
        goal = self.prometheus.value(counted) + number
        until(lambda: self.prometheus.value(counted) >= goal, f"{number} scrapes", patience=90)

    def _manager(self, job: str) -> JobManager:
        return self._stack.enter_context(make_manager(self.uri(job), self._databases[job]))

    def _worker(self, job: str, **options: Any) -> Worker:
        options = {"name": job, "rest": REST, **OPTIONS, **options}
        worker = Worker(self.uri(job), self._databases[job], self._directory, **options)
        self._stack.callback(worker.kill)
        return worker

    def _kept(self, process: Exporter) -> Exporter:
        self._stack.callback(process.kill)
        return process

    def _survivor(self) -> WorkerPool:
        """Return the pool in this process, which takes back what the victim held."""
        types = ["resize", "failing", "hang"]
        pool = WorkerPool(self.managers["shop"], types, name="survivor", threads=8, stuck_after=5, **OPTIONS)
        self._stack.enter_context(pool)
        self._stack.callback(hurry)
        return pool


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One run for all tests of this file."""
    need_prometheus()
    at_ease()
    with ExitStack() as stack:
        stack.enter_context(patch.object(census, "REST", REST))
        stage = Stage(tmp_path_factory.mktemp("alerts"), stack)
        stage.healthy()
        healthy = stage.fired()
        stage.go_wrong()
        texts = [text for alert in stage.prometheus.alerts() for text in alert["annotations"].values()]
        yield Run(healthy, stage.fired(), texts)


def test_every_alert_has_a_cause_here() -> None:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["alert"] for rule in rules if "alert" in rule} == set(EXPECTED)
    assert set(CHANGES) <= {rule.get("alert") or rule["record"] for rule in rules}


def test_no_alert_fires_while_all_is_well(run: Run) -> None:
    assert run.healthy == set()


@pytest.mark.parametrize("alert", EXPECTED)
def test_an_alert_fires_for_its_cause(run: Run, alert: str) -> None:
    assert (alert, EXPECTED[alert]) in run.provoked


def test_no_alert_fires_without_a_cause(run: Run) -> None:
    assert run.provoked - set(EXPECTED.items()) - BESIDES == set()


def test_what_alerts_say_has_no_gaps(run: Run) -> None:
    assert len(run.texts) > 10
    assert [text for text in run.texts if "error expanding" in text or "no value" in text] == []
