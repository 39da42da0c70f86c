"""The command of a user, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_worker(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``jobpool worker`` until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "jobpool", "worker", "tests.process.app:manager", *arguments],
        env={**os.environ, **variables},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
