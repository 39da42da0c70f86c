"""Servers that ask who is there, and a manager with jobs that nobody may touch."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager
from jobpool.embedded import EmbeddedMongo

from .servers import Certificates, SecuredMongo, with_auth, with_tls


@pytest.fixture(scope="session")
def auth_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredMongo]:
    """A server that lets in who has a user; its `uri` is that of root."""
    with with_auth(tmp_path_factory.mktemp("auth")) as server:
        yield server


@pytest.fixture(scope="session")
def root(auth_server: SecuredMongo) -> Iterator[MongoClient[dict[str, Any]]]:
    """The tests' own eyes on the server that asks who is there."""
    with MongoClient[dict[str, Any]](auth_server.uri, tz_aware=True) as client:
        yield client


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[SecuredMongo]:
    """A server that speaks TLS only, with clients that have a certificate."""
    with with_tls(tmp_path_factory.mktemp("tls"), certificates) as server:
        yield server


@pytest.fixture(scope="module")
def victim(server: EmbeddedMongo, client: MongoClient[dict[str, Any]]) -> Iterator[JobManager]:
    """A manager whose collection holds a job in each of several states."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with JobManager(name, uri=server.uri, executors={"a": lambda data: data, "b": lambda data: 1 / 0}) as manager:
        manager.create_many([{"type": type, "data": n} for n, type in enumerate("aabb")])
        manager.run("a")
        manager.run("b")
        yield manager
    client.drop_database(name)
