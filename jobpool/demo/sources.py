"""The demo's input and its executor: Python files, and what is in them."""

from __future__ import annotations

import ast
import sysconfig
import threading
from collections import Counter
from pathlib import Path
from typing import Any

TYPE = "parse"
QUICK = 200
BROKEN = "def broken(:\n    return 'this file is here to show a failed job'\n"

#: CPython's conversion to `ast` objects keeps its recursion depth per interpreter, not per thread:
#: two threads at once now and then raise "AST constructor recursion depth mismatch" (gh-106905).
_one_parser = threading.Lock()


def standard_library() -> list[Path]:
    """Return the Python files of the running interpreter's standard library, in a stable order."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)


def every_nth(paths: list[Path], wanted: int) -> list[Path]:
    """Return `wanted` of `paths`, spread evenly."""
    step = max(1, len(paths) // wanted)
    return paths[::step][:wanted]


def parse(data: dict[str, str]) -> dict[str, Any]:
    """Return the lines, functions, classes and imported modules of the file at ``data["path"]``.

    Raises what `ast.parse` raises for a file that is not valid Python.
    """
    path = Path(data["path"])
    source = path.read_bytes()
    functions = classes = 0
    imports: Counter[str] = Counter()
    with _one_parser:
        tree = ast.parse(source, filename=path.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions += 1
        elif isinstance(node, ast.ClassDef):
            classes += 1
        elif isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports[node.module.partition(".")[0]] += 1
    return {
        "lines": source.count(b"\n"),
        "functions": functions,
        "classes": classes,
        "imports": dict(sorted(imports.items())),
    }


def parse_serially(paths: list[Path]) -> dict[str, dict[str, Any] | str]:
    """Return the truth: what `parse` gives for each path, or the name of the exception it raises."""
    results: dict[str, dict[str, Any] | str] = {}
    for path in paths:
        try:
            results[str(path)] = parse({"path": str(path)})
        except (SyntaxError, ValueError, RecursionError) as error:
            results[str(path)] = type(error).__name__
    return results
