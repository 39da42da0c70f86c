"""Jobs of limited types and of all others, in turns, so that neither kind holds up the other."""

from __future__ import annotations

from .claimed import Claimed, ClaimStrategy, Request, Unknown
from .gated import Gated


class Turns(ClaimStrategy):
    """Asks a strategy for types without limits, and `Gated` for the others.

    Without types of limits in the request it is the first strategy and
    nothing else. Threads: one; all fields are its own.
    """

    def __init__(self, plain: ClaimStrategy, gated: Gated) -> None:
        self.unknown: list[Unknown] = []
        plain.unknown = gated.unknown = self.unknown  # one list, of which the caller takes the notes away
        self._plain = plain
        self._gated = gated
        self._gated_next = True

    @property
    def factor(self) -> int:  # type: ignore[override]
        """That of the first strategy."""
        return self._plain.factor

    def claim(self, request: Request) -> Claimed:
        """Take jobs of the kind whose turn it is; if there are none, of the other."""
        if request.gates is None:
            return self._plain.claim(request)
        if not request.types:
            return self._gated.claim(request)
        self._gated_next = not self._gated_next
        order: tuple[ClaimStrategy, ClaimStrategy] = (self._plain, self._gated)
        if not self._gated_next and not self._gated.rests:
            order = (self._gated, self._plain)
        first = order[0].claim(request)
        if first.documents:
            return _more_may_follow(first)
        second = order[1].claim(request)
        return second if first.drained else _more_may_follow(second)


def _more_may_follow(claimed: Claimed) -> Claimed:
    """Return a claim that does not say that nothing is left: the other kind was not asked."""
    return Claimed(
        claimed.documents,
        claimed.token,
        claimed.deadline,
        tried=claimed.tried,
        drained=False,
        started=claimed.started,
    )
