"""``python -m tests.faults``: the report of the figures, the seeded bugs, the nemesis."""

from __future__ import annotations

import argparse
import sys

from . import nemesis, planting
from .report import FIGURES, table


def report(args: argparse.Namespace) -> int:
    """Print the table of the newest figures."""
    if not FIGURES.exists():
        print("no figures yet: run python -m pytest tests/faults tests/model", file=sys.stderr)
        return 1
    print(table(FIGURES.read_text().splitlines()))
    return 0


def main() -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Breaking jobpool on purpose.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("report", help="print the figures of the last runs as a table").set_defaults(run=report)
    planting.add_arguments(commands.add_parser("seeds", help="plant bugs; each must turn its test red"))
    nemesis.add_arguments(commands.add_parser("nemesis", help="mix all faults at random, then judge"))
    args = parser.parse_args()
    code: int = args.run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
