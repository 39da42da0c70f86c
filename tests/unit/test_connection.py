"""The way to MongoDB: addresses without secrets, settings that are checked. No server is asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from jobpool.data import CODEC
from jobpool.errors import InvalidConfiguration
from jobpool.observer import Observer
from jobpool.store.connection import (
    URI_VARIABLE,
    Connection,
    collection_of,
    open_client,
    write_concern_of,
)
from jobpool.store.uris import redact_uri

SECRET = "s3cret"


@pytest.fixture
def client() -> Iterator[MongoClient[dict[str, Any]]]:
    """A client that does not connect."""
    with MongoClient[dict[str, Any]](connect=False) as client:
        yield client


@pytest.mark.parametrize(
    ("uri", "redacted"),
    [
        ("mongodb://user:s3cret@host:27017/db", "mongodb://user:***@host:27017/db"),
        ("mongodb+srv://user:s3cret@host/?w=1", "mongodb+srv://user:***@host/?w=1"),
        ("mongodb://user:s3cret@a:1,b:2/?replicaSet=r", "mongodb://user:***@a:1,b:2/?replicaSet=r"),
        ("mongodb://user:s3@cret@host", "mongodb://user:***@host"),
        ("mongodb://user:s3/cr?e#t@host", "mongodb://user:***@host"),
        (
            "mongodb://h/?tlsCertificateKeyFilePassword=s3cret&w=1",
            "mongodb://h/?tlsCertificateKeyFilePassword=***&w=1",
        ),
        ("mongodb://h/?w=1&PASSWORD=s3cret", "mongodb://h/?w=1&PASSWORD=***"),
        (
            "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret",
            "mongodb://h/?authMechanismProperties=***",
        ),
        ("mongodb://user:s3cret@h/?password=s3cret", "mongodb://user:***@h/?password=***"),
    ],
)
def test_secrets_are_masked(uri: str, redacted: str) -> None:
    assert redact_uri(uri) == redacted


@pytest.mark.parametrize(
    "uri", ["mongodb://localhost:27017", "mongodb://a,b:2/db?replicaSet=r&w=majority", "host", ""]
)
def test_an_address_without_secrets_is_kept(uri: str) -> None:
    assert redact_uri(uri) == uri


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{SECRET}@host",
        f"mongodb://user:{SECRET}@host:99999",
        f"mongodb://user:{SECRET}@host:port",
        f"mongodb://user:{SECRET}@",
        f"mongodb://user:{SECRET}:more@host",
        f"mongodb://user:{SECRET}/more@host",
        f"mongodb://user:{SECRET}?more@host",
        f"mongodb://user:{SECRET}%zz@host",
        f"mongodb://:{SECRET}@host",
        f"mongodb://user:{SECRET}@[::1",
    ],
)
def test_a_nonsense_uri_is_refused_without_its_password(uri: str) -> None:
    with pytest.raises(InvalidConfiguration, match="MongoDB URI") as refused:
        open_client(uri)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


def test_the_uri_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, "nonsense://from-the-environment")
    with pytest.raises(InvalidConfiguration, match="nonsense://from-the-environment"):
        open_client(None)


def test_a_given_uri_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, "nonsense://from-the-environment")
    with pytest.raises(InvalidConfiguration, match="nonsense://given"):
        open_client("nonsense://given")


def test_a_given_client_is_not_ours_to_close(client: MongoClient[dict[str, Any]]) -> None:
    collection, owned = collection_of("db", None, client, "jobs")
    assert (collection.full_name, collection.database.client, owned) == ("db.jobs", client, None)


def test_a_database_brings_its_client(client: MongoClient[dict[str, Any]]) -> None:
    collection, owned = collection_of(client["db"], None, None, "jobs")
    assert (collection.full_name, collection.database.client, owned) == ("db.jobs", client, None)


def test_a_uri_beside_a_client_is_refused(client: MongoClient[dict[str, Any]]) -> None:
    with pytest.raises(InvalidConfiguration, match="either uri or client"):
        collection_of("db", "mongodb://host", client, "jobs")


def test_a_client_beside_a_database_is_refused(client: MongoClient[dict[str, Any]]) -> None:
    with pytest.raises(InvalidConfiguration, match="neither uri nor client"):
        collection_of(client["db"], None, client, "jobs")


@pytest.mark.parametrize(("database", "collection"), [("", "jobs"), ("a b", "jobs"), ("db", ""), ("db", "a$b")])
def test_a_name_that_mongodb_has_not_is_refused(
    client: MongoClient[dict[str, Any]], database: str, collection: str
) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot name a collection"):
        collection_of(database, None, client, collection)


@pytest.mark.parametrize(("options", "name"), [("", "jobpool"), ("?appName=billing", "billing")])
def test_the_server_sees_the_name_in_the_uri_or_ours(options: str, name: str) -> None:
    with open_client(f"mongodb://127.0.0.1:1/{options}") as client:
        assert client.options.pool_options.appname == name


def test_a_database_must_be_one() -> None:
    with pytest.raises(InvalidConfiguration, match="not int"):
        collection_of(5, None, None, "jobs")  # type: ignore[arg-type]


def test_a_client_must_be_one() -> None:
    with pytest.raises(InvalidConfiguration, match="must be a pymongo MongoClient, not str"):
        collection_of("db", None, "client", "jobs")  # type: ignore[arg-type]


def test_the_settings_of_the_collection_are_pinned(client: MongoClient[dict[str, Any]]) -> None:
    loose = client["db"].get_collection(
        "jobs", write_concern=WriteConcern(0), read_preference=ReadPreference.SECONDARY
    )
    jobs = Connection(loose, write_concern=write_concern_of("majority"), timeout=1, observer=Observer()).jobs
    assert jobs.write_concern == WriteConcern("majority", j=True)
    assert jobs.read_concern == ReadConcern("majority")
    assert jobs.read_preference == ReadPreference.PRIMARY
    assert jobs.codec_options == CODEC


def test_less_than_a_majority_can_be_asked_for(client: MongoClient[dict[str, Any]]) -> None:
    connection = Connection(
        client["db"]["jobs"], write_concern=write_concern_of(1), timeout=1, observer=Observer()
    )
    assert (connection.jobs.write_concern, connection.jobs.read_concern) == (WriteConcern(1), ReadConcern("local"))


@pytest.mark.parametrize("asked", [0, -1, True, False, 1.0, None, "tag"])
def test_an_unacknowledged_write_concern_is_refused(asked: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^write_concern must be "):
        write_concern_of(asked)
