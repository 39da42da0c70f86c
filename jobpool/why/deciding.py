"""From what was seen to why a job does not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..job import State
from ..names import shown
from .answer import Reason, Why
from .ended import cancelled, expires, failed, succeeded
from .held import held
from .pending import pending, schema
from .situation import Situation
from .waiting import waiting

_ENDED: dict[str, Callable[[Situation], Reason]] = {
    State.SUCCEEDED: succeeded,
    State.FAILED: failed,
    State.CANCELLED: cancelled,
}
_OPEN: dict[str, Callable[[Situation], Iterator[Reason]]] = {
    State.WAITING: waiting,
    State.PENDING: pending,
    State.CLAIMED: held,
    State.RUNNING: held,
}


def decide(situation: Situation) -> Why:
    """Return why the job does not run. Whatever is stored, there is a reason."""
    return Why(
        id=situation.id,
        type=situation.type,
        state=situation.state,
        reasons=tuple(_reasons(situation)),
        at=situation.now,
    )


def _reasons(situation: Situation) -> Iterator[Reason]:
    state = situation.text("state")
    if state in _ENDED:
        yield _ENDED[state](situation)
        if (end := expires(situation)) is not None:
            yield end
    elif state in _OPEN:
        yield from _OPEN[state](situation)
    else:
        yield _unknown(situation)
        if (old := schema(situation)) is not None:
            yield old


def _unknown(situation: Situation) -> Reason:
    name = shown(situation.job.get("state"))
    return Reason(
        "unknown_state",
        f"its state is {name}, which this version ({situation.version}) does not know: a newer one wrote that, or "
        "somebody else",
        "upgrade jobpool here to see more",
        {"state": situation.state, "version": situation.version},
    )
