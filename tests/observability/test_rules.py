"""The rules for Prometheus, by its own tool: well formed, each alert firing for its cause and silent without."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from .tools import promtool

FOLDER = Path(__file__).parents[2] / "grafana" / "prometheus"
RULES = sorted(FOLDER.glob("*.rules.yml"))
#: How the end of a sentence on what to do begins, more or less: an order.
ORDERS = re.compile(r"(?i)\b(look|add|start|give|restart|compare|remove|report|create|mended|more threads)\b")


def rules(kind: str) -> list[dict[str, Any]]:
    """Return the rules of a kind: alert or record."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    return found


def expected(firing: bool) -> list[str]:
    """Return the labels of the samples of ALERTS that the tests of the rules expect."""
    samples = [
        sample["labels"]
        for test in cases()
        for one in test["promql_expr_test"]
        for sample in one["exp_samples"]
        if one["expr"].startswith("ALERTS")
    ]
    return [labels for labels in samples if ('alertstate="firing"' in labels) is firing]


def test_the_rules_are_well_formed() -> None:
    printed = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert printed.count("SUCCESS") == len(RULES) == 2


def test_the_example_configuration_is_well_formed() -> None:
    assert "is valid prometheus config" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_the_rules_do_what_their_tests_say() -> None:
    assert "SUCCESS" in promtool("test", "rules", FOLDER / "rules_test.yml")


def test_the_tests_of_the_rules_notice_a_change(tmp_path: Path) -> None:
    """Or they would hold for any rules: with other limits they fail."""
    shutil.copytree(FOLDER, tmp_path / "rules")
    alerts = tmp_path / "rules" / "alerts.rules.yml"
    text = alerts.read_text()
    assert "> 0.95" in text
    alerts.write_text(text.replace("> 0.95", "> 1.95"))
    with pytest.raises(AssertionError, match="JobpoolSaturated"):
        promtool("test", "rules", tmp_path / "rules" / "rules_test.yml")


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules("alert")])
def test_an_alert_has_a_test_in_which_it_fires(alert: str) -> None:
    """In that of the idle system all of them are silent, in those of the others all but one."""
    assert [labels for labels in expected(firing=True) if f'alertname="{alert}"' in labels]


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Jobpool")
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert ORDERS.search(rule["annotations"]["description"])


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
def test_a_text_names_only_labels_that_the_alert_has(rule: dict[str, Any]) -> None:
    """A label that is not there is nothing in the text, and nobody is told."""
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    firing = [labels for labels in expected(firing=True) if f'alertname="{rule["alert"]}"' in labels]
    assert any(named <= set(re.findall(r'(\w+)="', labels)) for labels in firing)


def test_recorded_series_say_level_metric_and_operation() -> None:
    for rule in rules("record"):
        assert re.fullmatch(r"[a-z_]+:jobpool_[a-z_]+:[a-z_]+(\d+[mh])?", rule["record"])


def test_rules_name_only_series_that_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules("record")}
    used = {name for rule in rules("alert") for name in re.findall(r"\w+:jobpool_\w+:\w+", rule["expr"])}
    assert used
    assert used <= recorded


def test_limits_of_buckets_are_floats() -> None:
    """As they are exported: le="30" would match nothing, and an alert on it would never fire."""
    limits = [limit for rule in rules("record") for limit in re.findall(r'le="([^"]+)"', rule["expr"])]
    assert set(limits) == {"30.0"}
