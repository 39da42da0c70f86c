"""The main job, as a newcomer runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pymongo import MongoClient

from jobpool.embedded import EmbeddedMongo

from .conftest import ROOT


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobpool", "demo", "--quick", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_the_demo_checks_its_results_and_keeps_its_data_on_request(tmp_path: Path) -> None:
    done = demo("--keep", str(tmp_path / "data"))
    assert done.returncode == 0, done.stdout + done.stderr
    for part in (
        "201 jobs",
        "0 new, 201 known",
        "/metrics",
        "broken.py: SyntaxError",
        "jobs/s",
        "p99",
        "exactly once",
    ):
        assert part in done.stdout, part
    with EmbeddedMongo(tmp_path / "data") as server, MongoClient[dict[str, object]](server.uri) as client:
        (name,) = client["jobpool_demo"].list_collection_names(filter={"name": {"$not": {"$regex": r"\.pools$"}}})
        assert client["jobpool_demo"][name].count_documents({}) == 201
        assert client["jobpool_demo"][name].count_documents({"state": "failed"}) >= 1


def test_the_demo_runs_on_a_real_server_and_without_rich(server: EmbeddedMongo) -> None:
    script = "import sys; sys.modules['rich'] = None; from jobpool.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, "demo", "--quick", "--uri", server.uri],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exactly once" in done.stdout


def test_the_demo_exits_3_when_nobody_answers() -> None:
    done = demo("--uri", "mongodb://someone:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=300")
    assert done.returncode == 3
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_nonsense_is_refused_before_anything_is_started() -> None:
    for arguments, message in ((["--threads", "0"], "threads"), (["--metrics-port", "99999"], "metrics port")):
        done = demo(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
