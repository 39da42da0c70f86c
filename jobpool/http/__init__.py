"""What a pool answers over HTTP: by a server of its own, or by an application within its host's."""

from .access import FilePath, Login, login_of, tls_of
from .asgi import ASGIApplication, asgi_app
from .backlog import backlog_route
from .routes import Answer, Asked, Routes, checks
from .server import MetricsServer
from .wsgi import wsgi_app

__all__ = [
    "ASGIApplication",
    "Answer",
    "Asked",
    "FilePath",
    "Login",
    "MetricsServer",
    "Routes",
    "asgi_app",
    "backlog_route",
    "checks",
    "login_of",
    "tls_of",
    "wsgi_app",
]
