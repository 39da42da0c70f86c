"""What a pool answers over HTTP, and by whom: its own servers, or its host's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from wsgiref.types import WSGIApplication

from ..backlog import View
from ..http import (
    ASGIApplication,
    FilePath,
    MetricsServer,
    Routes,
    asgi_app,
    backlog_route,
    checks,
    login_of,
    tls_of,
    wsgi_app,
)
from .health import Health

_NOT_COUNTED = "not counted yet, or not by this pool: see its backlog_interval"


class Endpoint(ABC):
    """``/metrics``, ``/healthz``, ``/readyz`` and ``/backlog`` of a pool.

    Threads: every method from any thread. `_servers` only grows; `_closed` turns True
    once, before the servers are closed, so that one that comes late is closed as well.
    """

    def __init__(self) -> None:
        self._servers: list[MetricsServer] = []
        self._closed = False

    @abstractmethod
    def health(self) -> Health:
        """Return whether every thread lives and advances, and whether the pool can work now."""

    @abstractmethod
    def exposition(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and body of a scrape."""

    @abstractmethod
    def backlog_view(self) -> View | None:
        """Return what the pool counted last of all jobs; None before the first count, or if it does not count."""

    def routes(self) -> Routes:
        """Return what answers, by path."""
        return {
            "/metrics": lambda asked: (200, *self.exposition(asked.accept)),
            "/healthz": lambda _: checks(self.health().live),
            "/readyz": lambda _: checks(self.health().all),
            "/backlog": backlog_route(self.backlog_view, _NOT_COUNTED),
        }

    def wsgi_app(self) -> WSGIApplication:
        """Return a WSGI application with these routes, to be mounted in a service; it outlives the pool."""
        return wsgi_app(self.routes())

    def asgi_app(self) -> ASGIApplication:
        """Return the same as an ASGI application. It does not hold up the event loop."""
        return asgi_app(self.routes())

    def serve_metrics(
        self,
        port: int,
        addr: str = "127.0.0.1",
        *,
        tls_cert: FilePath | None = None,
        tls_key: FilePath | None = None,
        user: str | None = None,
        password: str | None = None,
    ) -> MetricsServer:
        """Serve what `routes` says until the pool has stopped; return the server.

        Args:
            port: 0 takes a free one; ``.port`` and ``.url`` of the answer say which.
            addr: The local address to listen on; other machines need another one.
            tls_cert: Speak TLS (1.2 or later) with the certificate chain in this PEM file.
            tls_key: The file of its key, if that is another one.
            user: Ask for this name and `password` (basic authentication). Who gives neither
                hears from ``/healthz`` and ``/readyz`` yes or no, without details, and nothing else.
            password: Give it with `user`.

        Raises:
            InvalidConfiguration: The port cannot be bound, or a file cannot be used; the message names it.
        """
        tls, login = tls_of(tls_cert, tls_key), login_of(user, password)
        server = MetricsServer(self.routes(), port, addr, tls=tls, login=login)
        self._servers.append(server)
        if self._closed:
            server.close()
        return server

    def _close_servers(self) -> None:
        self._closed = True
        for server in self._servers:
            server.close()
