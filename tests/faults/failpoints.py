"""The server's own faults: `failCommand`, for one client or for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

Client = MongoClient[dict[str, Any]]
POINT = "failCommand"


class Failpoint:
    """A failpoint that is set; `struck` says how often it was entered so far."""

    def __init__(self, client: Client, before: int) -> None:
        self._client = client
        self._before = before
        self._after: int | None = None

    @property
    def struck(self) -> int:
        """How many commands met it."""
        if self._after is None:
            answer = self._client.admin.command({"getParameter": 1, f"failpoint.{POINT}": 1})
            entered: int = answer[f"failpoint.{POINT}"]["timesEntered"]
            return entered - self._before
        return self._after - self._before

    def off(self) -> None:
        """Let commands pass again."""
        if self._after is None:
            self._after = self._client.admin.command({"configureFailPoint": POINT, "mode": "off"})["count"]


@contextmanager
def fail_command(
    client: Client,
    commands: Sequence[str],
    *,
    times: int | None = None,
    app: str = "jobpool",
    code: int | None = None,
    close: bool = False,
    write_concern_error: int | None = None,
    block_ms: int | None = None,
    collection: str | None = None,
) -> Iterator[Failpoint]:
    """Make `commands` of the clients named `app` fail while the context lasts.

    Args:
        client: Of the very server that is to fail.
        times: How many of them; all if None.
        code: Answered without executing the command.
        close: The connection ends without executing the command.
        write_concern_error: Answered *after* executing the command.
        block_ms: The command waits for so long before it is executed.
        collection: Only commands on this one, ``database.name``.
    """
    data: dict[str, Any] = {"failCommands": list(commands), "appName": app}
    if code is not None:
        data["errorCode"] = code
    if close:
        data["closeConnection"] = True
    if write_concern_error is not None:
        data["writeConcernError"] = {"code": write_concern_error, "errmsg": "injected"}
    if block_ms is not None:
        data |= {"blockConnection": True, "blockTimeMS": block_ms}
    if collection is not None:
        data["namespace"] = collection
    mode: Any = "alwaysOn" if times is None else {"times": times}
    set = client.admin.command({"configureFailPoint": POINT, "mode": mode, "data": data})
    point = Failpoint(client, set["count"])
    try:
        yield point
    finally:
        point.off()
