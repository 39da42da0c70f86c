"""A dashboard around its rows: variables, places on the grid, and what Grafana wants to know besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .panels import DATASOURCE, Json

#: The classic JSON of Grafana 11.6 and later.
SCHEMA_VERSION = 41
COLUMNS = 24

#: Of what a variable offers: the metric that has the label, and which of its series.
INSTANCES_OF_JOB = 'jobpool_build_info{job=~"$job"}'
POOLS_OF_INSTANCE = 'jobpool_threads{job=~"$job",instance=~"$instance"}'
#: A type shows up where it is created, where it runs, or where the backlog is counted.
TYPES_OF_JOB = '{__name__=~"jobpool_(backlog_jobs|attempts_total|jobs_created_total)",job=~"$job"}'

#: Panels side by side: their height, and each with its width.
Line = tuple[int, Sequence[tuple[int, Json]]]


class Row(NamedTuple):
    """Lines of panels below a title."""

    title: str
    lines: Sequence[Line]


def row(title: str, *lines: Line) -> Row:
    """Return a row to give to `dashboard`."""
    return Row(title, lines)


def even(height: int, *panels: Json) -> Line:
    """Return a line of panels that share the width."""
    return height, [(COLUMNS // len(panels), panel) for panel in panels]


def dashboard(uid: str, title: str, description: str, variables: list[Json], rows: Sequence[Row]) -> Json:
    """Return the whole dashboard. `uid` never changes: links and provisioning go by it."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["jobpool"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "annotations": {"list": [_alerts()]},
        "links": [_siblings()],
        "templating": {"list": variables},
        "panels": _placed(rows),
    }


def variables(pools: str = "") -> list[Json]:
    """Return the variables; `pools` is a pattern that names of pools have to match to be offered."""
    source: Json = {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "multi": False,
        "includeAll": False,
        "refresh": 1,
        "regex": "",
        "options": [],
        "hide": 0,
    }
    return [
        source,
        _variable("job", "Scrape job", "jobpool_build_info", "One per collection of jobs."),
        _variable("instance", "Instance", INSTANCES_OF_JOB, "A process that is scraped."),
        _variable("pool", "Pool", POOLS_OF_INSTANCE, "The name given to a WorkerPool.", pools),
        _variable("type", "Type", TYPES_OF_JOB, "Type of job."),
    ]


def _variable(name: str, label: str, series: str, description: str, offered: str = "") -> Json:
    query = f"label_values({series}, {name})"
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": dict(DATASOURCE),
        "query": {"query": query, "refId": f"variable-{name}", "qryType": 1},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "multi": True,
        "includeAll": True,
        "allValue": offered or ".*",
        "refresh": 2,
        "regex": f"/^{offered}$/" if offered else "",
        "sort": 1,
        "options": [],
        "hide": 0,
    }


def variable_queries(dashboard: Json) -> list[tuple[str, str, str]]:
    """Return name, series and label of what each variable asks Prometheus for, variables still in it."""
    found = []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            series, _, label = variable["query"]["query"].removeprefix("label_values(")[:-1].rpartition(", ")
            found.append((variable["name"], series, label))
    return found


def _placed(rows: Sequence[Row]) -> list[Json]:
    placed: list[Json] = []
    y = 0
    for title, lines in rows:
        head: Json = {"type": "row", "id": 0, "title": title, "collapsed": False, "panels": []}
        placed.append({**head, "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y += 1
        for height, panels in lines:
            x = 0
            for width, panel in panels:
                placed.append({"id": 0, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}})
                x += width
            y += height
    for number, panel in enumerate(placed, 1):
        panel["id"] = number
    return placed


def _alerts() -> Json:
    """Return the annotation that marks when alerts of jobpool fired."""
    return {
        "name": "Alerts",
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "datasource": dict(DATASOURCE),
        "expr": 'ALERTS{alertname=~"Jobpool.*",alertstate="firing",job=~"$job"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{pool}} {{type}}",
        "step": "60s",
    }


def _siblings() -> Json:
    return {
        "type": "dashboards",
        "title": "jobpool",
        "tags": ["jobpool"],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
