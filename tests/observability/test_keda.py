"""README's examples for KEDA: of the form that it takes, and asking for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import yaml

from jobpool import WorkerPool

from ..conftest import MakeManager
from ..waiting import until
from .test_coverage import ADDED, documented, families, labels

README = (Path(__file__).parents[2] / "README.md").read_text()
#: What KEDA 2 knows, by the type of a trigger: what has to be there, and what may.
TRIGGERS = {
    "metrics-api": ({"url", "valueLocation", "targetValue"}, {"format", "activationTargetValue", "unsafeSsl"}),
    "prometheus": (
        {"serverAddress", "query", "threshold"},
        {"activationThreshold", "namespace", "ignoreNullValues"},
    ),
}
SPEC = {"scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "triggers"}


def scaled_objects() -> list[dict[str, Any]]:
    """Return README's ScaledObjects."""
    blocks = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    return [document for document in documents if document.get("kind") == "ScaledObject"]


def triggers(type: str) -> list[dict[str, str]]:
    """Return the metadata of README's triggers of that type."""
    found = [trigger for one in scaled_objects() for trigger in one["spec"]["triggers"] if trigger["type"] == type]
    return [trigger["metadata"] for trigger in found]


def queries() -> list[str]:
    """Return what README's triggers ask of Prometheus."""
    return [metadata["query"] for metadata in triggers("prometheus")]


def located(body: Any, location: str) -> Any:
    """Return what is at a path as KEDA understands it: names with dots between them."""
    for name in location.split("."):
        body = body[name]
    return body


def test_readme_has_an_example_of_each_trigger() -> None:
    assert {trigger["type"] for one in scaled_objects() for trigger in one["spec"]["triggers"]} == set(TRIGGERS)


def test_an_example_has_the_form_that_keda_takes() -> None:
    for one in scaled_objects():
        assert one["apiVersion"] == "keda.sh/v1alpha1"
        assert one["metadata"]["name"]
        spec = one["spec"]
        assert set(spec) <= SPEC
        assert set(spec["scaleTargetRef"]) == {"name"}
        assert 0 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        for trigger in spec["triggers"]:
            required, optional = TRIGGERS[trigger["type"]]
            assert required <= set(trigger["metadata"]) <= required | optional
            assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes only texts"


def test_the_endpoint_has_what_the_trigger_asks_for(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"email": lambda data: data})
    manager.create_many({"type": "other", "data": n} for n in range(100))
    with WorkerPool(manager, threads=1, backlog_interval=0.1) as pool:
        until(lambda: pool.backlog_view())
        base = pool.serve_metrics(0).url
        asked = triggers("metrics-api")
        assert asked
        for metadata in asked:
            url = urlsplit(metadata["url"])
            body = json.loads(urlopen(f"{base}{url.path}?{url.query}").read())
            assert "other" not in body["types"], "it asks for the types of its own pools"
            value = located(body, metadata["valueLocation"])
            assert isinstance(value, int)
            assert value == 0, "nothing of its own is due"
            assert float(metadata["targetValue"]) > 0


@pytest.mark.parametrize("kind", ["names", "labels"])
def test_the_query_is_of_what_is_exported(kind: str) -> None:
    known = documented()
    assert queries()
    for query in queries():
        used = families(query)
        assert used
        if kind == "names":
            assert used <= set(known)
        else:
            assert labels(query) <= ADDED.union(*(known[name] for name in used))
