"""The job that runs when a batch of others is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidJob
from ..executors import Executors
from ..ids import job_id
from ..request import JobRequest, request_of

#: What a callback has from its batch.
_GIVEN = ("after", "on_failure")


def callback_of(
    then: Mapping[str, Any], ids: Sequence[str], on_failure: str, executors: Executors, limit: int
) -> JobRequest:
    """Return the request for the job that runs after those with these ids.

    Its default id is made of them as well: the callbacks of two batches are
    two jobs, also if type and data are the same.

    Raises:
        InvalidJob: It cannot be accepted. Nothing was written.
    """
    if not isinstance(then, Mapping):
        raise InvalidJob(f"then must be a mapping such as {{'type': ..., 'data': ...}}, not {type(then).__name__}")
    if given := [name for name in _GIVEN if name in then]:
        raise InvalidJob(f"then has its {' and '.join(given)} from the batch: leave it out")
    stored = dict(executors.stored_job(then))
    if stored.get("id") is None:
        name = request_of(stored, limit).type
        stored["id"] = job_id(name, {"data": stored.get("data"), "after": list(ids)})
    return request_of({**stored, "after": ids, "on_failure": on_failure}, limit)
