"""The built-in server for others than this machine: TLS, a login, and what is told without one."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobpool import JobManager, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidConfiguration
from jobpool.http import MetricsServer, checks, login_of, tls_of

from ..conftest import MakeManager
from ..waiting import PATIENCE
from .commands import run_worker
from .servers import Certificates

LOCAL, USER, PASSWORD = "127.0.0.1", "prometheus", "p:ä s3cret"
SECRET_DETAIL = "the pool is draining"

ROUTES = {
    "/metrics": lambda asked: (200, "text/plain", b"figures"),
    "/healthz": lambda asked: checks({"fetcher": None}),
    "/readyz": lambda asked: checks({"claiming": SECRET_DETAIL}),
}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def ask(connection: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, Any, str]:
    with closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def get(server: MetricsServer, path: str, **headers: str) -> tuple[int, Any, str]:
    return ask(http.client.HTTPConnection(LOCAL, server.port, timeout=PATIENCE), path, **headers)


def get_secured(server: MetricsServer, ca: Path, path: str, **headers: str) -> tuple[int, Any, str]:
    context = ssl.create_default_context(cafile=ca)
    return ask(http.client.HTTPSConnection(LOCAL, server.port, timeout=PATIENCE, context=context), path, **headers)


# --- a login ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[MetricsServer]:
    with MetricsServer(ROUTES, 0, LOCAL, login=login_of(USER, PASSWORD)) as server:
        yield server


def test_who_logs_in_gets_everything(guarded: MetricsServer) -> None:
    known = basic(USER, PASSWORD)
    assert get(guarded, "/metrics", **known)[::2] == (200, "figures")
    status, _, body = get(guarded, "/readyz", **known)
    assert (status, json.loads(body)["failed"]) == (503, {"claiming": SECRET_DETAIL})
    assert get(guarded, "/x", **known)[0] == 404


@pytest.mark.parametrize("path", ["/metrics", "/x", "/", "/healthz/"])
def test_who_does_not_gets_nothing_else_than_a_challenge(guarded: MetricsServer, path: str) -> None:
    status, headers, body = get(guarded, path)
    assert (status, body) == (401, "log in\n")
    assert headers["WWW-Authenticate"] == 'Basic realm="jobpool", charset="UTF-8"'


def test_a_probe_that_cannot_log_in_hears_yes_or_no_and_no_more(guarded: MetricsServer) -> None:
    assert get(guarded, "/healthz")[::2] == (200, '{"ok": true}')
    assert get(guarded, "/readyz")[::2] == (503, '{"ok": false}')


WRONG = [
    basic(USER, "guess"),
    basic(USER, PASSWORD + " "),
    basic(USER, PASSWORD[:-1]),
    basic(USER.upper(), PASSWORD),
    basic("", ""),
    {"Authorization": "Basic"},
    {"Authorization": "Basic ====;"},
    {"Authorization": "Basic \xff\xfe"},
    {"Authorization": f"{USER}:p:s3cret"},
    {"Authorization": basic(USER, PASSWORD)["Authorization"].replace("Basic", "Bearer")},
]


@pytest.mark.parametrize("headers", WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_a_wrong_login_is_refused_everywhere(guarded: MetricsServer, path: str, headers: dict[str, str]) -> None:
    assert get(guarded, path, **headers)[::2] == (401, "log in\n")


@pytest.mark.parametrize(
    ("user", "password"),
    [(USER, None), (None, PASSWORD), ("", PASSWORD), (USER, ""), ("a:b", PASSWORD), (5, PASSWORD), (USER, b"x")],
)
def test_half_a_login_is_an_error_and_not_an_open_door(user: Any, password: Any) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        login_of(user, password)
    assert PASSWORD not in str(refused.value)


def test_no_repr_shows_the_password() -> None:
    assert PASSWORD not in repr(login_of(USER, PASSWORD))


# --- TLS ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secured(certificates: Certificates) -> Iterator[MetricsServer]:
    with MetricsServer(ROUTES, 0, LOCAL, tls=tls_of(certificates.server, None)) as server:
        yield server


def test_a_client_that_knows_the_authority_is_answered(secured: MetricsServer, certificates: Certificates) -> None:
    assert secured.url == f"https://127.0.0.1:{secured.port}"
    assert get_secured(secured, certificates.ca, "/metrics")[::2] == (200, "figures")


def test_who_speaks_another_protocol_is_not_answered(secured: MetricsServer, certificates: Certificates) -> None:
    with pytest.raises((http.client.HTTPException, OSError)):
        get(secured, "/metrics")
    with pytest.raises(ssl.SSLCertVerificationError):
        get_secured(secured, certificates.other_ca, "/metrics")
    assert get_secured(secured, certificates.ca, "/healthz")[0] == 200


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_an_old_version_of_tls_is_refused(secured: MetricsServer, certificates: Certificates) -> None:
    def handshake(newest: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=certificates.ca)
        context.set_ciphers("ALL:@SECLEVEL=0")  # or our own side would not offer the old one
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_1, newest
        with (
            socket.create_connection((LOCAL, secured.port), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=LOCAL) as wrapped,
        ):
            return wrapped.version()

    assert handshake(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        handshake(ssl.TLSVersion.TLSv1_1)


def test_a_client_that_dawdles_over_its_handshake_keeps_nobody_waiting(
    secured: MetricsServer, certificates: Certificates
) -> None:
    dawdlers = [socket.create_connection((LOCAL, secured.port), timeout=PATIENCE) for _ in range(5)]
    try:
        dawdlers[0].sendall(b"\x16\x03")  # the beginning of one
        for _ in range(3):
            assert get_secured(secured, certificates.ca, "/healthz")[0] == 200
        for dawdler in dawdlers:  # and they wait still: nobody has been answered or sent away
            dawdler.setblocking(False)
            with pytest.raises(BlockingIOError):
                dawdler.recv(1)
    finally:
        for dawdler in dawdlers:
            dawdler.close()


@pytest.fixture(scope="module")
def files(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are not what they should be."""
    path = tmp_path_factory.mktemp("files")
    both = certificates.server.read_text()
    begin = both.index("-----BEGIN CERTIFICATE")
    (path / "key.pem").write_text(both[:begin])
    (path / "cert.pem").write_text(both[begin:])
    (path / "other.pem").write_text(certificates.client.read_text())
    (path / "nonsense.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    (path / "empty.pem").write_text("")
    return path


def test_certificate_and_key_may_be_two_files(files: Path, certificates: Certificates) -> None:
    with MetricsServer(ROUTES, 0, LOCAL, tls=tls_of(files / "cert.pem", str(files / "key.pem"))) as server:
        assert get_secured(server, certificates.ca, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("cert", "key", "named"),
    [
        ("missing.pem", "key.pem", "missing.pem"),
        ("cert.pem", "missing.pem", "missing.pem"),
        ("cert.pem", None, "no private key .* cert.pem"),
        ("key.pem", "key.pem", "no certificate .* key.pem|no certificate .*key.pem"),
        ("empty.pem", None, "empty.pem"),
        ("nonsense.pem", "key.pem", "nonsense.pem"),
        ("cert.pem", "other.pem", "cert.pem.*other.pem"),
        (None, "key.pem", "key.pem.*tls_cert"),
        ("", None, "''"),
        (".", None, "cannot read the certificate"),
    ],
)
def test_a_wrong_file_is_named(files: Path, cert: str | None, key: str | None, named: str) -> None:
    def path(name: str | None) -> str | None:
        return str(files / name) if name else name

    with pytest.raises(InvalidConfiguration, match=named.replace(" .* ", " .*")):
        tls_of(path(cert), path(key))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="encrypts the key")
