"""Which path answers what, the same for every way to ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..hooks import is_ctrl_c, logger_of

logger = logger_of(__name__)

#: An answer: status, content type, body.
Answer = tuple[int, str, bytes]


class Asked(NamedTuple):
    """What a request says beside its path.

    Attributes:
        accept: The ``Accept`` header.
        query: What is behind the question mark, as it was sent.
    """

    accept: str = ""
    query: str = ""


#: What answers a request.
Route = Callable[[Asked], Answer]
#: What answers, by path.
Routes = Mapping[str, Route]

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
METHODS = "GET, HEAD"


class Reply:
    """What goes back: an answer to a request, as headers and body.

    A HEAD has the headers of the GET and no body.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, answer: Answer, method: str = "GET", **more: str) -> None:
        self.status, content_type, body = answer
        named = {name.replace("_", "-"): value for name, value in more.items()}
        self.headers = {"Content-Type": content_type, "Content-Length": str(len(body)), **named}
        self.body = b"" if method == "HEAD" else body


def reply(routes: Routes, method: str, path: str, asked: Asked) -> Reply:
    """Return the reply to a request; raise only the user's Ctrl-C. `path` is without query and mount point."""
    route = routes.get(path)
    if route is None:
        return Reply((404, TEXT, f"not here; try {', '.join(routes)}\n".encode()), method)
    if method not in ("GET", "HEAD"):
        return Reply((405, TEXT, f"only {METHODS}\n".encode()), method, Allow=METHODS)
    try:
        answer = route(asked)
    except BaseException as error:  # a collector that the host has on the registry, say
        if is_ctrl_c(error):  # a host may answer on its main thread
            raise
        logger.exception("the answer to a %s of %r failed", method, path[:100])
        answer = (500, TEXT, b"it failed; see the log\n")
    return Reply(answer, method)


def checks(checked: Mapping[str, str | None]) -> Answer:
    """Return 200 if no check failed, else 503, with a JSON body that says which."""
    failed = {name: why for name, why in checked.items() if why}
    body = {"ok": not failed, "failed": failed, "checks": {name: why or "ok" for name, why in checked.items()}}
    return (503 if failed else 200), JSON, json.dumps(body).encode()


def brief(answer: Answer) -> Answer:
    """Return the answer to a probe without its details: for who did not say who he is."""
    status = answer[0]
    return status, JSON, json.dumps({"ok": status == 200}).encode()
