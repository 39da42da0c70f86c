"""README: its examples run as they stand, and its tables tell the truth."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from jobpool import JobManager, PoolConfig
from jobpool.cli import COMMANDS
from jobpool.cli.parser import parser_for
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
    assert len(BLOCKS) == 24


def typed() -> list[list[str]]:
    """Return the arguments of the ``jobpool`` commands that README has in blocks to be typed."""
    found = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE):
        if language not in ("", "sh"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.findall(r"(?:^|[|&] *|\$ |\()jobpool ([^|&)]*)", line):
                found.append(shlex.split(part, comments=True))
    return found


def test_every_command_in_a_block_can_be_typed() -> None:
    commands = typed()
    assert {"demo", "ls", "why", "doctor", "create", "cancel"} <= {arguments[0] for arguments in commands}
    for arguments in commands:
        assert parser_for(arguments).parse_args(arguments).command == arguments[0]


def test_every_picture_is_there() -> None:
    named = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert len(named) >= 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_table_of_commands_has_them_all() -> None:
    table = README.partition("## Operate")[2].partition("### Look")[0]
    assert set(re.findall(r"`(\w+)`", table.partition("| | commands |")[2])) == set(COMMANDS) - {
        "help",
        "completion",
    }


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
