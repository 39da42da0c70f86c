"""Nothing read from the store becomes code: only functions registered in this process run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import jobpool
from jobpool import JobManager, WorkerPool

from ..conftest import Jobs, MakeManager
from ..waiting import until

ROOT = Path(jobpool.__file__).parent
SOURCES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.rglob("*.py"))}

#: Modules that make code or objects of data.
DANGEROUS = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "yaml",
    "jsonpickle",
    "code",
    "runpy",
}
#: Calls that do; by name, or as the last part of a dotted one.
CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "loads", "literal_eval", "execfile"}
#: Imports by name: of the user's own MODULE:MANAGER, of our command modules and of our benchmarks.
IMPORTS_BY_NAME = {
    *("cli/options/loading.py", "cli/parser.py", "cli/bench.py"),
    *("bench/child.py", "bench/plots.py", "bench/running.py"),
}
#: An isolated executor and its pool, two processes of one program, hand each other what they pickled themselves.
PICKLES = {"isolation.py", "child/serving.py", "child/failing.py", "pool/children.py", "pool/answers.py"}
#: Of extended JSON come values that BSON has, and no others.
HARMLESS = {("re", "compile"), ("json", "loads"), ("json_util", "loads"), ("platform", "system")}


def found_in(source: str) -> set[str]:
    """Return the names of dangerous modules and calls in `source`."""
    found: set[str | None] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & DANGEROUS
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module.split(".")[0]} & DANGEROUS
            found |= {alias.name for alias in node.names} & (CALLS | {"import_module"})
        elif isinstance(node, ast.Call):
            found |= {called(node.func)} & (CALLS | {"import_module"})
            found |= {keyword.arg for keyword in node.keywords if _is_true(keyword)} & {"shell"}
    return {name for name in found if name}


def called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        return "" if (owner, function.attr) in HARMLESS else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_true(keyword: ast.keyword) -> bool:
    return not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)


@pytest.mark.parametrize("name", SOURCES)
def test_no_module_makes_code_of_data(name: str) -> None:
    allowed = {"import_module"} if name in IMPORTS_BY_NAME else set()
    allowed |= {"pickle", "loads"} if name in PICKLES else set()
    assert found_in(SOURCES[name]) - allowed == set()


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval(x)",
        "builtins.exec(x)",
        "pickle.loads(x)",
        "from importlib import import_module",
        "importlib.import_module(x)",
        "__import__(x)",
        "subprocess.run(x, shell=True)",
        "os.system(x)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert found_in(source)


def test_modules_are_imported_by_name_where_the_user_names_them_only() -> None:
    assert {name for name, source in SOURCES.items() if "import_module" in found_in(source)} == IMPORTS_BY_NAME


@pytest.mark.parametrize(
    "type", ["os.system", "__import__", "builtins.eval", "jobpool.manager:JobManager", "print"]
)
def test_a_stored_type_that_names_a_function_is_not_run(
    make_manager: MakeManager, jobs: Jobs, type: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also not when somebody wrote it into the collection by hand."""
    manager = make_manager(executors={"a": lambda data: "ran"})
    manager.create(type, "echo pwned", priority=10)
    stored = jobs.find_one()
    assert stored is not None
    jobs.insert_one({**stored, "_id": "by hand", "executor": type, "fn": "os.system", "module": "os"})
    mark = manager.create("a").id
    with WorkerPool(manager, threads=1):
        until(lambda: manager.get(mark).state.final)
    assert manager.run() is None
    assert manager.count(type=type, state="pending") == 2
    assert "pwned" not in capfd.readouterr().out


def test_data_that_look_like_a_call_are_handed_over_as_data(make_manager: MakeManager) -> None:
    data = {"__class__": "os.system", "py/object": "os.system", "__reduce__": ["os.system", ["echo pwned"]]}
    manager = make_manager(executors={"a": lambda data: data})
    manager.create("a", data)
    done = manager.run()
    assert done is not None
    assert done.result == data


def test_a_fork_of_the_type_by_hand_reaches_a_registered_function_only(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    """What the threat model says: who writes the collection chooses among the functions, and their data."""
    manager: JobManager = make_manager(executors={"a": lambda data: f"a {data}", "b": lambda data: f"b {data}"})
    id = manager.create("a", 1).id
    jobs.update_one({"_id": id}, {"$set": {"type": "b", "data": 2}})
    done = manager.run()
    assert done is not None
    assert done.result == "b 2"
