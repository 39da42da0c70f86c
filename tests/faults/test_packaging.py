"""The package as others get it: a wheel without extras, and the newest Python at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobpool.embedded import EmbeddedMongo

from .hosts import ROOT
from .report import FaultReport

#: What the tests need beyond the package, when they run on another Python.
TEST_TOOLS = (
    "pytest",
    "pytest-timeout",
    "pytest-randomly",
    "hypothesis",
    "fastapi",
    "httpx2",
    "opentelemetry-sdk",
    "psutil",
)
LIFE = """
import os
from jobpool import JobManager, WorkerPool
number = int(os.environ["TEST_NUMBER"])
with JobManager(os.environ["TEST_DATABASE"], executors={"a": lambda data: [data]}) as manager:
    with WorkerPool(manager, threads=2) as pool:
        pool.serve_metrics(0)
        job = manager.wait(manager.create("a", number).id, 30)
    manager.create("a", -1 - number)
    print(job.result, manager.run_all())
"""


def succeed(command: list[str], **variables: str) -> str:
    """Run a command outside of the source tree and return what it printed; fail if it fails or warns."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, env={**environment, **variables}, cwd="/", capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def environment_with(python: str, directory: Path, *packages: str) -> str:
    """Make a virtual environment, install `packages` in it, and return its interpreter."""
    succeed([python, "-m", "venv", str(directory)])
    inside = str(directory / "bin" / "python")
    succeed([inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    return inside


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from a copy of the source tree, which stays as it is."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("jobpool", "pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, source / name)
    succeed([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(target), str(source)])
    (built,) = target.glob("jobpool-*.whl")
    return built


@pytest.mark.fault("F34")
def test_f34_the_wheel_runs_without_extras_and_without_warnings(
    fault: FaultReport, wheel: Path, server: EmbeddedMongo, database: str, tmp_path: Path
) -> None:
    python = environment_with(sys.executable, tmp_path / "venv", str(wheel))
    installed = succeed([python, "-m", "pip", "--disable-pip-version-check", "list"]).lower()
    assert not re.search(r"^(rich|fiftyone|pytest)", installed, re.MULTILINE)
    where = succeed([python, "-c", "import jobpool; print(jobpool.__file__)"]).strip()
    assert where.startswith(str(tmp_path)), "the one that was installed"
    modes = (
        ["-W", "error"],
        ["-O", "-W", "error"],
        ["-OO", "-W", "error"],
        ["-X", "dev", "-W", "error"],
        ["-I", "-b", "-b", "-W", "error"],
    )
    for number, flags in enumerate(modes):
        printed = succeed(
            [python, *flags, "-c", LIFE],
            JOBPOOL_URI=server.uri,
            TEST_DATABASE=database,
            TEST_NUMBER=str(number),
        )
        assert printed == f"[{number}] 1\n", f"{flags}: {printed}"
    command = str(Path(python).parent / "jobpool")
    assert "worker" in succeed([command, "--help"])
    exported = succeed([command, "dashboard", "export", str(tmp_path / "boards")]).splitlines()
    assert str(tmp_path / "boards" / "dashboards" / "overview.json") in exported
    assert (tmp_path / "boards" / "prometheus" / "alerts.rules.yml").read_bytes() == (
        ROOT / "grafana" / "prometheus" / "alerts.rules.yml"
    ).read_bytes()
    assert "worker" in succeed([python, "-W", "error", "-m", "jobpool", "--help"])
    fault.struck("pymongo" in installed, "an environment with nothing but the wheel and what it asks for")
    fault.figure("modes of Python without a warning", f"{len(modes)}/{len(modes)}")


def newest_python() -> str | None:
    """Return the newest interpreter at hand that is not of this version and not older than we support."""
    found: dict[tuple[int, int], str] = {}
    homes = sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    candidates = [*map(str, homes), *(shutil.which(f"python3.{minor}") or "" for minor in range(11, 20))]
    for candidate in filter(None, candidates):
        asked = [candidate, "-c", "import sys; print(*sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True)
        if done.returncode == 0:
            major, minor = map(int, done.stdout.split())
            found[major, minor] = candidate
    newer = {version: path for version, path in found.items() if version >= (3, 11)}
    newer.pop(sys.version_info[:2], None)
    return newer[max(newer)] if newer else None


@pytest.mark.fault("F35")
@pytest.mark.timeout(600)
def test_f35_the_suite_is_green_on_the_newest_python_at_hand(
    fault: FaultReport, wheel: Path, server: EmbeddedMongo, database: str, tmp_path: Path
) -> None:
    newest = newest_python()
    if newest is None:
        pytest.skip("there is no other Python from 3.11 on here")
    python = environment_with(newest, tmp_path / "venv", f"{wheel}[cli,cron]", *TEST_TOOLS)
    version = succeed([python, "-c", "import sys; print(sys.version.split()[0])"]).strip()
    life = succeed(
        [python, "-W", "error", "-c", LIFE], JOBPOOL_URI=server.uri, TEST_DATABASE=database, TEST_NUMBER="5"
    )
    assert life == "[5] 1\n"
    suites = fault.length(["unit"], ["unit", "integration"])
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{suite}" for suite in suites)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
        env={**os.environ, "JOBPOOL_FAULTS": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    fault.struck(version != sys.version.split()[0] and version, "another Python")
    fault.figure(f"passed on Python {version}", passed[1])
