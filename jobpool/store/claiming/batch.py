"""Many jobs per claim call: find candidates, take them in one update, read what was won."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.collection import Collection

from ...errors import StoreUnavailable
from ...job import State
from ..documents import CLAIM_FIELDS, Document
from .claimed import Claimed, ClaimStrategy, Request, claiming_update, due, lease_deadline, new_token, nothing


class Batch(ClaimStrategy):
    """The first B candidates. Exact order alone; under contention half of them go to others."""

    def claim(self, request: Request) -> Claimed:
        """Take up to ``request.limit`` jobs from the head of the order."""
        with self._connection.call("claim", what="looking for due jobs"):
            found = self._candidates(request.types, self._window(request.limit))
        if not found:
            return nothing()
        chosen = self._choose(found, request.limit)
        answer = self._take(request, [candidate["_id"] for candidate in chosen], len(found))
        self._learn(answer)
        return answer

    def _window(self, limit: int) -> int:
        """Return how many candidates to read for `limit` jobs."""
        return limit

    def _choose(self, found: list[Document], limit: int) -> list[Document]:
        return found[:limit]

    def _learn(self, answer: Claimed) -> None:
        """Adapt to how many candidates others won; `batch` does not."""

    def _take(self, request: Request, ids: Sequence[str], found: int) -> Claimed:
        """Claim `ids` in one update and return what was won.

        The update is atomic per document and not repeated by the driver. With
        its reply lost, all, some or none may be claimed; the read that
        follows in any case tells what is. What happens behind that read, or
        if it is never answered, is returned by the lease.
        """
        token = new_token()
        deadline = lease_deadline(request)
        won, failure = self._update(request, ids, token)
        drained = found < request.limit
        if won == 0:
            return nothing(tried=len(ids), drained=drained)
        documents = self._carrying(token, ids, self._connection.confirmed if failure else self._jobs)
        if failure and not documents:
            raise failure
        return Claimed(documents, token, deadline, tried=len(ids), drained=drained)

    def _update(
        self, request: Request, ids: Sequence[str], token: str
    ) -> tuple[int | None, StoreUnavailable | None]:
        """Claim what is still due of `ids`; return how many, or the error after which nobody knows.

        Everything is asked again: since the candidate read a job may have
        been claimed, failed, and become pending with a later `run_at`, or have
        been removed and created with another type.
        """
        filter = {"_id": {"$in": list(ids)}, **due(self._connection, request.types)}
        try:
            with self._connection.call("claim", what=f"claiming {len(ids)} jobs"):
                answer = self._jobs.update_many(filter, claiming_update(request, token))
        except StoreUnavailable as error:
            return None, error
        return answer.modified_count, None

    def _carrying(self, token: str, ids: Sequence[str], jobs: Collection[Document]) -> list[Document]:
        """Return the jobs claimed with `token`, in the order of `ids`.

        Large ones come in several replies. If not all of those come in time,
        what came is worth having; the rest is returned by its lease.
        """
        filter = {"_id": {"$in": list(ids)}, "claim": token, "state": State.CLAIMED.value}
        documents: dict[str, Document] = {}
        try:
            with self._connection.call("claim", what=f"reading the jobs of claim {token}"):
                for document in jobs.find(filter, CLAIM_FIELDS).batch_size(len(ids) + 1):
                    documents[document["_id"]] = document
        except StoreUnavailable:
            if not documents:
                raise
        return [documents[id] for id in ids if id in documents]
