"""What is drawn: the answers of a real Prometheus to the queries of the panels, over one run of the load."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from jobpool.embedded import EmbeddedMongo
from jobpool.grafana.panels import filled, panels_of

from ..prometheus import Prometheus
from ..scene import recorded

#: As Grafana picks it at a scrape interval of a second: wide enough for a smooth curve.
RATE_INTERVAL = "8s"

#: An answer by panel id, target by target; and when it all was.
Recording = dict[str, Any]


def record(dashboard: dict[str, Any], rules: list[Path], calm: int) -> Recording:
    """Run the load and ask for everything on the dashboard.

    Args:
        dashboard: As its JSON has it.
        rules: For the alerts that dashboards show.
        calm: Seconds between the mishaps; the whole takes some eight times as long.
    """
    with (
        tempfile.TemporaryDirectory(prefix="jobpool-picture-") as directory,
        EmbeddedMongo(parameters={"enableTestCommands": 1}) as server,
        MongoClient[dict[str, Any]](server.uri) as client,
        recorded(server.uri, client, Path(directory), rules, calm=calm) as scene,
    ):
        scene.scrapes(2 * calm)
        end = scene.prometheus.value("max(timestamp(up))")
        return {
            "start": scene.began + 3,  # a rate needs two scrapes
            "end": end,
            "mishaps": scene.mishaps,
            "panels": {
                str(panel["id"]): _answers(scene.prometheus, panel, scene.began + 3, end)
                for panel in panels_of(dashboard)
            },
        }


def _answers(prometheus: Prometheus, panel: dict[str, Any], start: float, end: float) -> list[Any]:
    found: list[Any] = []
    for target in panel["targets"]:
        expression = filled(target["expr"], RATE_INTERVAL)
        if target.get("instant"):
            answers = prometheus.query(expression, end)
            found.append([{"metric": one["metric"], "values": [one["value"]]} for one in answers])
        else:
            found.append(prometheus.query_range(expression, start, end, 0.5))
    return found
