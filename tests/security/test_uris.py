"""A URI shows up in errors and logs without its secrets."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobpool
from jobpool import JobManager
from jobpool.errors import InvalidConfiguration, StoreUnavailable
from jobpool.store.uris import redact_uri, scrub

ROOT = Path(__file__).parents[2]
SECRET = "s3cretAAA"
ODD = {
    "at": f"mongodb://u:x@{SECRET}@h",
    "slash": f"mongodb://u:x/{SECRET}@h",
    "slash and colon": f"mongodb://u:x/{SECRET}:1x@h",
    "question mark": f"mongodb://u:x?{SECRET}=1@h/",
    "options": f"mongodb://u:x/?w={SECRET}@h/",
    "looks like an option": f"mongodb://u:x?password={SECRET}@h/?w=1",
    "percent": f"mongodb://u:p%{SECRET}@h",
    "comma": f"mongodb://u:p,k:{SECRET}@h",
    "bracket": f"mongodb://u:[{SECRET}@h",
    "hash": f"mongodb://u:p#{SECRET}@h,k:1",
    "escaped at": f"mongodb://u:{SECRET}%40h/",
    "escaped at, several hosts": f"mongodb://a:1,u:{SECRET}%40h:27017/?w=1",
    "several hosts": f"mongodb://u:{SECRET}@a:1,b:2,[::1]:3/?replicaSet=r",
    "port": f"mongodb://u:{SECRET}@h:x",
    "scheme": f"foo://u:{SECRET}@h",
    "no scheme": f"u:{SECRET}@h",
    "space": f" mongodb://u:{SECRET}@h",
    "srv": f"mongodb+srv://u:{SECRET}@h:27017/",
    "mechanism": f"mongodb://u:{SECRET}@h/?authMechanism=bogus",
    "properties": f"mongodb://h/?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:{SECRET}",
    "bad properties": f"mongodb://h/?authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:{SECRET}",
    "key password": f"mongodb://h/?tls=true&tlsCertificateKeyFile=/none&tlsCertificateKeyFilePassword={SECRET}",
    "at in key password": f"mongodb://h:27017/?tlsCertificateKeyFilePassword=p@{SECRET}&w=1",
    "semicolons": f"mongodb://h:27017/?w=1;tlsCertificateKeyFilePassword={SECRET};w=x",
    "passphrase": f"mongodb://h/?ssl_pem_passphrase={SECRET}",
    "proxy": f"mongodb://h/?proxyPassword={SECRET}&w=y",
    "access key": f"mongodb://h/?access_key={SECRET}",
}


@pytest.mark.parametrize("odd", ODD)
def test_no_secret_of_an_odd_uri_is_told(odd: str) -> None:
    uri = ODD[odd]
    told = redact_uri(uri)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with JobManager("x", uri=uri, timeout=0.1) as manager:
                told += repr(manager)
        except InvalidConfiguration as error:
            told += "".join(traceback.format_exception(error)) + repr(error)
    told += "".join(str(warning.message) for warning in warned)
    assert SECRET not in told


@given(st.text(st.characters(codec="utf-8", exclude_characters="@"), min_size=4), st.sampled_from("@%/?#:&,=[] "))
def test_no_password_survives(password: str, odd: str) -> None:
    secret = f"{odd}{password}{odd}s3cret"
    for uri in (f"mongodb://u:{secret}@h/db?w=1", f"mongodb+srv://u:{secret}@h", f"u:{secret}@h"):
        assert "s3cret" not in redact_uri(uri)
        assert "s3cret" not in scrub(f"bad: {uri} and {secret}", uri)


def test_what_is_no_secret_stays() -> None:
    uri = "mongodb://me:pw@a:1,b:2/db?replicaSet=r&tlsCAFile=/ca.pem&authSource=admin&appName=x"
    assert redact_uri(uri) == uri.replace(":pw@", ":***@")
    assert scrub("port must be between 0 and 65535", uri) == "port must be between 0 and 65535"
    for plain in ("mongodb://[::1]:27017,h:1/?w=1", "mongodb://h", "mongodb://%2Ftmp%2Fmongodb.sock/db"):
        assert redact_uri(plain) == plain


def test_an_error_and_all_its_causes_hide_the_password() -> None:
    uri = f"mongodb://me:{SECRET}@127.0.0.1:1/?authSource=admin&tlsCertificateKeyFilePassword={SECRET}"
    with JobManager("x", uri=uri, timeout=0.2) as manager, pytest.raises(StoreUnavailable) as caught:
        manager.create("a")
    error: BaseException | None = caught.value
    told = "".join(traceback.format_exception(caught.value))
    while error is not None:
        told += str(error) + repr(error) + repr(error.args)
        error = error.__cause__ or error.__context__
    assert SECRET not in told


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["worker", "tests.process.app:manager"], 2),
        (["demo", "--quick"], 2),
    ],
)
def test_the_command_line_hides_the_password(command: list[str], code: int) -> None:
    environment = {**os.environ, "JOBPOOL_URI": f"mongodb://me:{SECRET}@h:port/", "TEST_DATABASE": "x"}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "jobpool", *command],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == code, ended.stderr
    assert "MongoDB URI mongodb://me:***@h:port/" in ended.stderr
    assert SECRET not in ended.stderr + ended.stdout
    assert len(ended.stderr.splitlines()) <= 3


def test_no_module_prints_a_client() -> None:
    """In older drivers its representation holds the password of a key."""
    objects = ("client", "opened", "jobs", "_jobs", "confirmed", "_stream", "cursor", "session")
    forms = [f"{{{owner}{name}{end}" for owner in ("", "self.") for name in objects for end in ("}", "!r}", ":")]
    package = Path(jobpool.__file__).parent
    sources = [*package.glob("store/**/*.py"), package / "embedded.py", *package.glob("manager/*.py")]
    assert len(sources) > 15
    lines = [f"{path.name}: {line}" for path in sources for line in path.read_text().splitlines()]
    assert [line for line in lines if any(form in line for form in forms)] == []
    assert any("{jobs.full_name}" in line for line in lines)


@pytest.mark.parametrize("odd", ODD)
def test_a_uri_in_place_of_a_database_or_collection_shows_no_secret(odd: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:  # no database has a space in its name
        JobManager(f"{ODD[odd]} ")
    assert SECRET not in str(refused.value)
    with pytest.raises(InvalidConfiguration) as refused:
        JobManager("shop", collection=f"{ODD[odd]}$")
    assert SECRET not in str(refused.value)
