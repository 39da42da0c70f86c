"""Making the checks: each by itself, bounded in time, and whatever happens to one does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from difflib import get_close_matches

from pymongo.errors import OperationFailure

from ...checkup import Checkup, Finding
from ...errors import InvalidConfiguration, StoreError, StoreUnavailable
from ...executors import Executors
from ...logs import bounded_logger_of
from ...names import check_seconds, shown
from ..connection import Connection
from ..contact import this_machine
from ..failures import kind_of
from ..server import clock_offset
from .check import NO_COLLECTION, Check, Look, Skip, problem, refused, skipped, warning
from .registry import CHECKS

logger = bounded_logger_of(__name__)
#: Said where a read names an index that cannot be used.
_HINT = "hint provided does not correspond"
_NO_COLLECTION, _NO_COMMAND, _VIEW = 26, 59, 166


class Examining:
    """Looks at all that may be wrong with a deployment. It only reads. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def examine(
        self,
        executors: Executors,
        *,
        only: Collection[str] = (),
        skip: Collection[str] = (),
        timeout: float | None = None,
    ) -> Checkup:
        """Make the checks, one after the other, and return all findings.

        Args:
            executors: Of the types known here.
            only: Names of checks, or of their subjects; all if empty.
            skip: The same, to be left out.
            timeout: Seconds for each check; the connection's own if None.

        Raises:
            InvalidConfiguration: There is no such check, or none is left.
            StoreUnavailable: Nobody answers, at first or in the middle. Nothing was changed.
        """
        if timeout is not None:
            check_seconds(timeout, "timeout", 0.1, 3600)
        chosen = chosen_of(only, skip)
        began, limit = time.monotonic(), self._connection.timeout if timeout is None else timeout
        look = await self._first(executors, limit)
        if isinstance(look, Finding):
            return self._checkup(None, began, 1, [look])
        findings: list[Finding] = []
        for check in chosen:
            try:
                findings += await self._made(check, look)
            except StoreUnavailable:
                if not (headless := self._headless()):
                    raise
                return self._checkup(look, began, len(chosen), [*findings, headless])
        return self._checkup(look, began, len(chosen), findings)

    def _checkup(self, look: Look | None, began: float, checks: int, findings: Sequence[Finding]) -> Checkup:
        at = None if look is None else look.at
        name = self._connection.jobs.full_name
        return Checkup(name, at, time.monotonic() - began, checks, tuple(findings))

    async def _first(self, executors: Executors, timeout: float) -> Look | Finding:
        """Ask the primary what it is; a set that has none is a finding."""
        name = shown(self._connection.jobs.full_name)
        before = this_machine()
        try:
            with self._connection.call("hello", what=f"connecting to MongoDB for {name}", timeout=timeout):
                hello = await self._connection.hello()
        except StoreUnavailable:
            if not (headless := self._headless()):
                raise
            return headless
        self._connection.clock.learn(hello["localTime"])
        offset = clock_offset(hello["localTime"], before, this_machine())
        return Look(self._connection, executors, hello, hello["localTime"], offset, timeout)

    def _headless(self) -> Finding | None:
        """Return the finding of a replica set without a primary; None if nobody answers at all."""
        servers = self._connection.client.topology_description.server_descriptions().values()
        up = {
            f"{one.address[0]}:{one.address[1]}": one.server_type_name
            for one in servers
            if one.is_server_type_known
        }
        if not up or any(one.is_writable for one in servers):
            return None
        text = ", ".join(f"{host} is {kind}" for host, kind in sorted(up.items()))
        silent = len(servers) - len(up)
        found = problem(
            f"the replica set has no primary, nothing is claimed or created: {text}; {silent} members are silent",
            "bring back members until a majority of the votes is up; else their logs say why they elect nobody",
            members=up,
            silent=silent,
        )
        return replace(found, check="topology.primary")

    async def _made(self, check: Check, look: Look) -> list[Finding]:
        """Make one check. What goes wrong with it is a finding, unless the server is gone."""
        try:
            with self._connection.call("find", what=check.name, timeout=look.timeout, translated=False):
                found = list(await check.examine(look))
        except Skip as reason:
            found = [skipped(str(reason), reason.remedy)]
        except StoreError as error:
            found = [await self._failed(check, look, error)]
        except Exception as error:  # noqa: BLE001 - whatever is stored there must not stop the other checks
            found = [await self._failed(check, look, error)]
        return [replace(finding, check=check.name) for finding in found]

    async def _failed(self, check: Check, look: Look, error: Exception) -> Finding:
        cause = (
            error.__cause__ if isinstance(error, StoreError) and isinstance(error.__cause__, Exception) else error
        )
        if refused(cause):
            return skipped("this user may not look", f"it needs {check.needs}")
        if isinstance(cause, OperationFailure) and _HINT in str(cause):
            return skipped("it goes by an index that cannot be used", "see indexes.required")
        if isinstance(cause, OperationFailure) and cause.code == _NO_COLLECTION:
            return skipped(*NO_COLLECTION)
        if isinstance(cause, OperationFailure) and cause.code == _VIEW:
            return skipped("it is a view", "see collection.kind")
        if isinstance(cause, OperationFailure) and cause.code == _NO_COMMAND:
            return skipped("this server does not know how to tell", None)
        kind = kind_of(cause)
        if kind in ("timeout", "network", "not_primary"):
            with self._connection.call(
                "hello", what="asking whether MongoDB is still there", timeout=look.timeout
            ):
                await self._connection.hello()
            long = f"it was not done within {look.timeout:g} s" if kind == "timeout" else "the connection broke"
            return skipped(long, "try again, with more time (--timeout)", seconds=look.timeout)
        logger.debug("check %s failed", check.name, exc_info=error)
        text = f"this check failed itself: {type(cause).__name__}: {str(cause).partition(', full error')[0]}"
        return warning(
            f"{text:.300}", "this is an error in jobpool, or somebody wrote what it cannot read: report it"
        )


def chosen_of(only: Collection[str], skip: Collection[str]) -> list[Check]:
    """Return the checks that are meant, at least one.

    Raises:
        InvalidConfiguration: There is none of such a name, or none is left: who looks at nothing finds nothing.
    """
    names = {part for check in CHECKS for part in (check.name, _subject(check))}
    for name in (*only, *skip):
        if name not in names:
            alike = get_close_matches(name, names, n=1, cutoff=0.5)
            subjects = ", ".join(dict.fromkeys(map(_subject, CHECKS)))
            meant = f"did you mean {alike[0]}?" if alike else f"its subject may be one of {subjects}"
            raise InvalidConfiguration(f"there is no check {shown(name)}: {meant} (jobpool doctor --list has all)")
    chosen = [check for check in CHECKS if (not only or _named(check, only)) and not _named(check, skip)]
    if not chosen:
        raise InvalidConfiguration("no check is left: all that are meant are to be left out as well")
    return chosen


def _named(check: Check, names: Collection[str]) -> bool:
    return check.name in names or _subject(check) in names


def _subject(check: Check) -> str:
    return check.name.partition(".")[0]
