"""What a user's client is set to does not change what jobpool does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from bson import SON, CodecOptions
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion, TypeDecoder, TypeRegistry
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern
from pymongo.server_api import ServerApi

from jobpool import Backoff, Executor, JobManager, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import DuplicateJob, InvalidConfiguration

from ..waiting import PATIENCE, until


class Shouting(TypeDecoder):
    """What a user may have set for documents of his own."""

    bson_type = str

    def transform_bson(self, value: Any) -> str:
        return str(value).upper()


SETTINGS: dict[str, dict[str, Any]] = {
    "w=0": {"w": 0},
    "w=1": {"w": 1, "journal": False},
    "secondary reads": {"readPreference": "secondary", "readConcernLevel": "local"},
    "no retries": {"retryWrites": False, "retryReads": False},
    "naive datetimes": {"tz_aware": False},
    "SON": {"document_class": SON},
    "raw documents": {"document_class": RawBSONDocument},
    "legacy uuids": {"uuidRepresentation": "pythonLegacy"},
    "unspecified uuids": {"uuidRepresentation": "unspecified"},
    "type registry": {"type_registry": TypeRegistry([Shouting()])},
    "lenient text": {"unicode_decode_error_handler": "ignore"},
    "raw datetimes": {"datetime_conversion": DatetimeConversion.DATETIME_MS},
    "strict api": {"server_api": ServerApi("1", strict=True, deprecation_errors=True)},
    "compressed": {"compressors": "zlib"},
}
DATA = {
    "at": datetime(2026, 1, 2, tzinfo=UTC),
    "uuid": UUID(int=5),
    "b": b"x",
    "text": "quiet",
    "$ref": {"n": [1]},
}


def fail(data: Any) -> None:
    raise ValueError("quiet")


def whole_life(manager: JobManager) -> None:
    """Create, meet, run here, run in a pool by push, fail, retry, cancel, revive, look and remove."""
    job = manager.create("echo", DATA)
    assert (job.created, job.data, job.created_at.utcoffset()) == (True, DATA, timedelta(0))
    assert not manager.create("echo", DATA).created
    with pytest.raises(DuplicateJob):
        manager.create("echo", DATA, on_duplicate="raise")
    done = manager.run("echo")
    assert done is not None
    assert (done.state, done.result, type(done.result), done.pool) == ("succeeded", DATA, dict, "run")
    assert manager.cancel(manager.create("echo", "later", delay=3600).id).state == "cancelled"
    many = manager.create_many([{"type": "echo", "data": n} for n in range(20)] * 2)
    assert (many.inserted, many.duplicates) == (20, 20)
    with WorkerPool(manager, name="Life", threads=2) as pool:
        assert manager.wait(manager.create("echo", [DATA]).id, PATIENCE).result == [DATA]
        failed = manager.wait(manager.create("fail").id, PATIENCE)
        assert [(error.message, error.attempt) for error in failed.errors] == [("quiet", 1), ("quiet", 2)]
        assert (failed.pool, failed.finished_at is not None) == ("Life", True)
        until(lambda: manager.count(state="succeeded") == 22)
        waker = manager.wakeups.waker
        assert waker is not None
        until(lambda: waker.pushing_since)
        until(lambda: pool.health().is_ready)
    assert manager.create("echo", "later", on_duplicate="revive").state == "pending"
    assert manager.remove_many(state="pending") == 1
    assert len(manager.find(since=datetime(2026, 1, 1, tzinfo=UTC), until=datetime(9000, 1, 1, tzinfo=UTC))) == 23
    assert manager.ensure_indexes() == []


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_whole_life_is_the_same_with(server: EmbeddedMongo, database: str, setting: str) -> None:
    retried = Executor(fail, max_attempts=2, backoff=Backoff(base=0))
    with MongoClient[Any](server.uri, **SETTINGS[setting]) as client:
        executors: dict[str, Any] = {"echo": lambda data: data, "fail": retried}
        with JobManager(database, client=client, executors=executors) as manager:
            whole_life(manager)
            assert manager.store._connection.jobs.write_concern == WriteConcern("majority", j=True)


def test_the_settings_of_a_database_do_not_matter_either(server: EmbeddedMongo, database: str) -> None:
    codec = CodecOptions(SON, uuid_representation=UuidRepresentation.JAVA_LEGACY)
    retried = Executor(fail, max_attempts=2, backoff=Backoff(base=0))
    with MongoClient[Any](server.uri) as client:
        given = client.get_database(database, codec_options=codec, write_concern=WriteConcern(0))
        with JobManager(given, executors={"echo": lambda data: data, "fail": retried}) as manager:
            whole_life(manager)


@pytest.mark.parametrize("asked", [0, -1, "0", "tag", {"w": 0}, None, True, 0.5, WriteConcern(0)])
def test_an_unacknowledged_write_concern_is_refused(asked: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^write_concern must be"):
        JobManager("x", write_concern=asked)
