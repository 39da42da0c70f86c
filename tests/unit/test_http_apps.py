"""The endpoint within a host's service: by WSGI and by ASGI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from jobpool.http import Answer, Asked, asgi_app, checks, wsgi_app
from jobpool.http.routes import reply

from ..waiting import PATIENCE


def metrics(asked: Asked) -> Answer:
    return 200, "text/plain", f"accepts {asked.accept}".encode()


def broken(asked: Asked) -> Answer:
    raise SystemExit("a collector of the host's")


ROUTES: dict[str, Callable[[Asked], Answer]] = {
    "/metrics": metrics,
    "/readyz": lambda _: checks({"store": "away"}),
    "/broken": broken,
}

#: Method, path below the mount point, status, and what the body is, or how it begins.
EXCHANGES = [
    ("GET", "/metrics", 200, "accepts text/x"),
    ("GET", "/metrics?name=x", 200, "accepts text/x"),
    ("HEAD", "/metrics", 200, ""),
    ("POST", "/metrics", 405, "only GET, HEAD"),
    ("GET", "/readyz", 503, '{"ok": false, "failed": {"store": "away"}'),
    ("HEAD", "/readyz", 503, ""),
    ("GET", "/metrics/", 404, "not here; try /metrics, /readyz, /broken"),
    ("GET", "/", 404, "not here"),
    ("POST", "/x", 404, "not here"),
    ("GET", "/broken", 500, "it failed; see the log"),
]


def begins(body: str, beginning: str) -> bool:
    return body.startswith(beginning) if beginning else body == ""


def by_wsgi(method: str, path: str, mount: str) -> tuple[int, dict[str, str], str]:
    """Ask the application as a server does that is strict about the standard."""
    told: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        told.update(status=int(status.split()[0]), headers=dict(headers))

    environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": mount, "HTTP_ACCEPT": "text/x"}
    environ["PATH_INFO"], _, environ["QUERY_STRING"] = path.partition("?")
    setup_testing_defaults(environ)
    chunks = validator(wsgi_app(ROUTES))(environ, start_response)
    try:
        body = b"".join(chunks).decode()
    finally:
        chunks.close()  # type: ignore[attr-defined]
    return told["status"], told["headers"], body


@pytest.mark.parametrize(("method", "path", "status", "body"), EXCHANGES)
def test_the_wsgi_application_answers_below_its_mount_point(
    method: str, path: str, status: int, body: str
) -> None:
    for mount in ("", "/ops"):
        answered = by_wsgi(method, path, mount)
        assert answered[0] == status
        assert begins(answered[2], body)
        assert ("Allow" in answered[1]) == (status == 405)


def test_ctrl_c_on_the_main_thread_of_a_host_is_not_taken_for_a_failed_answer() -> None:
    def interrupted(asked: Asked) -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reply({"/metrics": interrupted}, "GET", "/metrics", Asked())


def test_the_wsgi_application_runs_on_a_real_server() -> None:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: object) -> None:
            return

    with make_server("127.0.0.1", 0, validator(wsgi_app(ROUTES)), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            asked = Request(f"{url}/metrics", headers={"Accept": "text/x"})
            assert urlopen(asked, timeout=PATIENCE).read() == b"accepts text/x"
            with pytest.raises(HTTPError, match="503"):
                urlopen(f"{url}/readyz", timeout=PATIENCE)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("mount", ["/ops", "/metrics", "/a/b"])
def test_the_asgi_application_answers_mounted_in_fastapi(mount: str) -> None:
    host = FastAPI()
    host.mount(mount, asgi_app(ROUTES))
    with TestClient(host) as web:
        for method, path, status, body in EXCHANGES:
            answer = web.request(method, mount + path, headers={"Accept": "text/x"})
            assert (answer.status_code, begins(answer.text, body)) == (status, True), (method, path, answer.text)
            assert ("Allow" in answer.headers) == (status == 405)


def test_the_asgi_application_is_an_application_of_its_own_with_a_life() -> None:
    with TestClient(asgi_app(ROUTES)) as web:  # which waits for the answers to startup and shutdown
        assert web.get("/metrics", headers={"Accept": "text/x"}).text == "accepts text/x"


def test_the_asgi_application_understands_hosts_that_take_the_mount_point_out_of_the_path() -> None:
    assert asyncio.run(by_asgi(asgi_app(ROUTES), "/metrics", root_path="/metrics")) == [200]


def test_the_asgi_application_refuses_websockets() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(run(asgi_app(ROUTES)({"type": "websocket", "path": "/metrics", "headers": []}, receive, send)))
    assert [message["type"] for message in sent] == ["websocket.close"]


async def run(awaitable: Awaitable[None]) -> None:
    await awaitable


async def by_asgi(app: Any, path: str, root_path: str = "") -> list[int]:
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await app(
        {"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": []}, receive, send
    )
    return statuses


def test_a_scrape_that_takes_its_time_keeps_neither_the_event_loop_nor_a_probe() -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(asked: Asked) -> Answer:
        began.set()
        assert go_on.wait(PATIENCE)
        return metrics(asked)

    app = asgi_app({**ROUTES, "/slow": slow})

    async def host() -> tuple[list[int], list[int]]:
        scrape = asyncio.create_task(by_asgi(app, "/slow"))
        while not began.is_set():
            await asyncio.sleep(0.01)
        probe = await by_asgi(app, "/readyz")
        assert not scrape.done()
        go_on.set()
        return probe, await scrape

    assert asyncio.run(host()) == ([503], [200])


def test_an_answer_that_comes_after_the_end_of_the_event_loop_is_dropped_in_silence() -> None:
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def late(asked: Asked) -> Answer:
        began.set()
        assert go_on.wait(PATIENCE)
        ended.set()
        return metrics(asked)

    async def host() -> None:
        scrape = asyncio.create_task(by_asgi(asgi_app({"/late": late}), "/late"))
        while not began.is_set():
            await asyncio.sleep(0.01)
        scrape.cancel()

    before = set(threading.enumerate())
    asyncio.run(host())
    (thread,) = set(threading.enumerate()) - before
    go_on.set()
    thread.join(PATIENCE)
    assert ended.is_set()
    assert not thread.is_alive()  # an exception on it would fail this test: pytest turns it into one
