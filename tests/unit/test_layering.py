"""Imports go downward only, and each third party has its place."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobpool

ROOT = Path(jobpool.__file__).parent

#: From low to high: a module imports only what stands before it, or is in the same package.
LAYERS = [
    *(
        "chance",
        "errors",
        "installed",
        "names",
        "phrases",
        "data",
        "ids",
        "dependencies",
        "progress",
        "waitable",
        "job",
        "capacity",
        "backlog",
        "held_back",
        "observer",
        "hooks",
        "logs",
        "limits",
        "backoff",
        "signals",
    ),
    *("pauses", "retention", "records", "validation", "isolation", "executors", "outcome", "config"),
    *("overview", "checkup", "why", "changes", "relations", "error_groups", "matching", "timetable", "schedules"),
    *(
        "trouble",
        "current",
        "job_logs",
        "child",
        "tracing",
        "request",
        "importing",
        "guarding",
        "middleware",
        "http",
        "store",
        "pool",
        "metrics",
        "manager",
        "aio",
        "late",
        "__init__",
        "embedded",
        "demo",
        "grafana",
        "bench",
        "cli",
        "testing",
        "__main__",
    ),
]

#: What is imported from outside, and by whom; a name ends in a dot if it means the modules of a package.
THIRD_PARTIES = {
    "pymongo": ("store.", "embedded", "bench."),
    "bson": ("data", "importing.", "store.", "bench."),
    "prometheus_client": ("metrics.", "bench."),
    "rich": ("demo.", "cli."),
    "shtab": ("cli.completion",),
    "opentelemetry": ("tracing.",),
    "cronsim": ("timetable",),
    "matplotlib": ("bench.plots",),
    "psutil": ("bench.",),
    "pytest": ("testing.plugin",),
}


def modules() -> dict[str, Path]:
    """Return the files of the package by module name, relative to it; packages end in ``.__init__``."""
    paths = {*ROOT.rglob("*.py"), *(ROOT / "grafana").rglob("*.py")}  # a link, which the first does not follow
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(paths)}


MODULES = modules()


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield all imports below `node`, those in functions too, those for type checkers not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and is_type_checking(child):
            for other in child.orelse:
                yield from imports(other)
        else:
            yield from imports(child)


def imported(name: str) -> set[str]:
    """Return the absolute names that the module `name` imports, of our own those of modules."""
    package = ["jobpool", *name.split(".")[:-1]]
    found: set[str] = set()
    for statement in imports(ast.parse(MODULES[name].read_text())):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
            continue
        base = package[: len(package) - statement.level + 1] if statement.level else []
        source = ".".join([*base, *([statement.module] if statement.module else [])])
        for alias in statement.names:
            inner = f"{source}.{alias.name}".removeprefix("jobpool.")
            is_module = source.startswith("jobpool") and (inner in MODULES or f"{inner}.__init__" in MODULES)
            found.add(f"jobpool.{inner}" if is_module else source)
    return found


def own(name: str) -> set[str]:
    """Return the modules of ours that `name` imports, relative to the package."""
    ours = {full for full in imported(name) if full.split(".")[0] == "jobpool"}
    return {full.partition(".")[2] or "__init__" for full in ours}


def layer(name: str) -> str:
    return name.split(".")[0]


def matches(name: str, place: str) -> bool:
    return name.startswith(place) if place.endswith(".") else name == place


def test_every_module_has_a_layer() -> None:
    assert {layer(name) for name in MODULES} <= set(LAYERS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downward(name: str) -> None:
    level = LAYERS.index(layer(name))
    upward = [other for other in own(name) if LAYERS.index(layer(other)) > level]
    assert upward == []


@pytest.mark.parametrize("name", MODULES)
def test_only_known_third_parties_are_imported_in_their_places(name: str) -> None:
    outside = {full.split(".")[0] for full in imported(name)} - {"jobpool"} - sys.stdlib_module_names
    misplaced = [
        party for party in outside if not any(matches(name, place) for place in THIRD_PARTIES.get(party, ()))
    ]
    assert misplaced == []


def test_the_embedded_server_stands_alone() -> None:
    assert own("embedded") <= {"errors", "names"}


def test_the_dashboards_stand_alone() -> None:
    inside = {name for name in MODULES if layer(name) == "grafana"}
    assert {"grafana.overview", "grafana.__init__"} <= inside
    assert {layer(other) for name in inside for other in own(name)} <= {"grafana"}


def test_the_parser_sees_what_it_should() -> None:
    """Or the tests above would hold for a package without imports."""
    assert {"errors", "data", "observer", "store.failures"} <= own("store.connection")
    assert "pymongo" in imported("store.connection")
    assert "manager" in own("cli.options.loading")  # inside a function
    assert "rich.console" in imported("demo.screen")
