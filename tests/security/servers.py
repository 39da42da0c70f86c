"""Servers that ask who is there: one with ``--auth``, one that speaks TLS only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import trustme
from pymongo import MongoClient

from jobpool.embedded import EmbeddedMongo

ROOT_USER, ROOT_PASSWORD = "root", "p@ss/w:o?r&d%"


class SecuredMongo(EmbeddedMongo):
    """A mongod whose address needs credentials or options; `root_uri` has them."""

    def __init__(self, path: Path, arguments: list[str], *, credentials: str = "", options: str = "") -> None:
        super().__init__(path, arguments=arguments)
        self._credentials = credentials
        self._options = options

    def _address(self, options: str) -> str:
        return f"mongodb://{self._credentials}127.0.0.1:{self._port}/?{options}{self._options}"

    def uri_for(self, user: str, password: str) -> str:
        """Return the address for another user."""
        return f"mongodb://{quote_plus(user)}:{quote_plus(password)}@127.0.0.1:{self._port}/?replicaSet=jobpool"


@contextmanager
def with_auth(path: Path) -> Iterator[SecuredMongo]:
    """Run a one-node replica set that knows one user, root, and lets nobody else in."""
    with EmbeddedMongo(path / "data") as open_to_all, MongoClient[dict[str, Any]](open_to_all.uri) as client:
        client.admin.command("createUser", ROOT_USER, pwd=ROOT_PASSWORD, roles=["root"])
    key = path / "key"
    key.write_text("0123456789abcdef" * 8)
    key.chmod(0o400)
    # Few rounds of hashing: the tests make many users and connections.
    arguments = ["--setParameter", "scramSHA256IterationCount=5000", "--auth", "--keyFile"]
    root = f"{ROOT_USER}:{quote_plus(ROOT_PASSWORD)}@"
    with SecuredMongo(path / "data", [*arguments, str(key)], credentials=root) as server:
        yield server


@dataclass(frozen=True)
class Certificates:
    """The files of a certificate authority of the tests' own, and of one that nobody trusts."""

    ca: Path
    server: Path
    client: Path
    other_ca: Path

    @classmethod
    def make(cls, path: Path) -> Certificates:
        made = cls(path / "ca.pem", path / "server.pem", path / "client.pem", path / "other.pem")
        ca = trustme.CA()
        ca.cert_pem.write_to_path(made.ca)
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(made.server)
        ca.issue_cert("worker.test").private_key_and_cert_chain_pem.write_to_path(made.client)
        trustme.CA().cert_pem.write_to_path(made.other_ca)
        return made


@contextmanager
def with_tls(path: Path, files: Certificates) -> Iterator[SecuredMongo]:
    """Run a one-node replica set that takes TLS connections from clients with a certificate, and no other."""
    arguments = ["--tlsMode", "requireTLS", "--tlsCAFile", str(files.ca), "--tlsCertificateKeyFile"]
    options = f"&tls=true&tlsCAFile={files.ca}&tlsCertificateKeyFile={files.client}"
    with SecuredMongo(path / "data", [*arguments, str(files.server)], options=options) as server:
        yield server
