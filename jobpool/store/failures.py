"""What an error of the driver lets the caller conclude."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pymongo.errors as driver

from ..errors import OutcomeRefused, StoreError, StoreRefused, StoreUnavailable

_NETWORK = {6, 7, 89, 9001}
_NOT_PRIMARY = {189, 10058, 10107, 13435, 13436, 11602}
_INTERRUPTED = {91, 11600, 11601, 11602}  # shutdown and step-down among them
_TIME = {50, 89, 262}
_WRITE_CONCERN = {64, 79, 100}
_CONFLICT = {112}
#: Killed cursor and plan, stale reads and configurations around an election.
_STALE = {43, 133, 134, 175, 234, 237}
#: Validation failed; the document would be too large (in several places of the server).
_UNSTORABLE = {121, 10334, 17419, 17420}

#: Server codes after which a write may or may not stand, or that pass by themselves.
PASSING = _NETWORK | _NOT_PRIMARY | _INTERRUPTED | _TIME | _WRITE_CONCERN | _CONFLICT | _STALE


def translate(error: Exception, what: str, *, writes: bool = True) -> StoreError:
    """Return the error of ours that says what `error` lets the caller conclude."""
    text = f"{what}: {_brief(error)}"
    if not _is_passing(error):
        refused = OutcomeRefused if _codes(error) & _UNSTORABLE else StoreRefused
        return refused(f"{text}; it was refused")
    if not writes:
        return StoreUnavailable(f"{text}; nothing was changed")
    return StoreUnavailable(f"{text}; it may or may not have been applied, repeating it is safe")


def kind_of(error: BaseException) -> str:
    """Return the metric label of an error: timeout, network, not_primary, write_conflict or other."""
    code = getattr(error, "code", None)
    if getattr(error, "timeout", False) or isinstance(error, driver.ServerSelectionTimeoutError) or code in _TIME:
        return "timeout"
    if isinstance(error, driver.NotPrimaryError) or code in _NOT_PRIMARY:
        return "not_primary"
    if isinstance(error, driver.ConnectionFailure | OSError):
        return "network"
    return "write_conflict" if code in _CONFLICT else "other"


def _is_passing(error: Exception) -> bool:
    if isinstance(error, driver.BulkWriteError):
        return _is_passing_bulk(error.details or {})
    if isinstance(error, driver.WriteConcernError | driver.ConnectionFailure | OSError):
        return True
    if isinstance(error, driver.OperationFailure):
        return error.code in PASSING or error.timeout or error.has_error_label("RetryableWriteError")
    return isinstance(error, driver.PyMongoError) and error.timeout


def _is_passing_bulk(details: Mapping[str, Any]) -> bool:
    """Say whether some of the writes may stand, or may be applied by a repeat."""
    if details.get("writeConcernErrors"):
        return True  # some writes stand on the primary and nobody knows for how long
    return any(item.get("code", 0) in PASSING for item in details.get("writeErrors", ()))


def _codes(error: Exception) -> set[int]:
    """Return the server's codes in an error, those of the single writes of a bulk included."""
    if isinstance(error, driver.BulkWriteError):
        return {item.get("code", 0) for item in (error.details or {}).get("writeErrors", ())}
    code = getattr(error, "code", None)
    return set() if code is None else {code}


def _brief(error: Exception) -> str:
    """Return the first line of an error, without the topology and reply dumps the driver appends."""
    text = str(error)
    for tail in (", full error:", ", Timeout:", " (configured timeouts:", "\n"):
        text = text.partition(tail)[0]
    return f"{type(error).__name__}: {text[:300]}"
