"""What an executor returns, as the outcome that is recorded of it."""

from __future__ import annotations

from typing import Any

from ..current import log_fields
from ..data import DOCUMENT_LIMIT, canonical, encoded_size
from ..logs import bounded_logger_of
from ..names import shown
from ..outcome import Outcome
from .held import Held

logger = bounded_logger_of(__name__)


def outcome_with(result: Any, limit: int, held: Held) -> Outcome:
    """Return the outcome of an attempt that returned `result`; without it if it is too large: the work is done.

    Raises:
        InvalidJob: It cannot be stored.
    """
    if result is None:
        return Outcome()
    canonical(result, "result")
    size = encoded_size(result, "result")
    if size <= limit:
        return Outcome(result=result)
    why = (
        f"the result has {size} bytes and may have {limit}, data_limit of the JobManager: return less, or a "
        "reference to where it is"
    )
    logger.warning("job %s succeeded, but %s", shown(held.claim.id), why, extra=log_fields(held))
    return Outcome(result_error=why)


def room_for_result(held: Held, limit: int) -> int:
    """Return the most bytes the result may take; measure it before the executor can change the data."""
    if 3 * limit <= DOCUMENT_LIMIT:
        return limit
    taken = encoded_size(held.document["data"], "data") + encoded_size(
        held.document.get("checkpoint"), "checkpoint"
    )
    return min(limit, DOCUMENT_LIMIT - taken)
