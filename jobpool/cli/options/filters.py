"""Which jobs are meant: ids, or options all of which must hold."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...job import State
from .amounts import before, instant, seconds

if TYPE_CHECKING:
    from ...manager import JobManager

STATES = tuple(state.value for state in State)


def add_arguments(parser: argparse.ArgumentParser, *, older_than: bool = True) -> None:
    """Declare them.

    Args:
        older_than: Whether ``--older-than`` is one of them; the command has another, if not.
    """
    group = parser.add_argument_group("which jobs (all that is given must hold)")
    group.add_argument("--type", action="append", metavar="TYPE", help="of this type; may be repeated")
    group.add_argument(
        "--state", action="append", choices=STATES, metavar="STATE", help=f"{', '.join(STATES)}; may be repeated"
    )
    if older_than:
        group.add_argument("--older-than", type=seconds, metavar="AGE", help="created longer ago, as 2h or 7d")
    else:
        parser.set_defaults(older_than=None)
    group.add_argument("--newer-than", type=seconds, metavar="AGE", help="created since then")
    group.add_argument("--since", type=instant, metavar="TIME", help="created then or later: 2026-11-27T12:00:00Z")
    group.add_argument("--until", type=instant, metavar="TIME", help="created before that")
    group.add_argument("--error", metavar="CLASS", help="failed with this exception class, such as TimeoutError")
    group.add_argument("--group", metavar="GROUP", help="failed alike: a group that `jobpool errors` shows")
    group.add_argument("--text", metavar="TEXT", help="with this text in their data, any case; all data are read")
    group.add_argument("--key", metavar="KEY", help="of this key")


def selected(args: argparse.Namespace, manager: JobManager) -> dict[str, Any]:
    """Return the keyword arguments of `JobManager.find` that the options mean; empty if they mean every job.

    Raises:
        InvalidConfiguration: They contradict each other.
    """
    given = {
        "type": args.type,
        "state": args.state,
        "since": _later(args.since, _age(args.newer_than, manager)),
        "until": _earlier(args.until, _age(args.older_than, manager)),
        "error": args.error,
        "group": args.group,
        "text": args.text,
        "key": args.key,
    }
    return {name: value for name, value in given.items() if value is not None}


def _age(age: float | None, manager: JobManager) -> datetime | None:
    """Return the instant so long ago, by MongoDB's clock."""
    from ...store.driver import run

    return None if age is None else before(run(manager.store.now()), age)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(one, other) if one and other else one or other
