"""Many jobs per claim call: find candidates, take them in one update, read what was won."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pymongo.collection import Collection

from ...errors import StoreUnavailable
from ...job import State
from ..documents import CLAIM_FIELDS, Document
from ..fields import place_of, with_ids
from ..indexes import BY_ID
from .claimed import (
    Claimed,
    ClaimStrategy,
    Request,
    claimable,
    claiming_update,
    lease_deadline,
    new_token,
    nothing,
)


class Choice(NamedTuple):
    """What a claim is to take, and whether there were fewer candidates than asked for."""

    candidates: list[Document]
    drained: bool


class Batch(ClaimStrategy):
    """The first B candidates. Exact order alone; under contention half of them go to others."""

    def claim(self, request: Request) -> Claimed:
        """Take up to ``request.limit`` jobs from the head of the order."""
        with self._connection.call("claim", what="looking for due jobs"):
            choice = self._look(request)
        if not choice.candidates:
            return nothing()
        answer = self._take(request, [candidate["_id"] for candidate in choice.candidates], choice.drained)
        self._learn(answer)
        return answer

    def _look(self, request: Request) -> Choice:
        """Return the candidates to take."""
        found = self._candidates(request.types, request.limit)
        return Choice(found, drained=len(found) < request.limit)

    def _learn(self, answer: Claimed) -> None:
        """Adapt to how many candidates others won; `batch` does not."""

    def _take(self, request: Request, ids: Sequence[str], drained: bool) -> Claimed:
        """Claim `ids` in one update and return what was won.

        The update is atomic per document and not repeated by the driver. With
        its reply lost, all, some or none may be claimed; the read that
        follows in any case tells what is. What happens behind that read, or
        if it is never answered, is returned by the lease, or is to be disowned.
        """
        token = new_token(request.holder)
        deadline = lease_deadline(request)
        try:
            won, failure = self._update(request, ids, token)
        except BaseException:  # refused in the middle, say: what came before it stands
            if request.starts is not None:
                self._note(request, token, ids)
            raise
        if won == 0:
            if request.starts is not None:
                self._connection.clock.forget()  # were it behind, the server would refuse all as too late
            return nothing(tried=len(ids), drained=drained)
        documents: list[Document] = []
        try:
            jobs = self._connection.confirmed if failure else self._read
            documents = self._carrying(token, ids, jobs, request.state)
        finally:
            if request.starts is not None and won != len(documents):
                known = {place_of(document["_id"]) for document in documents}
                self._note(request, token, [id for id in ids if place_of(id) not in known])
        if failure and not documents:
            raise failure
        return Claimed(
            documents, token, deadline, tried=len(ids), drained=drained, started=request.starts is not None
        )

    def _update(
        self, request: Request, ids: Sequence[str], token: str
    ) -> tuple[int | None, StoreUnavailable | None]:
        """Claim what is still due of `ids`; return how many, or the error after which nobody knows.

        Everything is asked again: since the candidate read a job may have
        been claimed, failed, and become pending with a later `run_at`, or have
        been removed and created with another type.
        """
        filter = {**with_ids(ids), **self._claimable(request)}
        try:
            with self._connection.call("claim", what=f"claiming {len(ids)} jobs"):
                # By ids: the planner may prefer the claim index, and go through a backlog to find them.
                answer = self._jobs.update_many(filter, claiming_update(request, token), hint=BY_ID)
        except StoreUnavailable as error:
            return None, error
        return answer.modified_count, None

    def _claimable(self, request: Request) -> Document:
        """Return what must be true of a job to be claimed."""
        return claimable(self._connection, request)

    def _carrying(
        self, token: str, ids: Sequence[str], jobs: Collection[Document], state: State
    ) -> list[Document]:
        """Return the jobs claimed with `token`, in the order of `ids`.

        Large ones come in several replies. If not all of those come in time,
        what came is worth having; the rest is returned by its lease.
        """
        filter = {**with_ids(ids), "claim": token, "state": state.value}
        documents: dict[object, Document] = {}
        try:
            with self._connection.call("claim", what=f"reading the jobs of claim {token}"):
                read = jobs.find(filter, CLAIM_FIELDS)
                for document in read.batch_size(len(ids) + 1):
                    documents[place_of(document["_id"])] = document
        except StoreUnavailable:
            if not documents:
                raise
        return [documents[place] for place in map(place_of, ids) if place in documents]
