"""The endpoint as a WSGI application, to be mounted in a service."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from .routes import Asked, Routes, reply


def wsgi_app(routes: Routes) -> WSGIApplication:
    """Return an application that answers `routes` below its mount point. Who may ask is the host's to say."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        asked = Asked(environ.get("HTTP_ACCEPT", ""), environ.get("QUERY_STRING", ""))
        answered = reply(routes, method, path, asked)
        status = f"{answered.status} {HTTPStatus(answered.status).phrase}"
        start_response(status, list(answered.headers.items()))
        return [answered.body]

    return app
