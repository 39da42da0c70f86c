"""The dashboards: as generated, and as somebody who has never read the code needs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jobpool.cli import main
from jobpool.grafana import export, exported_files
from jobpool.grafana.dashboard import SCHEMA_VERSION, variable_queries
from jobpool.grafana.generate import DASHBOARDS, FOLDER, text_of
from jobpool.grafana.panels import expressions, filled, panels_of

ROOT = Path(__file__).parents[2]
VARIABLES = ["datasource", "job", "instance", "pool", "type"]
ROWS = ["Now", "Flow", "Latency", "Saturation", "Contention and leases", "Store", "Types"]


def load(name: str) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return dashboard


def panels() -> list[Any]:
    """Return every panel with the name of its dashboard, as parameters of a test."""
    return [
        pytest.param(panel, id=f"{name}-{panel['id']}") for name in DASHBOARDS for panel in panels_of(load(name))
    ]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_what_is_committed_is_what_is_generated(name: str) -> None:
    """`python -m jobpool.grafana.generate` writes them."""
    assert (FOLDER / f"{name}.json").read_text() == text_of(DASHBOARDS[name]())


def test_there_is_no_other_dashboard_and_the_link_leads_to_them() -> None:
    assert {path.stem for path in (ROOT / "grafana" / "dashboards").iterdir()} == set(DASHBOARDS)
    assert FOLDER.resolve() == (ROOT / "grafana" / "dashboards").resolve()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_has_its_id_and_its_variables(name: str) -> None:
    dashboard = load(name)
    assert dashboard["uid"] == f"jobpool-{name}"
    assert dashboard["schemaVersion"] == SCHEMA_VERSION
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == VARIABLES
    for variable in dashboard["templating"]["list"][1:]:
        assert variable["multi"]
        assert variable["includeAll"]
    assert [name for name, _, label in variable_queries(dashboard) if name == label] == VARIABLES[1:]


def test_the_overview_has_its_rows() -> None:
    assert [panel["title"] for panel in load("overview")["panels"] if panel["type"] == "row"] == ROWS


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(name: str) -> None:
    placed = load(name)["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in placed):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("panel", panels())
def test_a_panel_says_what_it_means_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert len(panel["description"].split()) >= 6
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [target["datasource"] for target in panel["targets"]] == [panel["datasource"]] * len(panel["targets"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_expressions_follow_the_variables(name: str) -> None:
    found = expressions(load(name))
    assert found
    for one in found:
        assert 'job=~"$job"' in one.expr, one
        assert "$" not in filled(one.expr), one
        for window in re.findall(r"rate\([^\[]*\[([^\]]*)\]", one.expr):
            assert window == "$__rate_interval", one


def test_the_cluster_view_is_never_summed_over_who_exports_it() -> None:
    for name in DASHBOARDS:
        for one in expressions(load(name)):
            for before in re.findall(r"(.{0,24})jobpool_(?:backlog_jobs|oldest_due|pools_alive)", one.expr):
                assert re.search(r"max(?: by \([a-z, ]+\) ?)?\s?\($", before), one


def test_an_export_writes_what_is_for_users(tmp_path: Path) -> None:
    written = export(tmp_path / "new" / "folder")
    assert {path.name for path in written} >= {"README.md", "overview.json", "alerts.rules.yml", "prometheus.yml"}
    assert not [path for path in written if path.suffix == ".py"]
    for path in written:
        assert (tmp_path / "new" / "folder" / path).read_bytes() == (ROOT / "grafana" / path).read_bytes()


def test_an_export_overwrites_changes_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "export", str(tmp_path)]) == 0
    assert main(["dashboard", "export", str(tmp_path)]) == 0, "what is the same may be written again"
    changed = tmp_path / "dashboards" / "types.json"
    changed.write_text("mine")
    (tmp_path / "README.md").unlink()
    capsys.readouterr()
    assert main(["dashboard", "export", str(tmp_path)]) == 1
    assert "types.json" in capsys.readouterr().err
    assert changed.read_text() == "mine"
    assert not (tmp_path / "README.md").exists(), "nothing was written"
    assert main(["dashboard", "export", "--force", str(tmp_path)]) == 0
    assert changed.read_text() != "mine"
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / path) for path in exported_files()]


def test_an_export_to_where_it_cannot_write_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["dashboard", "export", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == f"jobpool: {tmp_path / 'file'} is not a directory\n"
