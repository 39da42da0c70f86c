"""What is exported is shown or watched, and what is shown or watched is exported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from jobpool.grafana.dashboard import variable_queries
from jobpool.grafana.generate import DASHBOARDS
from jobpool.grafana.panels import expressions, filled
from jobpool.metrics import Metrics

from .test_generated import load

ROOT = Path(__file__).parents[2]
#: Families that are in no panel and no rule, and why.
EXEMPT: dict[str, str] = {}
SUFFIXES = {"counter": "_total", "info": "_info"}
#: What Prometheus adds to each series, and what histograms have.
ADDED = {"job", "instance", "le"}


def exported() -> set[str]:
    """Return the names of all families, as they are scraped."""
    registry = CollectorRegistry()
    Metrics(registry)
    return {family.name + SUFFIXES.get(family.type, "") for family in registry.collect()}


def documented() -> dict[str, set[str]]:
    """Return the labels of each family in README's table."""
    rows = re.findall(r"^\| (`jobpool_[^|]+) \|([^|]*)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {
        name: set(re.findall(r"\w+", labels)) for names, labels in rows for name in re.findall(r"`(\w+)`", names)
    }


def asked() -> Iterator[tuple[str, str]]:
    """Yield each expression of a dashboard or a rule, with where it is."""
    for name in DASHBOARDS:
        for one in expressions(load(name)):
            yield f"{name}: {one.panel}: {one.legend}", filled(one.expr)
        for variable, series, _ in variable_queries(load(name)):
            yield f"{name}: ${variable}", filled(series)
    for path in (ROOT / "grafana" / "prometheus").glob("*.rules.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                yield f"{path.name}: {rule.get('alert') or rule['record']}", rule["expr"]


def families(expression: str) -> set[str]:
    """Return the families that an expression reads; a recorded series is none, its rule is read by itself."""
    names = re.findall(r"(?<![\w:])jobpool_\w+(?![\w:(])", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def labels(expression: str) -> set[str]:
    """Return the labels that an expression selects by or groups by."""
    selected = set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", expression)) - {"__name__"}
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    return selected | {label for group in grouped for label in re.findall(r"\w+", group)}


ASKED = list(asked())


def test_every_family_is_in_a_panel_or_a_rule() -> None:
    used = set().union(*(families(expression) for _, expression in ASKED))
    assert exported() - used - set(EXEMPT) == set()


def test_an_exemption_is_needed() -> None:
    used = set().union(*(families(expression) for _, expression in ASKED))
    assert set(EXEMPT) <= exported() - used


def test_expressions_name_only_what_is_exported() -> None:
    known = documented()
    lacking = {where: families(expression) - set(known) for where, expression in ASKED}
    assert {where: names for where, names in lacking.items() if names} == {}


def test_expressions_name_only_labels_that_are_there() -> None:
    known = documented()
    lacking = {}
    for where, expression in ASKED:
        there = ADDED.union(*(known.get(name, set()) for name in families(expression)))
        if families(expression) and not labels(expression) <= there:
            lacking[where] = labels(expression) - there
    assert lacking == {}


def test_the_parser_sees_what_it_should() -> None:
    """Or the tests above would hold for expressions without names."""
    assert families('sum by (le) (rate(jobpool_job_wait_seconds_bucket{le="30.0"}[5m]))') == {
        "jobpool_job_wait_seconds"
    }
    assert families("job:jobpool_job_wait_slow:ratio_rate5m > 1") == set()
    assert labels('max by (job, type) (x{pool=~".*"}) and on (instance) y') == {"job", "type", "pool", "instance"}
