"""Jobs that run after others: what `after` may hold, and in which order such jobs are created."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from .errors import InvalidJob
from .names import MAX_ID, check_name, shown

#: The job fails when one that it waits for ends without success, or runs then as well.
FAIL, RUN = "fail", "run"
ON_FAILURE = (FAIL, RUN)
#: Jobs that one may wait for. Their ids are in its document twice: as given, and as still waited for.
MAX_AFTER = 20_000
#: Bytes of all of them: twice so much has to leave room for the data.
MAX_AFTER_BYTES = 2 * 1024 * 1024
#: Of an array's element: its type, its place as a text, a length and a final byte.
_AROUND = 12
#: Of a cycle, in its error.
_MOST_SHOWN = 10


class Waiting(Protocol):
    """A request for a job, as far as order goes."""

    @property
    def job_id(self) -> str:
        """Its id."""

    @property
    def after(self) -> tuple[str, ...] | None:
        """The ids of the jobs that it waits for."""


_R = TypeVar("_R", bound=Waiting)


def check_after(value: object, own_id: str) -> tuple[str, ...]:
    """Return the distinct ids of the jobs to wait for, in the order given.

    Raises:
        InvalidJob: They are no ids, too many or too long, or the job would wait for itself.
    """
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise InvalidJob(f"after must be the ids of jobs, not {type(value).__name__}")
    ids = tuple(dict.fromkeys(check_name(id, "an id in after", longest=MAX_ID) for id in value))
    if len(ids) > MAX_AFTER:
        raise InvalidJob(f"after must hold at most {MAX_AFTER} ids, not {len(ids)}")
    size = sum(len(id.encode()) + _AROUND for id in ids)
    if size > MAX_AFTER_BYTES:
        raise InvalidJob(f"the ids in after must take at most {MAX_AFTER_BYTES} bytes together, not {size}")
    if own_id in ids:
        raise InvalidJob(f"job {shown(own_id)} cannot run after itself")
    return ids


def check_on_failure(value: object) -> str:
    """Return what is to happen when a job waited for fails, or raise `InvalidJob`."""
    if value not in ON_FAILURE:
        raise InvalidJob(f"on_failure must be one of {', '.join(ON_FAILURE)}, not {shown(value)}")
    return str(value)


def in_order(requests: Sequence[_R]) -> list[_R]:
    """Return the requests so that each comes behind those among them that it waits for, else as they are.

    Raises:
        InvalidJob: Some wait for each other; the message names them.
    """
    if not any(request.after for request in requests):
        return list(requests)
    twins: dict[str, list[_R]] = {}
    for request in requests:
        twins.setdefault(request.job_id, []).append(request)
    after = {
        id: [other for request in same for other in request.after or () if other in twins]
        for id, same in twins.items()
    }
    if not any(after.values()):
        return list(requests)
    return [request for id in _sorted(after) for request in twins[id]]


def _sorted(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids, each behind those that it names: a walk into depth, without recursion."""
    done: dict[str, None] = {}
    path: dict[str, None] = {}
    for first in after:
        steps = [(first, iter(after[first]))] if first not in done else []
        path = dict.fromkeys(id for id, _ in steps)
        while steps:
            id, rest = steps[-1]
            following = next((other for other in rest if other not in done), None)
            if following is None:
                done[id] = None
                path.pop(id)
                steps.pop()
            elif following in path:
                raise InvalidJob(_cycle([*path], following))
            else:
                path[following] = None
                steps.append((following, iter(after[following])))
    return list(done)


def _cycle(path: list[str], again: str) -> str:
    cycle = [*path[path.index(again) :], again]
    some = [shown(id) for id in cycle[:_MOST_SHOWN]]
    if len(cycle) > _MOST_SHOWN:
        some += [f"... ({len(cycle) - 1} jobs in all)", shown(again)]
    return (
        f"jobs wait for each other, so that none could ever run: {' after '.join(some)}; none of them was created"
    )


def waited_for(requests: Collection[Waiting]) -> dict[str, tuple[str, ...]]:
    """Return by id which others the jobs wait for; those that wait for none are not in it."""
    return {request.job_id: request.after for request in requests if request.after}
