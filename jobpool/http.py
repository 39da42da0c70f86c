"""The metrics endpoint of a pool: ``/metrics``, ``/healthz``, ``/readyz``, and 404 for the rest."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from .errors import InvalidConfiguration
from .names import check_int

logger = logging.getLogger(__name__)

#: An answer: status, content type, body.
Answer = tuple[int, str, bytes]


class MetricsServer:
    """An HTTP server on a thread of its own. It listens until it is closed.

    Args:
        routes: What answers a GET, by path; called with the ``Accept`` header.
        port: 0 takes a free one.
        addr: The local address; other machines reach it only if you say so.

    Raises:
        InvalidConfiguration: The port cannot be bound.

    Threads: every request has its own; `close` from any.
    """

    def __init__(self, routes: dict[str, Callable[[str], Answer]], port: int, addr: str) -> None:
        check_int(port, "port", 0, 65535)
        try:
            self._server = _Server((addr, port), _handler(routes))
        except OSError as error:
            raise InvalidConfiguration(f"cannot serve metrics on {addr}:{port}: {error}") from error
        self.addr, self.port = self._server.server_address[:2]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="jobpool-http", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://{self.addr!s}:{self.port}"

    def close(self) -> None:
        """Stop listening and end the thread. May be repeated."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a scraper that hangs must not keep the process

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Say nothing on the host's stderr about a scraper that went away."""
        logger.debug("a request from %s ended early", client_address, exc_info=True)


def _handler(routes: dict[str, Callable[[str], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # a client that sends nothing keeps no thread

        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            answer = route(self.headers.get("Accept", "")) if route else _not_found(routes)
            status, content_type, body = answer
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: the host decides what is logged."""

    return Handler


def checks(checked: dict[str, str | None]) -> Answer:
    """Return 200 if no check failed, else 503, with a JSON body that says which."""
    failed = {name: why for name, why in checked.items() if why}
    body = {"ok": not failed, "failed": failed, "checks": {name: why or "ok" for name, why in checked.items()}}
    return (503 if failed else 200), "application/json", json.dumps(body).encode()


def _not_found(routes: dict[str, Callable[[str], Answer]]) -> Answer:
    return 404, "text/plain; charset=utf-8", f"not here; try {', '.join(routes)}\n".encode()
