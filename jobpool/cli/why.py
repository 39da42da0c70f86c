"""``jobpool why``: why a job does not run, or what it does instead."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import NOTHING, OK
from .options import place
from .signals import end_at_once, pause
from .terminal import jsons
from .terminal.jobs import short
from .terminal.prose import paragraph
from .terminal.screen import fields, say, table, width, write
from .terminal.words import ago, clean, moment

if TYPE_CHECKING:
    from ..manager import JobManager
    from ..why import Reason, Why

EXAMPLES = """\
examples:
  jobpool why 7c1e9a                           what holds up the job whose id begins so
  jobpool why order-1 order-2                  of several jobs, one after the other
  jobpool why order-1 --watch                  and again whenever that is another, until it has ended
  jobpool why order-1 --json | jq -r .reasons[0].code
"""

#: Seconds between two looks of ``--watch``: some ten reads each.
EVERY = 1.0
#: What helps against so many of the reasons is shown; a program gets it for all of them.
REMEDIES = 2
#: Facts of the first reason that are shown if the sentence does not say them; a program gets all of them.
SHOWN = (
    *("created_at", "run_at", "started_at", "finished_at", "since", "next_at", "until", "expire_at"),
    *("pool_id", "lease_until", "extended_at", "cancel_requested_at", "last_seen_at"),
    *("error_count", "states", "missing", "on_failure", "per_second", "queued", "similar"),
)
#: Facts that are in a table of their own: what its heading is, and its columns.
TABLES = {
    "holders": ("held by", ("id", "state", "pool", "host", "pid", "started_at", "lease_until")),
    "longest": ("running longest", ("id", "type", "pool", "host", "pid", "started_at")),
    "jobs": ("waits for", ("id", "type", "state")),
    "pools": ("pools", ("name", "host", "pid", "state", "silent_for", "threads", "version", "seen_at", "types")),
    "died": ("pools that died", ("name", "host", "pid", "version", "seen_at", "types")),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("id", nargs="+", metavar="ID", help="of a job; the beginning of a hash will do")
    parser.add_argument(
        "--watch", action="store_true", help="go on, and tell whenever the answer is another, until all have ended"
    )
    parser.add_argument(
        "--json", action="store_true", help="print an object; one a line for several ids, or with --watch"
    )
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Tell why jobs do not run."""
    from ..errors import JobNotFound
    from .options.ids import resolve

    code, ids = OK, []
    with place.reader_of(args) as manager:
        for text in args.id:
            try:
                ids.append(resolve(manager, text))
                if not args.watch:
                    _show(manager.why(ids[-1]), args, first=len(ids) == 1)
            except JobNotFound as error:
                say(f"jobpool: {clean(error)}")
                code = NOTHING
        if args.watch:
            end_at_once()
            for why in _changes(manager, ids, others=args.json):
                _show_change(why, args)
    return code


def _changes(manager: JobManager, ids: list[str], *, others: bool) -> Iterator[Why]:
    """Yield answers that are others than those before, until all jobs have ended or are gone.

    Args:
        others: Whether reasons after the first count as well.
    """
    from ..errors import JobNotFound, StoreUnavailable
    from ..job import FINAL

    left: dict[str, object] = dict.fromkeys(ids)
    away = False
    while left:
        for id in list(left):
            try:
                why = manager.why(id)
            except JobNotFound as error:
                say(f"jobpool: {clean(error)}")
                del left[id]
                continue
            except StoreUnavailable as error:
                if not away:
                    say(f"jobpool: {clean(error)}; asking again until it answers")
                away = True
                break
            away = False
            seen = (why.state, [reason.code for reason in why.reasons] if others else why.code)
            if left[id] != seen:
                yield why
            left[id] = seen
            if why.state in FINAL:
                del left[id]
        if left:
            pause(EVERY)


def _show_change(why: Why, args: argparse.Namespace) -> None:
    if args.json:
        write(jsons.line(why))
    else:
        paragraph(f"{moment(why.at)} {why.id}: {why.state}: {why.text}", bold=True)


def _show(why: Why, args: argparse.Namespace, *, first: bool) -> None:
    if args.json:
        write(jsons.whole(why) if len(args.id) == 1 else jsons.line(why))
        return
    if not first:
        write()
    paragraph(f"{why.id} ({why.type}, {why.state}): {why.text}.", bold=True)
    for reason in why.reasons[1:]:
        paragraph(f"also: {reason.text}.")
    _facts(why.reasons[0], why.at)
    remedies = _remedies(why)
    if remedies:
        write()
    for remedy in remedies:  # no full stop behind it: the last word may be an id to copy
        paragraph(_here(remedy, args.manager), indent="-> ")


def _remedies(why: Why) -> list[str]:
    """Return what helps first, and second if the first does not say it already."""
    told: list[str] = []
    for reason in why.reasons:
        if reason.remedy and not any(reason.remedy in other for other in told):
            told.append(reason.remedy)
    return told[:REMEDIES]


def _here(remedy: str, manager: str | None) -> str:
    """Return what helps with the manager that the user has named."""
    return remedy if manager is None else remedy.replace("MODULE:MANAGER", clean(manager))


def _facts(reason: Reason, now: datetime) -> None:
    """Write facts: what is one value each, then tables."""
    single = [(name.replace("_", " "), _value(value, now)) for name, value in _single(reason.facts)]
    if single:
        write()
        fields(single)
    for name, (heading, columns) in TABLES.items():
        rows = reason.facts.get(name)
        if rows:
            write()
            write(f"{heading}:")
            used = [one for one in columns if any(row.get(one) not in (None, [], "") for row in rows)]
            table(
                [one.removesuffix("_at").replace("_", " ") for one in used],
                [[_cell(one, row.get(one), now) for one in used] for row in rows],
            )


def _single(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in SHOWN:
        value = facts.get(name)
        if value is None or value in ([], {}, "", 0):
            continue
        yield (
            name,
            ", ".join(f"{item} {key}" for key, item in value.items()) if isinstance(value, Mapping) else value,
        )


def _cell(column: str, value: Any, now: datetime) -> str:
    if column == "id" and width() is not None:
        return short(str(value))
    return ago(value, now) if isinstance(value, datetime) else _value(value, now) or "-"


def _value(value: Any, now: datetime) -> str:
    if isinstance(value, datetime):
        return f"{moment(value)} ({ago(value, now)}{' ago' if value <= now else ''})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value)
