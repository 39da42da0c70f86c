"""``jobpool dashboard export DIR``: the dashboards and rules that come with jobpool, as files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import FAILED, OK
from .parser import add_action

EXAMPLES = """\
examples:
  jobpool dashboard export monitoring            all of it, with a README that says what comes next
  jobpool dashboard export monitoring --force    again, after an upgrade of jobpool
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be done with them; there is one thing."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    purpose = "write dashboards, rules, provisioning and an example of a Prometheus configuration"
    export = add_action(actions, "export", purpose)
    export.add_argument("directory", metavar="DIR", type=Path, help="made if it is not there")
    export.add_argument("--force", action="store_true", help="overwrite files that were changed there")


def run(args: argparse.Namespace) -> int:
    """Write the files, print their names, and say what comes next."""
    from ..grafana import export

    if args.directory.exists() and not args.directory.is_dir():
        print(f"jobpool: {args.directory} is not a directory", file=sys.stderr)
        return FAILED
    try:
        written = export(args.directory, force=args.force)
    except FileExistsError as error:
        print(f"jobpool: {error}; nothing was written, --force overwrites", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"jobpool: cannot write to {args.directory}: {error.strerror}", file=sys.stderr)
        return FAILED
    for name in written:
        print(args.directory / name)
    print(f"wrote {len(written)} files; next: {args.directory / 'README.md'}", file=sys.stderr)
    return OK
