"""The endpoint of a pool."""

from __future__ import annotations

import http.client
import inspect
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest

from jobpool import WorkerPool
from jobpool.errors import InvalidConfiguration
from jobpool.http import Answer, Asked, MetricsServer, checks

LOCAL = "127.0.0.1"


def metrics(asked: Asked) -> Answer:
    return 200, "text/plain", f"accepts {asked.accept}".encode()


def broken(asked: Asked) -> Answer:
    return checks({"store": "away"})


@pytest.fixture(scope="module")
def server() -> Iterator[MetricsServer]:
    with MetricsServer({"/metrics": metrics, "/readyz": broken}, 0, LOCAL) as server:
        yield server


def ask(server: MetricsServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    connection = http.client.HTTPConnection(LOCAL, server.port, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def get(server: MetricsServer, path: str, **headers: str) -> tuple[int, str, str]:
    answer, body = ask(server, path, **headers)
    return answer.status, answer.headers["Content-Type"], body


def test_a_route_answers(server: MetricsServer) -> None:
    assert get(server, "/metrics", Accept="text/x") == (200, "text/plain", "accepts text/x")


def test_a_query_does_not_change_the_route(server: MetricsServer) -> None:
    assert get(server, "/metrics?name=x")[0] == 200


def test_a_failed_check_is_a_503(server: MetricsServer) -> None:
    status, content_type, body = get(server, "/readyz")
    assert (status, content_type) == (503, "application/json")
    assert json.loads(body)["failed"] == {"store": "away"}


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metric", "/../metrics", "/readyz/x"])
def test_another_path_is_a_404_that_names_the_routes(server: MetricsServer, path: str) -> None:
    status, _, body = get(server, path)
    assert (status, body) == (404, "not here; try /metrics, /readyz\n")


def test_a_head_has_the_headers_of_the_get_and_no_body(server: MetricsServer) -> None:
    for path in ("/metrics", "/readyz", "/x"):
        (head, nothing), (same, body) = ask(server, path, "HEAD"), ask(server, path)
        assert nothing == ""
        assert (head.status, head.headers["Content-Length"]) == (same.status, str(len(body)))
        assert head.headers["Content-Type"] == same.headers["Content-Type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_a_405_that_names_those_that_are(server: MetricsServer, method: str) -> None:
    answer, _ = ask(server, "/metrics", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert ask(server, "/x", method)[0].status == 404


def test_the_url_says_where_it_listens(server: MetricsServer) -> None:
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}"


def test_other_addresses_are_not_served(server: MetricsServer) -> None:
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", server.port), timeout=30)


def test_a_pool_serves_this_machine_only_by_default() -> None:
    assert inspect.signature(WorkerPool.serve_metrics).parameters["addr"].default == LOCAL


def test_a_port_in_use_is_said(server: MetricsServer) -> None:
    with pytest.raises(InvalidConfiguration, match=rf"cannot serve metrics on 127\.0\.0\.1:{server.port}: "):
        MetricsServer({}, server.port, LOCAL)


@pytest.mark.parametrize("port", [-1, 65536, True, "80"])
def test_a_port_is_checked(port: int) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^port must be "):
        MetricsServer({}, port, LOCAL)


def test_closing_ends_the_thread_and_the_port() -> None:
    before = set(threading.enumerate())
    server = MetricsServer({}, 0, LOCAL)
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["jobpool-http"]
    server.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOCAL, server.port), timeout=30)


def test_closing_may_be_repeated() -> None:
    server = MetricsServer({}, 0, LOCAL)
    server.close()
    server.close()
    with MetricsServer({}, server.port, LOCAL) as again:
        assert again.port == server.port


def test_checks_that_pass_are_a_200() -> None:
    status, content_type, body = checks({"fetcher": None, "store": None})
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body) == {"ok": True, "failed": {}, "checks": {"fetcher": "ok", "store": "ok"}}


def test_checks_that_fail_say_which() -> None:
    status, _, body = checks({"fetcher": None, "store": "away"})
    assert status == 503
    assert json.loads(body) == {
        "ok": False,
        "failed": {"store": "away"},
        "checks": {"fetcher": "ok", "store": "away"},
    }
