"""Two pools under a mixed load, scraped by a real Prometheus: every expression has something to say."""

from __future__ import annotations

import json
import math
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from jobpool.embedded import EmbeddedMongo
from jobpool.grafana.dashboard import variable_queries
from jobpool.grafana.panels import expressions, filled

from .prometheus import QueryFailed
from .scene import Scene, recorded
from .test_keda import queries
from .tools import need_prometheus, promtool

pytestmark = pytest.mark.timeout(240)  # one run serves all tests, and is the set-up of the first

GRAFANA = Path(__file__).parents[2] / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
RULES = sorted((GRAFANA / "prometheus").glob("*.rules.yml"))
#: A comparison with a number.
COMPARISON = re.compile(r"([<>]=?|==|!=)\s*(\d)")
TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.fixture(scope="module")
def scene(
    server: EmbeddedMongo, client: MongoClient[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """One run for all tests of this file."""
    need_prometheus()
    with recorded(server.uri, client, tmp_path_factory.mktemp("live"), RULES) as scene:
        yield scene


def scrape(url: str, accept: str = TEXT) -> str:
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def fault(scene: Scene, expression: str) -> str | None:
    """Return what is wrong with the answer to an expression at the end of the run."""
    try:
        samples = scene.prometheus.query(expression, scene.at)
    except QueryFailed as error:
        return str(error)
    if not samples:
        return "empty"
    return "NaN" if any(math.isnan(float(sample["value"][1])) for sample in samples) else None


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_has_something_to_say(scene: Scene, path: Path) -> None:
    found = expressions(json.loads(path.read_text()))
    assert found
    wrong = {
        (one.panel, one.legend): (says, one.expr)
        for one in found
        if (says := fault(scene, filled(one.expr, "10s")))
    }
    assert wrong == {}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_annotation_marks_something(scene: Scene, path: Path) -> None:
    """The worker that was killed set off an alert, and dashboards show when."""
    asked = [one["expr"] for one in json.loads(path.read_text())["annotations"]["list"]]
    assert asked
    assert {expression: says for expression in asked if (says := fault(scene, filled(expression)))} == {}


def test_every_rule_is_evaluated_without_an_error(scene: Scene) -> None:
    found = scene.prometheus.rules()
    assert len(found) == sum(len(group["rules"]) for path in RULES for group in groups(path))
    assert {rule["name"]: rule.get("lastError") for rule in found if rule["health"] != "ok"} == {}


def test_every_recorded_series_has_something_to_say(scene: Scene) -> None:
    records = [
        rule["record"] for path in RULES for group in groups(path) for rule in group["rules"] if "record" in rule
    ]
    assert records
    assert {record: says for record in records if (says := fault(scene, record))} == {}


def test_every_alert_has_something_to_compare(scene: Scene) -> None:
    """Silent because all is well, not because a label or a name is wrong."""
    alerts = [rule for path in RULES for group in groups(path) for rule in group["rules"] if "alert" in rule]
    assert alerts
    wrong = {}
    for rule in alerts:
        expression = compared(rule["expr"])
        answers = scene.prometheus.query_range(expression, scene.at - 10, scene.at, 1)
        values = [float(value) for series in answers for _, value in series["values"]]
        if not values or any(map(math.isnan, values)):
            wrong[rule["alert"]] = expression
    assert wrong == {}


def test_readmes_query_for_keda_has_one_answer(scene: Scene) -> None:
    assert queries()
    for query in queries():
        of_any_type = re.sub(r'type="[^"]*"', 'type=~".+"', query)
        assert fault(scene, of_any_type) is None
        assert len(scene.prometheus.query(of_any_type, scene.at)) == 1, "KEDA takes no more"


def groups(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"]
    return found


def compared(expression: str) -> str:
    """Return an alert's expression that says 0 or 1 where the alert's own says nothing or something.

    What stands behind an ``unless`` takes series away and has to stay as it is.
    """
    shown, unless, taken_away = expression.partition("unless")
    return COMPARISON.sub(r"\1 bool \2", shown) + unless + taken_away


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_variable_offers_values(scene: Scene, path: Path) -> None:
    asked = variable_queries(json.loads(path.read_text()))
    assert asked
    empty = [
        name
        for name, series, label in asked
        if not {labels[label] for labels in scene.prometheus.series(filled(series)) if label in labels}
    ]
    assert empty == []


def test_every_exported_family_reaches_prometheus_with_samples(scene: Scene) -> None:
    names = {
        family.name
        for url in scene.urls
        for family in text_string_to_metric_families(scrape(url))
        if family.name.startswith("jobpool_")
    }
    assert len(names) > 25
    missing = []
    for name in sorted(names):
        pattern = f'{{__name__=~"{name}(_total|_bucket|_info)?"}}'
        if not scene.prometheus.query(pattern, scene.at):
            missing.append(name)
    assert missing == []


def test_promtool_finds_no_fault_with_a_live_scrape(scene: Scene) -> None:
    for url in scene.urls:
        assert promtool("check", "metrics", stdin=scrape(url, TEXT)) == ""


def test_prometheus_takes_the_openmetrics_format(scene: Scene) -> None:
    """Promtool does not read that one; the server asks for it, and only there the type of info exists."""
    for url in scene.urls:
        families = list(openmetrics.text_string_to_metric_families(scrape(url, OPENMETRICS)))  # type: ignore[no-untyped-call]
        samples = sum(len(family.samples) for family in families)
        assert samples > 500
    assert set(scene.prometheus.types("jobpool_build")) == {"info"}
