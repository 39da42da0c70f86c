"""``jobpool worker`` and ``jobpool metrics`` with an endpoint for other machines."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from jobpool import JobManager

from ..security.servers import Certificates
from .conftest import StartWorker


@pytest.mark.parametrize("where", ["variable", "file"])
def test_the_endpoint_of_a_worker_speaks_tls_and_asks_for_a_login(
    manager: JobManager, start_worker: StartWorker, tmp_path: Path, where: str
) -> None:
    files = Certificates.make(tmp_path)
    (tmp_path / "password").write_text("s3cret\n")
    secret = (
        {"METRICS_PASSWORD": "s3cret"} if where == "variable" else {"METRICS_PASSWORD_FILE": tmp_path / "password"}
    )
    options = ["--metrics-port", "0", "--metrics-user", "ops", "--metrics-tls-cert", str(files.server)]
    worker = start_worker(*options, **{f"JOBPOOL_{name}": str(value) for name, value in secret.items()})
    url = worker.wait_for_line("metrics on").split()[-1]
    assert url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=files.ca)
    login = {"Authorization": "Basic " + base64.b64encode(b"ops:s3cret").decode()}
    assert b"jobpool_threads" in urlopen(Request(url, headers=login), context=context).read()
    with pytest.raises(HTTPError, match="401"):
        urlopen(url, context=context)


def test_the_exporter_of_the_cluster_view_asks_for_a_login_too(
    manager: JobManager, environment: dict[str, str]
) -> None:
    database = manager.store.name.partition(".")[0]
    command = [sys.executable, "-m", "jobpool", "metrics", database, "--serve", "0", "--metrics-user", "ops"]
    given = {**environment, "JOBPOOL_METRICS_PASSWORD": "s3cret"}
    with subprocess.Popen(command, env=given, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().partition(" on ")[2].partition(";")[0]
            with pytest.raises(HTTPError, match="401"):
                urlopen(url)
            assert urlopen(url.replace("/metrics", "/healthz")).read() == b'{"ok": true}'
        finally:
            process.kill()


def test_a_worker_whose_endpoint_is_refused_touches_no_job(manager: JobManager, start_worker: StartWorker) -> None:
    id = manager.create("quick", 1).id
    code, errors = start_worker("--metrics-port", "0", "--metrics-user", "ops").end()
    assert code == 2
    assert errors.splitlines() == ["jobpool: authentication takes a user and a password; a password is missing"]
    assert manager.get(id).fence == 0
