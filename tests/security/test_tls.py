"""TLS to MongoDB, with certificates of our own; errors that name it."""

from __future__ import annotations

import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobpool import JobManager, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidConfiguration, StoreUnavailable

from ..waiting import PATIENCE, until
from .servers import Certificates, SecuredMongo

#: Seconds that a call may take; a watchdog far above it.
LIMIT, FAR_ABOVE = 0.7, 20.0


def address(server: SecuredMongo, options: str) -> str:
    return f"{server.uri.partition('&')[0]}{options}"


def test_jobs_run_over_tls(tls_server: SecuredMongo) -> None:
    with JobManager("tls", uri=tls_server.uri, executors={"echo": lambda data: data}) as manager:
        manager.create_many([{"type": "echo", "data": n} for n in range(100)])
        with WorkerPool(manager, threads=4):
            assert manager.wait(manager.create("echo", "pushed").id, PATIENCE).result == "pushed"
            until(lambda: manager.count(state="succeeded") == 101)
            waker = manager.wakeups.waker
            assert waker is not None
            until(lambda: waker.pushing_since)


def test_a_wrong_way_to_a_tls_server_is_an_error_that_names_tls(
    tls_server: SecuredMongo, certificates: Certificates
) -> None:
    wrong = {
        "": "want TLS",
        "&tls=true": "CERTIFICATE_VERIFY_FAILED",
        f"&tls=true&tlsCAFile={certificates.other_ca}": "CERTIFICATE_VERIFY_FAILED",
        f"&tls=true&tlsCAFile={certificates.ca}": "certificate of the client",
    }

    def told(options: str) -> str:
        manager = JobManager("x", uri=address(tls_server, options), timeout=LIMIT)
        with manager, pytest.raises(StoreUnavailable) as refused:
            manager.create("a")
        return str(refused.value)

    began = time.monotonic()
    with ThreadPoolExecutor(len(wrong)) as together:
        answers = list(together.map(told, wrong))
    assert time.monotonic() - began < FAR_ABOVE
    for what, answer in zip(wrong.values(), answers, strict=True):
        assert what in answer
        assert len(answer) < 400


def test_a_certificate_is_for_one_name(tls_server: SecuredMongo) -> None:
    uri = tls_server.uri.replace("127.0.0.1", "localhost") + "&directConnection=true"
    uri = uri.replace("replicaSet=jobpool&", "")
    wrong_name = pytest.raises(StoreUnavailable, match="Hostname mismatch")
    with JobManager("x", uri=uri, timeout=LIMIT) as manager, wrong_name:
        manager.create("a")


def test_tls_to_a_server_without_it_is_an_error_that_names_it(
    server: EmbeddedMongo, certificates: Certificates
) -> None:
    uri = f"{server.uri}&tls=true&tlsCAFile={certificates.ca}"
    with JobManager("x", uri=uri, timeout=LIMIT) as manager, pytest.raises(StoreUnavailable, match=r"SSL|TLS"):
        manager.create("a")


@pytest.mark.parametrize("missing", ["tlsCAFile", "tlsCertificateKeyFile"])
def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path, missing: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"(?i){missing}"):
        JobManager("x", uri=f"mongodb://h/?tls=true&{missing}={tmp_path}/none.pem")


def test_a_wrong_password_of_a_key_is_a_configuration_error_without_it(
    tmp_path: Path, certificates: Certificates
) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    pem = certificates.client.read_bytes()
    key = load_pem_private_key(pem, None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"right"))
    (tmp_path / "locked.pem").write_bytes(locked + pem[pem.index(b"-----BEGIN CERT") :])
    uri = f"mongodb://h/?tls=true&tlsCertificateKeyFile={tmp_path}/locked.pem&tlsCertificateKeyFilePassword="
    wrong = f"{uri}wr0ng-s3cret"
    with pytest.raises(InvalidConfiguration) as refused:
        JobManager("x", uri=wrong)
    told = "".join(traceback.format_exception(refused.value))
    assert "wr0ng" not in told
    assert "s3cret" not in told
    JobManager("x", uri=f"{uri}right").close()
