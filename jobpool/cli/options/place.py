"""Where the jobs are: the options that every command has which looks at a collection."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .amounts import seconds
from .environment import add_option, from_environment

if TYPE_CHECKING:
    from ...manager import JobManager

#: Seconds; who sits before a terminal does not wait for a server that is gone as long as a service does.
TIMEOUT = 5.0
#: Those that a `JobManager` takes.
TIMEOUTS = 0.1, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--database``, ``--uri``, ``--collection``, ``--manager`` and ``--timeout``."""
    group = parser.add_argument_group("where the jobs are")
    group.add_argument(
        "-d",
        "--database",
        metavar="NAME",
        help="their database ($JOBPOOL_DATABASE, else the one that the URI names)",
    )
    group.add_argument(
        "--uri", default=None, metavar="URI", help="of MongoDB ($JOBPOOL_URI, else mongodb://localhost:27017)"
    )
    add_option(group, "--collection", metavar="NAME", default="jobs")
    add_option(
        group,
        "-m",
        "--manager",
        metavar="MODULE:MANAGER",
        help="take a JobManager of yours instead, with what it knows of its executors",
    )
    add_option(
        group,
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="after which MongoDB is given up",
        otherwise=f"that of --manager, or {TIMEOUT:g}",
    )


def reader_of(args: argparse.Namespace) -> JobManager:
    """Return the manager that the options mean, for those who only look: nothing is created, not even an index.

    Raises:
        InvalidConfiguration: They mean none, or there is no such collection.
    """
    from ...errors import InvalidConfiguration
    from ...store.driver import run

    manager = manager_of(args)
    contact = manager.store.contact
    contact.creates = False
    try:
        if run(contact.exists()):
            return manager
        others = run(contact.elsewhere())
        there = f"; there are jobs in {', '.join(others[:5])}" if others else ""
        raise InvalidConfiguration(f"there is no collection {manager.store.name}{there}")
    except BaseException:
        manager.close()
        raise


def manager_of(args: argparse.Namespace) -> JobManager:
    """Return the manager that the options mean; nothing is sent yet. Use it as a context manager.

    Raises:
        InvalidConfiguration: They mean none.
    """
    from ...errors import InvalidConfiguration
    from ...manager import JobManager
    from ...names import check_seconds
    from .loading import load_manager

    collection = from_environment("COLLECTION", "jobs")
    placed = args.uri is not None or args.database is not None or args.collection != collection
    if placed and args.manager != from_environment("MANAGER"):
        raise InvalidConfiguration(
            "give either --manager, which knows where its jobs are, or --database, --uri and --collection"
        )
    if args.manager and not placed:
        manager = load_manager(args.manager)
        if args.timeout is not None:
            manager.store.timeout = check_seconds(args.timeout, "timeout", *TIMEOUTS)
        return manager
    database = a_name(
        args.database or from_environment("DATABASE") or _database_in(args.uri), "--uri or $JOBPOOL_URI"
    )
    timeout = TIMEOUT if args.timeout is None else args.timeout
    return JobManager(database, uri=args.uri, collection=args.collection, timeout=timeout)


def a_name(database: str, uri_option: str) -> str:
    """Return the name of a database; refuse a URI in its place, which may have a password in it.

    Raises:
        InvalidConfiguration: It is a URI; it is not shown.
    """
    from ...errors import InvalidConfiguration

    if "://" in database:
        raise InvalidConfiguration(f"the database is a name; give the URI as {uri_option}")
    return database


def _database_in(uri: str | None) -> str:
    from ...errors import InvalidConfiguration
    from ...store.uris import database_in

    named = database_in(uri or from_environment("URI") or "")
    if named is None:
        raise InvalidConfiguration(
            "name the database of the jobs: --database NAME, $JOBPOOL_DATABASE, or a URI with its name, "
            "mongodb://HOST/NAME"
        )
    return named
