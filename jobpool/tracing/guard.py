"""What a tracer, its processors and exporters raise: logged once, and dropped."""

from __future__ import annotations

from types import TracebackType

from ..hooks import is_ctrl_c, logger_of

logger = logger_of(__name__)

#: What has failed before. Only grows; the texts are ours, so it stays small.
_failed: set[str] = set()


class harmless:  # noqa: N801  (read as a verb: `with harmless("end a span"):`)
    """Lets a block fail without consequences, but for the user's Ctrl-C."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Return whether the block is left in peace."""
        if error is None or is_ctrl_c(error):
            return False
        if self._what not in _failed:
            _failed.add(self._what)
            logger.error("tracing fails to %s: spans are missing from now on", self._what, exc_info=error)
        return True
