"""The benchmarks run, prove what they must, and write what they say. Never how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from jobpool.embedded import EmbeddedMongo

from .conftest import ROOT


def test_throughput_proves_once_only_and_writes_its_figures(server: EmbeddedMongo, tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    command = ["-m", "benchmarks", "throughput", "--quick", "--uri", server.uri, "--json", str(target)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ran exactly once" in done.stdout
    figures = json.loads(target.read_text())
    assert set(figures["per_second"]) == {"floor", "pool", "loop", "insert_many", "create_many"}
    assert all(len(values) == 3 and min(values) > 0 for values in figures["per_second"].values())
    assert figures["setting"]["write concern"] == "majority, journaled"
    assert len(figures["ratios"]) == 5
