"""The metrics endpoint of a pool: ``/metrics``, ``/healthz``, ``/readyz``, and 404 for the rest."""

from __future__ import annotations

import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from ..errors import InvalidConfiguration
from ..hooks import logger_of
from ..names import check_int
from .access import CHALLENGE, Login
from .routes import TEXT, Asked, Reply, Route, Routes, brief, reply

logger = logger_of(__name__)

#: Seconds: a client that sends nothing keeps no thread for longer.
PATIENCE = 10.0
#: Whoever has to be told of a pool's health often cannot log in: without a login these say yes or no, and no more.
PROBES = ("/healthz", "/readyz")


class MetricsServer:
    """An HTTP server on a thread of its own. It listens until it is closed.

    Args:
        routes: What answers a GET, by path.
        port: 0 takes a free one.
        addr: The local address; other machines reach it only if you say so.
        tls: Speak TLS by this, and nothing else.
        login: Who may ask. Others get 401, and of the probes the status without details.

    Raises:
        InvalidConfiguration: The port cannot be bound.

    Threads: every request has its own, its TLS handshake included; `close` from any.
    """

    def __init__(
        self,
        routes: Routes,
        port: int,
        addr: str,
        *,
        tls: ssl.SSLContext | None = None,
        login: Login | None = None,
    ) -> None:
        check_int(port, "port", 0, 65535)
        # The socket library takes an empty address for all of them: an unset variable must not do that.
        if not isinstance(addr, str) or not addr:
            raise InvalidConfiguration(f"addr must be a local address such as 127.0.0.1, not {addr!r}")
        try:
            self._server = _Server((addr, port), _handler(routes, login), tls)
        except (OSError, UnicodeError) as error:
            raise InvalidConfiguration(f"cannot serve metrics on {addr}:{port}: {error}") from error
        self._pid = os.getpid()
        self._scheme = "https" if tls else "http"
        self.addr, self.port = self._server.server_address[:2]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="jobpool-http", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"{self._scheme}://{self.addr!s}:{self.port}"

    def close(self) -> None:
        """Stop listening and end the thread; may be repeated. In a fork only its copy of the socket goes."""
        if os.getpid() != self._pid:  # the thread that would answer to `shutdown` is not here
            self._server.socket.close()
            return
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

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None
    ) -> None:
        self._tls = tls
        super().__init__(address, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer, on the request's own thread: a client that dawdles over its handshake keeps nobody waiting."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(PATIENCE)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Say nothing on the host's stderr about a scraper that went away."""
        logger.debug("a request from %s ended early", client_address, exc_info=True)


def _handler(routes: Routes, login: Login | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE
        server_version, sys_version = "jobpool", ""  # nobody needs to know of which Python

        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            answered = self._reply(path, query)
            self.send_response(answered.status)
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answered.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

        def _reply(self, path: str, query: str) -> Reply:
            open_to, said = routes, self.headers.get("Authorization")
            if login is not None and not (said and login.admits(said)):
                if said or path not in PROBES:
                    denied = (401, TEXT, b"log in\n")
                    return Reply(denied, self.command, WWW_Authenticate=CHALLENGE)
                open_to = {name: _briefly(route) for name, route in routes.items() if name in PROBES}
            return reply(open_to, self.command, path, Asked(self.headers.get("Accept", ""), query))

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: the host decides what is logged."""

    return Handler


def _briefly(route: Route) -> Route:
    return lambda asked: brief(route(asked))
