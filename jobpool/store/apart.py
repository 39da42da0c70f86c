"""Writes that never wait for somebody's open transaction.

A write outside of a transaction waits, on the server, until the transaction
that has written the same document ends: up to its whole statement, and one of
a process that was killed ends only after the server's
``transactionLifetimeLimitSeconds`` (60 s, found within another 30). A write
in a transaction does not wait: it is refused at once. So what must not be
held up by one job is written in short transactions of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from ..errors import StoreUnavailable
from .connection import Connection
from .driver import Session

R = TypeVar("R")
#: What `Connection.call` makes of the server's refusal.
CONFLICT = "write_conflict"


async def apart(connection: Connection, act: Callable[[Session | None], Coroutine[Any, Any, R]]) -> R:
    """Do what `act` does in a transaction of its own and return its answer; call it within `connection.call`.

    On a standalone server it is done without one: there is none to wait for.
    Whatever is raised: nothing of it stands, unless the commit was sent and
    its reply lost; then it may stand whole.
    """
    if not possible(connection):
        return await act(None)
    call = connection.driver.call
    session: Any = connection.client.start_session()
    try:
        await call(session.start_transaction, write_concern=connection.jobs.write_concern)
        answer = await act(session)
        await call(session.commit_transaction)
    finally:
        await call(session.end_session)  # ends what is open still
    return answer


def possible(connection: Connection) -> bool:
    """Say whether the deployment has transactions: one on a standalone server has not."""
    servers = connection.client.topology_description.server_descriptions().values()
    return not any(server.server_type_name == "Standalone" for server in servers)


def waited_in_vain(connection: Connection, error: StoreUnavailable) -> bool:
    """Say whether a statement may have failed because an open transaction has written one of its documents."""
    return error.kind == "timeout" and possible(connection)


def is_conflict(error: StoreUnavailable) -> bool:
    """Say whether a write was refused because another transaction has written the document and is open."""
    return error.kind == CONFLICT


async def in_parts(
    ids: Sequence[str], act: Callable[[Sequence[str]], Coroutine[Any, Any, R]]
) -> tuple[list[R], list[str]]:
    """Do `act` for `ids`, and for less and less of them where one is in the way.

    Args:
        act: Writes to the jobs of these ids in one transaction; raises a conflict of `is_conflict`.

    Returns: What it answered, and the ids that are written by open transactions.
    """
    answers, blocked, rest = [], [], [list(ids)]
    while rest:
        part = rest.pop()
        try:
            answers.append(await act(part))
        except StoreUnavailable as error:
            if not is_conflict(error):
                raise
            if len(part) == 1:
                blocked += part
            else:
                middle = len(part) // 2
                rest += [part[middle:], part[:middle]]
    return answers, blocked


def without(ids: Iterable[str], others: frozenset[str]) -> tuple[list[str], list[str]]:
    """Return the `ids` that are none of the `others`, and those that are."""
    usual: list[str] = []
    apart: list[str] = []
    for id in ids:
        (apart if isinstance(id, Hashable) and id in others else usual).append(id)
    return usual, apart


def known(ids: Iterable[str]) -> frozenset[str]:
    """Return those of `ids` that can be remembered; one that somebody else wrote may be a document."""
    return frozenset(id for id in ids if isinstance(id, Hashable))
