"""What an error of the driver lets the caller conclude."""

from __future__ import annotations

import re
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


#: In characters: of a whole message, and of what was tried in it.
_LONGEST, _LONGEST_WHAT = 299, 90


def cause_of(raised: Exception) -> Exception | None:
    """Return the error of the driver behind what a call raised; None if it is none.

    A driver that repeats a call without end until its time is over computes a
    pause from the number of repeats, which overflows after a thousand of
    them. What it repeated for is what happened. Any other `OverflowError`
    is of the encoder, and says that a value cannot be stored.
    """
    if not isinstance(raised, OverflowError):
        return raised
    cause = raised.__context__
    return cause if isinstance(cause, driver.PyMongoError | OSError) else None


def translate(error: Exception, what: str, *, operation: str = "", writes: bool = True) -> StoreError:
    """Return the error of ours that says what `error` lets the caller conclude: one short line."""
    translated: StoreError
    if not _is_passing(error):
        kind = _refusal(error)
        refused = OutcomeRefused if kind == "unstorable" else StoreRefused
        translated = refused(_message(error, what, "it was refused"))
        translated.reason = _reason(kind, error)
    else:
        kind = "authentication" if _is_authentication(error) else kind_of(error)
        effect = "it may or may not have been applied, repeating it is safe" if writes else "nothing was changed"
        translated = StoreUnavailable(_message(error, what, effect, _CHECKS.get(kind, "")))
        translated.reason = _reason(kind, error) if kind == "authentication" else kind
    translated.kind, translated.operation = kind, operation
    return translated


def _message(error: Exception, what: str, effect: str, check: str = "") -> str:
    """Return what was tried, why it failed, what that means, and what the user can do."""
    advice = _advice(error)
    head, tail = f"{_cut(what, _LONGEST_WHAT)}: ", f"{advice}; {effect}{'' if advice else check}"
    return f"{head}{_cut(_brief(error), _LONGEST - len(head) - len(tail))}{tail}"


#: What the user can look at, by kind.
_CHECKS = dict.fromkeys(("network", "timeout"), "; is the server up and reachable?")


def _refusal(error: Exception) -> str:
    """Return why MongoDB refused: authentication, rights, index, disk, unstorable or other."""
    codes, text = _codes(error), str(error)
    if _is_authentication(error) or "requires authentication" in text:
        return "authentication"
    if codes & _UNSTORABLE or isinstance(error, driver.DocumentTooLarge):
        return "unstorable"
    if codes & _DISK:
        return "disk"
    if codes & _NO_INDEX and _HINT in text:
        return "index"
    return "rights" if codes & _RIGHTLESS else "other"


def _is_authentication(error: Exception) -> bool:
    # For some seconds after a refusal the driver says only that it found no server, and why.
    return bool(_codes(error) & _AUTHENTICATION) or "Authentication failed" in str(error)


def _reason(kind: str, error: Exception) -> str:
    """Return why MongoDB refused in words fit for a log: of the server's text nothing that may be data."""
    if kind in ("rights", "authentication", "disk", "index"):
        return _cut(_brief(error) + _advice(error), 150)
    names = {item.get("codeName", "") for item in _failures(error)} - {""}
    codes = ", ".join(map(str, sorted(_codes(error)))) or type(error).__name__
    return f"{', '.join(sorted(names))[:80]} ({codes})" if names else codes


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
        passing = any(map(error.has_error_label, ("RetryableWriteError", "TransientTransactionError")))
        return error.code in PASSING or error.timeout or passing
    return isinstance(error, driver.PyMongoError) and error.timeout


def _is_passing_bulk(details: Mapping[str, Any]) -> bool:
    """Say whether some of the writes may stand, or may be applied by a repeat."""
    if details.get("writeConcernErrors"):
        return True  # some writes stand on the primary and nobody knows for how long
    return any(item.get("code", 0) in PASSING for item in details.get("writeErrors", ()))


def _failures(error: Exception) -> list[Mapping[str, Any]]:
    """Return what the server said: of the command, or of the single writes of a bulk."""
    details: Any = getattr(error, "details", None) or {}
    return list(details.get("writeErrors", ())) if isinstance(error, driver.BulkWriteError) else [details]


def _codes(error: Exception) -> set[int]:
    """Return the server's codes in an error, those of the single writes of a bulk included."""
    if isinstance(error, driver.BulkWriteError):
        return {item.get("code", 0) for item in _failures(error)}
    code = getattr(error, "code", None)
    return set() if code is None else {code}


#: The server quotes the whole command, values included, to say that it is not allowed.
_NOT_ALLOWED = re.compile(r'not authorized on (\S+) to execute command \{ (\w+): "?([^",]*)')
#: The right that a command needs.
_RIGHTS = {
    "insert": "insert",
    "update": "update",
    "findAndModify": "update",
    "delete": "remove",
    "find": "find",
    "aggregate": "find, and changeStream for push",
    "listIndexes": "listIndexes",
    "createIndexes": "createIndex",
}
_AUTHENTICATION = {18, 8000}
_RIGHTLESS = {13}
_DISK = {14031}
#: The server has no code of its own for a hint that names no index.
_NO_INDEX, _HINT = {2, 27}, "hint"


def _brief(error: Exception) -> str:
    """Return what an error says, in one line and without the driver's dumps of topology and reply."""
    text = str(error)
    if _codes(error) & _DISK:
        return "MongoDB has no disk space left"
    if _codes(error) & _NO_INDEX and _HINT in text:
        return "an index of jobpool is missing"
    refused = _NOT_ALLOWED.search(text)
    if refused:
        database, command, collection = refused.groups()
        right = _RIGHTS.get(command, command)
        place = _cut(f"{database}.{collection}", 60)
        return f"this user may not run {command} on {place}: the right missing is {right}"
    for tail in (", full error:", ", Timeout:", " (configured timeouts:", "\n"):
        text = text.partition(tail)[0]
    return f"{type(error).__name__}: {text}"


def _cut(text: str, longest: int) -> str:
    """Return `text` in one line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _advice(error: Exception) -> str:
    """Return what the driver does not say: what to look at."""
    text = str(error)
    if _codes(error) & _DISK:
        return " (free some on the server, then repeat it)"
    if _codes(error) & _NO_INDEX and _HINT in text:
        return " (the next try makes it again, if this user has the right createIndex)"
    if _is_authentication(error):
        return " (look at user, password and authSource)"
    if "requires authentication" in text:
        return " (give a user and a password)"
    if isinstance(error, driver.ServerSelectionTimeoutError) and "connection closed" in text:
        return " (the server may want TLS, or a certificate of the client)"
    return ""
