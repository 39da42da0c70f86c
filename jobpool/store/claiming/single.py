"""One job per claim call: the baseline, and what `JobManager.run` uses."""

from __future__ import annotations

from pymongo import ReturnDocument

from ..documents import CLAIM_FIELDS
from ..indexes import CLAIM_INDEX
from .claimed import (
    MAX_TYPES,
    ORDER,
    Claimed,
    ClaimStrategy,
    Request,
    claiming_update,
    due,
    lease_deadline,
    new_token,
    nothing,
)


class Single(ClaimStrategy):
    """`find_one_and_update`: exact order, never a conflict, one durable trip per job.

    Lost replies: the driver repeats it, and the server answers the repeat
    with what the first one did. When that fails too, the job may be claimed
    with nobody knowing: its lease brings it back.
    """

    def claim(self, request: Request) -> Claimed:
        """Take the first due job, whatever the limit."""
        types = request.types
        if len(types) > MAX_TYPES:  # more than one update looks through: ask first which type is next
            with self._connection.call("claim", what="looking for a due job"):
                types = tuple(found["type"] for found in self._candidates(types, 1))
        return self._claim_of(request, types) if types else nothing()

    def _claim_of(self, request: Request, types: tuple[str, ...]) -> Claimed:
        token = new_token()
        with self._connection.call("claim", what="claiming a job"):
            filter = due(self._connection, types)
            deadline = lease_deadline(request)
            document = self._jobs.find_one_and_update(
                filter,
                claiming_update(request, token),
                projection=CLAIM_FIELDS,
                sort=ORDER,
                hint=CLAIM_INDEX,
                return_document=ReturnDocument.AFTER,
            )
        if document is None:
            return nothing()
        return Claimed([document], token, deadline, tried=1, drained=False)
