"""``python -m tests.faults seeds``: is the suite blind to any of the seeded bugs?"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from .report import ROOT
from .seeds import SEEDS, VARIABLE, Seed

#: What pytest says at its end when tests failed; anything else proves nothing.
TESTS_FAILED = 1
#: Tests come in the order of their file: the first one that is red is the same in every run, and so is its reason.
_PLUGINS = ("-p", "no:cacheprovider", "-p", "no:randomly")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="*", metavar="SEED", help=f"default: all of {', '.join(SEEDS)}")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="tests at a time: they mostly wait")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plant the bugs, each in a test run of its own; return 1 if a test stays green."""
    names = args.names or list(SEEDS)
    with ThreadPoolExecutor(args.jobs) as executor:
        red = sum(executor.map(tried, names))
    print(f"{red} passed, {len(names) - red} failed")
    return 0 if red == len(names) else 1


def tried(name: str) -> bool:
    """Try one seed, say what came of it, and return whether its test is red."""
    began = time.monotonic()
    found = verdict(name, SEEDS[name])
    said = f"red: {found}" if found else "GREEN: the suite is blind to it"
    print(f"{name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return found is not None


def verdict(name: str, seed: Seed) -> str | None:
    """Run the test of a seed with the bug planted; return what it said if it is red for its reason, else None."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", *_PLUGINS, *seed.test.split()],
        env={**os.environ, VARIABLE: name},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    errors = [line[1:].strip() for line in done.stdout.splitlines() if re.match(r"E\s", line)]
    reasons = [line for line in errors if re.search(seed.evidence, line)]
    if done.returncode == TESTS_FAILED and reasons:
        return reasons[0][:110]
    print(done.stdout[-2000:], done.stderr[-1000:], file=sys.stderr)
    return None