def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(files: Path) -> None:
    encrypt = ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", "key.pem", "-out", "encrypted.pem"]
    subprocess.run(encrypt, cwd=files, check=True, capture_output=True)
    with pytest.raises(InvalidConfiguration, match=r"encrypted\.pem'.*is encrypted"):
        tls_of(files / "cert.pem", files / "encrypted.pem")


# --- both, of a pool and of the command ---------------------------------------------------


def test_a_pool_serves_by_tls_to_who_logs_in(make_manager: MakeManager, certificates: Certificates) -> None:
    manager: JobManager = make_manager(executors={"a": print})
    with WorkerPool(manager, threads=1) as pool:
        server = pool.serve_metrics(0, tls_cert=certificates.server, user=USER, password=PASSWORD)
        assert get_secured(server, certificates.ca, "/metrics")[0] == 401
        status, _, body = get_secured(server, certificates.ca, "/metrics", **basic(USER, PASSWORD))
        assert status == 200
        assert "jobpool_threads" in body
        with pytest.raises(InvalidConfiguration, match="a password is missing"):
            pool.serve_metrics(0, user=USER)
        assert pool.state == "started"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"JOBPOOL_METRICS_PASSWORD": "x"}, "a user is missing"),
        ({"JOBPOOL_METRICS_USER": "x"}, "a password is missing"),
        ({"JOBPOOL_METRICS_TLS_CERT": ""}, "cannot read the certificate ''"),
        ({"JOBPOOL_METRICS_USER": "x", "JOBPOOL_METRICS_PASSWORD_FILE": "/none/x"}, "password file '/none/x'"),
    ],
)
def test_half_of_it_for_the_command_is_an_error(
    server: EmbeddedMongo, database: str, variables: dict[str, str], named: str
) -> None:
    given = {"JOBPOOL_URI": server.uri, "TEST_DATABASE": database, "JOBPOOL_METRICS_PORT": "0", **variables}
    ended = run_worker("--burst", **given)
    assert ended.returncode == 2, ended.stderr
    assert named in ended.stderr
