"""Log records that say which job they are of: a filter, and two formats."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from .current import in_hand, log_fields
from .names import shown

#: What every record has behind the filter, and its value where there is no job: format strings work everywhere.
NEUTRAL: dict[str, object] = {
    "job_id": "-",
    "job_type": "-",
    "pool": "-",
    "attempt": 0,
    "trace_id": "-",
    "span_id": "-",
}


class JobLogFilter(logging.Filter):
    """Adds the job in hand to records: ``job_id``, ``job_type``, ``pool``, ``attempt``, ``trace_id``, ``span_id``.

    Add it to handlers, not to loggers: a logger's filters see only the records
    logged on that very logger. Where no job is in hand, texts are ``"-"`` and
    ``attempt`` is 0; so are the ids of trace and span without tracing. What a
    record has by its ``extra`` stays. It lets every record through.

    A handler that works on another thread sees no job there: put the filter
    on the `QueueHandler` in front of it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing."""
        held = in_hand.get()
        fields = NEUTRAL if held is None else NEUTRAL | log_fields(held)
        for name, value in fields.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class TextFormatter(logging.Formatter):
    """A line of text, with the job's id when there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """Return the line without its traceback."""
        line = super().formatMessage(record)
        id = getattr(record, "job_id", NEUTRAL["job_id"])
        return line if id == NEUTRAL["job_id"] else f"{line} [job {shown(id)}]"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII, whatever the record holds.

    ``timestamp`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, with an
    exception ``exc``, and the fields of the job when there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "timestamp": _timestamp(record.created),
            "level": _text(record.levelname),
            "logger": _text(record.name),
            "message": _message_of(record),
        }
        line |= _fields_of(record)
        if exc := self._exc_of(record):
            line["exc"] = exc
        if record.stack_info:
            line["stack"] = _text(record.stack_info)
        return json.dumps(line)

    def _exc_of(self, record: logging.LogRecord) -> str:
        try:
            exc = self.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
        except Exception as error:  # noqa: BLE001  (the __str__ of a user's exception may do anything)
            exc = f"<no traceback: formatting raised {type(error).__name__}>"
        return _text(exc)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields_of(record: logging.LogRecord) -> dict[str, str | int]:
    """Return the fields of the job that a record is of."""
    fields = {name: _plain(getattr(record, name, neutral)) for name, neutral in NEUTRAL.items()}
    return {name: value for name, value in fields.items() if value != NEUTRAL[name]}


def _message_of(record: logging.LogRecord) -> str:
    try:
        return _text(record.getMessage())
    except Exception as error:  # noqa: BLE001  (arguments that do not fit, or a __str__ that raises)
        return f"{_text(record.msg)} <its arguments do not fit: {type(error).__name__}>"


def _plain(value: object) -> str | int:
    return int(value) if isinstance(value, int) and abs(value) < 2**63 else _text(value)


def _text(value: object) -> str:
    """Return a text that every JSON reader takes: lone surrogates, which some refuse, are escaped."""
    try:
        return str(value).encode(errors="backslashreplace").decode()
    except Exception as error:  # noqa: BLE001
        return f"<no text: str() raised {type(error).__name__}>"
