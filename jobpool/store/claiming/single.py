"""One job per claim call: the baseline, and what `JobManager.run` uses."""

from __future__ import annotations

from dataclasses import replace

from pymongo import ReturnDocument

from ...errors import StoreRefused
from ..documents import CLAIM_FIELDS
from ..indexes import CLAIM_INDEX
from .claimed import (
    MAX_TYPES,
    ORDER,
    Claimed,
    ClaimStrategy,
    Request,
    claimable,
    claiming_update,
    lease_deadline,
    new_token,
    nothing,
)


class Single(ClaimStrategy):
    """`find_one_and_update`: exact order, never a conflict, one durable trip per job.

    Lost replies: the driver repeats it, and the server answers the repeat
    with what the first one did. When that fails too, the job may be claimed
    with nobody knowing: its lease brings it back, or `Transitions.disown` if it was started as well.
    """

    def claim(self, request: Request) -> Claimed:
        """Take the first due job, whatever the limit."""
        types = request.types
        if len(types) > MAX_TYPES:  # more than one update looks through: ask first which type is next
            with self._connection.call("claim", what="looking for a due job"):
                types = tuple(found["type"] for found in self._candidates(types, 1))
        return self._claim_of(request, types) if types else nothing()

    def _claim_of(self, request: Request, types: tuple[str, ...]) -> Claimed:
        token = new_token(request.holder)
        try:
            with self._connection.call("claim", what="claiming a job"):
                filter = claimable(self._connection, replace(request, types=types))
                deadline = lease_deadline(request)
                document = self._read.find_one_and_update(
                    filter,
                    claiming_update(request, token),
                    projection=CLAIM_FIELDS,
                    sort=ORDER,
                    hint=CLAIM_INDEX,
                    return_document=ReturnDocument.AFTER,
                )
        except StoreRefused:
            raise
        except BaseException:  # an interrupt also
            if request.starts is not None:
                self._note(request, token, None)
            raise
        if document is None:
            looked = len(request.types) > MAX_TYPES  # there was one, and another pool got it
            return nothing(tried=int(looked), drained=not looked)
        return Claimed([document], token, deadline, tried=1, drained=False, started=request.starts is not None)
