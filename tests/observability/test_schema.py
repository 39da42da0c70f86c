"""The dashboards against the types that Grafana publishes (@grafana/schema), by TypeScript's own compiler."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobpool.grafana.generate import DASHBOARDS
from jobpool.grafana.panels import panels_of

from .test_generated import load
from .tools import CACHE, absent, need_npm

SCHEMA, TYPESCRIPT = "12.4.3", "5.9.3"
FOLDER = CACHE / f"schema-{SCHEMA}-{TYPESCRIPT}"
#: JSON has texts where the types have enums: `Plain` is a type with its enums of texts turned into those texts.
#: What plugins put into an annotation is not in the types.
HEAD = """
import type { AnnotationQuery, Dashboard, Panel } from '@grafana/schema';
import type { Options as HeatmapOptions } from
  '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type { Options as StatOptions } from
  '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as TableOptions } from
  '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { FieldConfig as CurveConfig, Options as CurveOptions } from
  '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
type Whole = Plain<Omit<Dashboard, 'annotations'>> & {
  annotations?: { list?: Array<Plain<AnnotationQuery> & Record<string, unknown>> };
};
"""
#: What the options of a panel have to be, by its type.
OPTIONS = {
    "timeseries": "CurveOptions",
    "stat": "StatOptions",
    "table": "TableOptions",
    "heatmap": "HeatmapOptions",
}


def program(dashboard: dict[str, Any]) -> str:
    """Return a program that compiles if the dashboard has the types of Grafana."""
    lines = [HEAD, f"export const dashboard: Whole = {json.dumps(dashboard)};"]
    for panel in panels_of(dashboard):
        name, kind = f"panel{panel['id']}", panel["type"]
        lines.append(f"export const {name}: Plain<{OPTIONS[kind]}> = {json.dumps(panel['options'])};")
        if kind == "timeseries":
            custom = json.dumps(panel["fieldConfig"]["defaults"]["custom"])
            lines.append(f"export const {name}Custom: Plain<CurveConfig> = {custom};")
    return "\n".join(lines)


def faults_in(directory: Path, **programs: str) -> str:
    """Return what the compiler says about programs; nothing if they are right."""
    for name, text in programs.items():
        (directory / f"{name}.ts").write_text(text)
    (directory / "node_modules").symlink_to(FOLDER / "node_modules")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    command = [str(FOLDER / "node_modules/.bin/tsc"), *options, *(f"{name}.ts" for name in programs)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=100)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    """Install the compiler and the types once; they stay for the next session of tests."""
    npm = need_npm()
    if (FOLDER / "complete").exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "package.json").write_text('{"private": true}')
    packages = (f"@grafana/schema@{SCHEMA}", f"typescript@{TYPESCRIPT}")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=100)
    if done.returncode:
        absent(f"npm could not install the types of Grafana: {done.stderr[-500:]}")
    (FOLDER / "complete").touch()


def test_the_dashboards_are_what_grafana_reads(tmp_path: Path) -> None:
    assert faults_in(tmp_path, **{name: program(load(name)) for name in DASHBOARDS}) == ""


def test_the_compiler_finds_what_is_wrong(tmp_path: Path) -> None:
    """Or the test above would hold for anything."""
    dashboard = load("overview")
    dashboard["templating"]["list"][0]["hide"] = 7
    dashboard["panels"][1]["gridPos"]["w"] = "4"
    dashboard["panels"][2]["fieldConfig"]["defaults"]["color"]["mode"] = "no-such-palette"
    dashboard["panels"][3]["options"]["graphMode"] = "no-such-mode"
    dashboard["panels"][4]["titel"] = "misspelt"
    found = faults_in(tmp_path, wrong=program(dashboard))
    for trace in ("'7'", "'number'", "no-such-palette", "no-such-mode", "titel"):
        assert trace in found
