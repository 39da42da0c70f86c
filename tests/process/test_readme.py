"""README: its examples run as they stand, and its tables tell the truth."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from jobpool import JobManager, PoolConfig
from jobpool.embedded import EmbeddedMongo
from jobpool.metrics import Metrics

from ..faults.catalogue import CATALOGUE
from ..waiting import until
from .conftest import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_examples_run(server: EmbeddedMongo, monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    monkeypatch.setenv("JOBPOOL_URI", server.uri)
    names: dict[str, Any] = {}
    managers: list[JobManager] = []  # also those whose name another one has taken
    try:
        for block in BLOCKS:
            exec(compile(block, "README.md", "exec"), names)
            managers += [value for value in names.values() if isinstance(value, JobManager)]
        with TestClient(names["app"]) as web:
            made = web.post("/squares/12").json()
            assert made["new"] is True
            assert web.post("/squares/12").json() == {"id": made["id"], "new": False}
            until(lambda: web.get(f"/squares/{made['id']}").json() == {"state": "succeeded", "result": 144})
            statuses = [web.get(f"/jobpool/{path}").status_code for path in ("healthz", "readyz", "x")]
            assert statuses == [200, 200, 404]
            assert 'jobpool_threads{pool="web"} 4.0' in web.get("/jobpool/metrics").text
    finally:
        for manager in managers:
            manager.close()
        for database in ("shop", "shop_tests", "service"):
            client.drop_database(database)
    assert len(BLOCKS) == 23


def test_the_metrics_table_names_every_family_and_no_other() -> None:
    registry = CollectorRegistry()
    Metrics.on(registry)
    exported = set()
    for family in registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        exported.add(family.name + suffix)
    table = README.partition("## Metrics")[2].partition("## When")[0]
    named = set(re.findall(r"`(jobpool_\w+)`", table))
    assert named == exported


def test_the_configuration_table_names_every_option_of_a_pool() -> None:
    table = README.partition("`WorkerPool(manager, types, ...)`")[2].partition("`Backoff(")[0]
    assert {field.name for field in fields(PoolConfig)} <= set(re.findall(r"`(\w+)`", table))


def test_every_test_that_a_promise_names_exists() -> None:
    table = README.partition("## Promises")[2].partition("**Not promised.**")[0]
    named = set(re.findall(r"`(test_\w+)`", table))
    assert len(named) > 8
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in named if f"def {name}(" not in sources] == []
    for path in re.findall(r"`(tests/\S+\.py)`", table):
        assert (ROOT / path).exists()


def test_the_table_of_figures_names_every_fault_of_the_catalogue() -> None:
    table = README.partition("<!-- figures")[2].partition("<!-- end of figures -->")[0]
    assert re.findall(r"^\| ([FL]\d\d) \|", table, re.MULTILINE) == list(CATALOGUE)
