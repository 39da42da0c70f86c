"""Panels as Grafana's classic JSON, and how to read the queries out of it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

#: A piece of a dashboard, as it is written to JSON.
Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "yellow", "red"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel.

    Attributes:
        expr: PromQL.
        legend: Name of its series; in a table, of its column.
        unit: Of that column, where it is not the panel's.
    """

    expr: str
    legend: str
    unit: str = ""


def timeseries(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stack: bool = False,
    limits: Sequence[float] = (),
    mappings: Sequence[Json] = (),
) -> Json:
    """Return a panel of curves; `limits` are drawn as lines, the first yellow, the second red."""
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stack else 5,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
        "thresholdsStyle": {"mode": "line" if limits else "off"},
    }
    options = {
        "legend": {
            "calcs": ["lastNotNull", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, description, unit, options, [_target(query) for query in queries])
    panel["fieldConfig"]["defaults"].update(custom=custom, min=0, color={"mode": "palette-classic"})
    return _marked(panel, limits, mappings)


def stat(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    limits: Sequence[float] = (),
    low_is_bad: bool = False,
    mappings: Sequence[Json] = (),
    empty: str = "no data",
) -> Json:
    """Return a panel of one number; from `limits` on it is yellow, then red, or until then if low is bad."""
    options = {
        "colorMode": "background" if limits else "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "auto" if len(queries) == 1 else "value_and_name",
        "wideLayout": True,
    }
    panel = _panel("stat", title, description, unit, options, [_target(query) for query in queries])
    panel["fieldConfig"]["defaults"].update(color={"mode": "thresholds"}, noValue=empty)
    return _marked(panel, limits, mappings, low_is_bad)


def table(title: str, description: str, key: str, *queries: Query, links: Sequence[Json] = ()) -> Json:
    """Return a table with a line per value of the label `key`, and a column per query."""
    targets = [{**_target(query), "format": "table", "instant": True, "range": False} for query in queries]
    options = {
        "cellHeight": "sm",
        "frameIndex": 0,
        "showHeader": True,
        "sortBy": [{"desc": True, "displayName": queries[0].legend}],
    }
    panel = _panel("table", title, description, "short", options, targets)
    for number, query in enumerate(queries):
        targets[number]["refId"] = _ref(number)
        panel["fieldConfig"]["overrides"].append(_override(query.legend, "unit", query.unit or "short"))
    if links:
        panel["fieldConfig"]["overrides"].append(_override(key, "links", list(links)))
    panel["fieldConfig"]["defaults"]["custom"] = {"align": "auto", "inspect": False, "filterable": True}
    names = {f"Value #{_ref(number)}": query.legend for number, query in enumerate(queries)}
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": {}}},
    ]
    return panel


def heatmap(title: str, description: str, unit: str, query: Query) -> Json:
    """Return how the observations of a histogram spread over its buckets, as time goes by."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scale": "exponential",
            "scheme": "Oranges",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    panel = _panel("heatmap", title, description, unit, options, [{**_target(query), "format": "heatmap"}])
    panel["fieldConfig"]["defaults"]["custom"] = {"scaleDistribution": {"type": "linear"}}
    return panel


def over(limit: float, text: str) -> Json:
    """Return a mapping that shows `text` for values from `limit` on."""
    return {"type": "range", "options": {"from": limit, "to": None, "result": {"text": text, "index": 0}}}


def _panel(kind: str, title: str, description: str, unit: str, options: Json, targets: list[Json]) -> Json:
    for number, target in enumerate(targets):
        target["refId"] = _ref(number)
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": dict(DATASOURCE),
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "options": options,
        "targets": targets,
    }


def _target(query: Query) -> Json:
    return {
        "refId": "",
        "datasource": dict(DATASOURCE),
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": False,
        "range": True,
    }


def _marked(panel: Json, limits: Sequence[float], mappings: Sequence[Json], low_is_bad: bool = False) -> Json:
    colours = [RED, YELLOW, GREEN][-len(limits) - 1 :] if low_is_bad else [GREEN, YELLOW, RED]
    if len(limits) == 1:
        colours = [RED, GREEN] if low_is_bad else [GREEN, RED]
    steps = [{"color": colour, "value": value} for colour, value in zip(colours, [None, *limits], strict=False)]
    panel["fieldConfig"]["defaults"]["thresholds"] = {"mode": "absolute", "steps": steps}
    if mappings:
        panel["fieldConfig"]["defaults"]["mappings"] = list(mappings)
    return panel


def _override(field: str, property: str, value: object) -> Json:
    return {"matcher": {"id": "byName", "options": field}, "properties": [{"id": property, "value": value}]}


def _ref(number: int) -> str:
    return chr(ord("A") + number)


class Expression(NamedTuple):
    """A query of a dashboard, as somebody who runs it needs it."""

    panel: str
    ref: str
    expr: str
    unit: str
    legend: str


def panels_of(dashboard: Json) -> list[Json]:
    """Return the panels of a dashboard in order, the heads of rows not."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: Json) -> list[Expression]:
    """Return every query of every panel, with the variables still in it (see `filled`)."""
    return [
        Expression(panel["title"], target["refId"], target["expr"], _unit(panel, target), target["legendFormat"])
        for panel in panels_of(dashboard)
        for target in panel["targets"]
    ]


def filled(expr: str, rate_interval: str = "1m", **variables: str) -> str:
    """Return `expr` as Grafana sends it: all variables on All but for those given."""
    expr = expr.replace("$__rate_interval", rate_interval)
    for name in ("job", "instance", "pool", "type"):
        expr = expr.replace(f"${name}", variables.get(name, ".*"))
    return expr


def _unit(panel: Json, target: Json) -> str:
    units = {
        override["matcher"]["options"]: property["value"]
        for override in panel["fieldConfig"]["overrides"]
        for property in override["properties"]
        if property["id"] == "unit"
    }
    return str(units.get(target["legendFormat"], panel["fieldConfig"]["defaults"]["unit"]))
