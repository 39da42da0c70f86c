"""What a child tells its parent of an exception."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from ..outcome import describe


class Failure(NamedTuple):
    """How an executor failed. `error` is the pickled exception; None if it cannot be made again from that."""

    error: bytes | None
    type: str
    text: str
    traceback: str


def failure_of(error: BaseException) -> Failure:
    """Return what the parent is told of `error`. Never raises."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__package__") == __package__:
        trace = trace.tb_next  # from the executor's own frame on
    said = describe(error.with_traceback(trace), 1)
    return Failure(_portable(error), said.type, said.message, said.traceback)


def _portable(error: BaseException) -> bytes | None:
    """Return `error` pickled, in a form that was tried; None if there is none."""
    for form in (error, _Bare(error)):
        try:
            pickled = pickle.dumps(form)
            if isinstance(pickle.loads(pickled), type(error)):  # noqa: S301  (pickled one line above)
                return pickled
        except Exception:  # noqa: BLE001, S112  (what users' classes raise here may be anything)
            continue
    return None


class _Bare:
    """Pickles an exception so that it is made again without its ``__init__``.

    Many exceptions give their base another argument than they take, and so
    can be pickled but not unpickled.
    """

    def __init__(self, error: BaseException) -> None:
        self._parts = (type(error), error.args, error.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, self._parts


def _made_again(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
