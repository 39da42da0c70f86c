"""``jobpool pools``: which pools there are, what they run, and what they hold."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import OK
from .options import place
from .terminal import facts, jsons
from .terminal.screen import Column, say, table, write
from .terminal.words import ago, count, jobs, past, rate

if TYPE_CHECKING:
    from ..backlog import AlivePool
    from ..overview import Held

EXAMPLES = """\
examples:
  jobpool pools                                              who is alive, and how busy
  jobpool pools --dead                                       and who died within a day without a word
  jobpool pools --json | jq -r 'select(.running == 0).name'  pools that have nothing to do
"""

COLUMNS = (
    Column("pool", least=12),
    Column("state"),
    Column("running", right=True),
    Column("threads", right=True),
    Column("seen", right=True),
    Column("claimed", right=True, optional=True),
    Column("rate", right=True, optional=True),
    Column("host", optional=True),
    Column("pid", right=True, optional=True),
    Column("up", right=True, optional=True),
    Column("version", optional=True),
    Column("types", optional=True),
    Column("limits", optional=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--dead", action="store_true", help="those as well that ended without a word, within about a day"
    )
    parser.add_argument("--json", action="store_true", help="print one object a line")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show the pools."""
    from ..overview import held_by_nobody
    from ..store.driver import run

    with place.reader_of(args) as manager:
        pools, held = manager.pools(dead=args.dead), manager.held()
        now = run(manager.store.now())
    pools = tuple(sorted(pools, key=lambda pool: (not pool.alive, pool.name, pool.host, pool.pid)))
    if args.json:
        for pool in pools:
            write(jsons.line(_object(pool, held)))
    elif pools:
        table(COLUMNS, [_row(pool, held, now) for pool in pools])
    else:
        write("no pool is alive")
    _tell_of_the_rest(held_by_nobody(pools, held), dead=args.dead)
    return OK


def _object(pool: AlivePool, held: tuple[Held, ...]) -> dict[str, Any]:
    from ..overview import held_by

    claimed, running = held_by(pool, held)
    return {**jsons.plain(pool), "claimed": claimed, "running": running}


def _row(pool: AlivePool, held: tuple[Held, ...], now: datetime) -> tuple[str, ...]:
    from ..overview import held_by

    claimed, running = held_by(pool, held)
    return (
        pool.name,
        _state(pool),
        count(running),
        count(pool.threads),
        past(pool.seen_at, now) if pool.seen_at else "-",
        count(claimed),
        rate(pool.ended_per_second) if pool.rates else "-",
        pool.host,
        str(pool.pid),
        ago(pool.since, now),
        pool.version or "-",
        ", ".join(sorted(pool.types)) or "-",
        _limits(pool),
    )


def _state(pool: AlivePool) -> str:
    """Return running, draining, silent or dead; alive if it does not say more."""
    said = (pool.state or "alive") if pool.alive else "dead"
    return facts.pool_state(said, silent=pool.silent, heard_ago=pool.heard_ago)


def _limits(pool: AlivePool) -> str:
    return "; ".join(f"{type}: {facts.limits(found)}" for type, found in sorted(pool.limits.items())) or "-"


def _tell_of_the_rest(held: tuple[Held, ...], *, dead: bool) -> None:
    """Tell of what is held by nobody who is shown."""
    number = sum(one.claimed + one.running for one in held)
    if number:
        whose = "`run` or pools that died more than a day ago" if dead else "pools that died (--dead), or by `run`"
        say(f"jobpool: {jobs(number)} besides held by {whose}; those of the dead come back when their leases end")
