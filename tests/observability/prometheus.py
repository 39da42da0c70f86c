"""A real Prometheus of one's own: data in a directory of its own, a free port on loopback, an end that is sure."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobpool.embedded import free_port

from ..waiting import until
from .tools import need_prometheus

#: Of labels to the value, as the API answers an instant query.
Vector = list[dict[str, Any]]


class QueryFailed(Exception):
    """Prometheus answered a query with an error."""


class Prometheus:
    """A Prometheus server, as a context manager.

    Args:
        directory: For its data, its configuration and its log.
        targets: Addresses (``host:port``) by the value of the label ``job``. A target that is
            not there yet, or not any more, is merely down.
        rules: Files of rules.
        interval: Seconds between two scrapes of a target, and between two evaluations of the rules.
    """

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, Sequence[str]],
        rules: Sequence[Path] = (),
        *,
        interval: float = 1.0,
    ) -> None:
        self.directory = directory
        self.log = directory / "prometheus.log"
        self._port = free_port()
        self._targets = targets
        self._interval = interval
        self._config = directory / "prometheus.yml"
        self._write_config(rules)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._process = self._launch()
        try:
            until(lambda: self._ready() or self._ended(), "Prometheus")
            assert not self._ended(), self.log.read_text()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill it: its data are not needed any more. May be repeated."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def load(self, rules: Sequence[Path]) -> None:
        """Take these rules instead; they are evaluated from now on."""
        assert self._process is not None
        self._write_config(rules)
        self._process.send_signal(signal.SIGHUP)
        files = {str(path) for path in rules}
        until(lambda: files == {group["file"] for group in self._get("rules", {})["groups"]}, "the new rules")

    def _write_config(self, rules: Sequence[Path]) -> None:
        every = f"{self._interval * 1000:.0f}ms"
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in self._targets.items()
            ],
        }
        self._config.write_text(json.dumps(config))  # JSON is YAML too

    # --- its API --------------------------------------------------------------------------

    def query(self, expression: str, at: float | None = None) -> Vector:
        """Return what an expression gives, now or at a time; a scalar as one sample without labels."""
        parameters = {"query": expression, **({} if at is None else {"time": f"{at:.3f}"})}
        data = self._get("query", parameters)
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        result: Vector = data["result"]
        return result

    def value(self, expression: str, at: float | None = None) -> float:
        """Return the one value of an expression; NaN if it has none."""
        result = self.query(expression, at)
        assert len(result) <= 1, f"{expression} has {len(result)} values"
        return float(result[0]["value"][1]) if result else float("nan")

    def query_range(self, expression: str, start: float, end: float, step: float) -> Vector:
        """Return the values of an expression over a time."""
        parameters = {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        result: Vector = self._get("query_range", parameters)["result"]
        return result

    def series(self, match: str) -> list[dict[str, str]]:
        """Return the labels of all series that match, those that ended too."""
        result: list[dict[str, str]] = self._get("series", {"match[]": match})
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their health and their last error."""
        groups = self._get("rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire now, with their labels and annotations."""
        alerts = self._get("alerts", {})["alerts"]
        return [alert for alert in alerts if alert["state"] == "firing"]

    def targets(self) -> dict[str, str]:
        """Return up, down or unknown by the address of the target."""
        active = self._get("targets", {})["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in active}

    def types(self, metric: str) -> list[str]:
        """Return the type of a metric as each target that has it declares it."""
        return [one["type"] for one in self._get("targets/metadata", {"metric": metric})]

    def wait_until_up(self, *addresses: str) -> None:
        """Wait until these targets were scraped with success."""
        until(lambda: all(self.targets().get(address) == "up" for address in addresses), f"scrapes of {addresses}")

    def _get(self, what: str, parameters: dict[str, str]) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise QueryFailed(f"{parameters}: {error.read().decode(errors='replace')}") from None

    # --- its process ----------------------------------------------------------------------

    def _launch(self) -> subprocess.Popen[bytes]:
        # It must not outlive a test run that is killed: the kernel then kills it.
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        command = [
            *(*guard, need_prometheus(), f"--config.file={self._config}"),
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        with self.log.open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
