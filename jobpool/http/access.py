"""Who may ask the built-in server, and how what is said is kept from others."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import ssl
from dataclasses import dataclass, field

from ..errors import InvalidConfiguration

FilePath = str | os.PathLike[str]

CHALLENGE = 'Basic realm="jobpool", charset="UTF-8"'
#: How the blocks of a PEM file begin that each file is to have.
CERTIFICATE, KEY = b"-----BEGIN CERTIFICATE-----", b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Login:
    """The one user of the endpoint (HTTP basic authentication)."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.user, str) or not self.user or ":" in self.user:
            raise InvalidConfiguration(f"user must be a name without a colon, not {self.user!r}")
        if not isinstance(self.password, str) or not self.password:
            raise InvalidConfiguration(f"the password of user {self.user!r} must be a text that is not empty")

    def admits(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header is that of the user. Takes as long for every wrong one."""
        scheme, _, given = authorization.partition(" ")
        try:
            credentials = base64.b64decode(given.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        ours = f"{self.user}:{self.password}".encode()
        # Digests, because a comparison tells at once that lengths differ.
        same = hmac.compare_digest(hashlib.sha256(credentials).digest(), hashlib.sha256(ours).digest())
        return same and scheme.lower() == "basic"


def login_of(user: str | None, password: str | None) -> Login | None:
    """Return who may ask; None if everybody. Half of it is an error: somebody counts on it."""
    if user is None and password is None:
        return None
    if user is None or password is None:
        missing = "a user" if user is None else "a password"
        raise InvalidConfiguration(f"authentication takes a user and a password; {missing} is missing")
    return Login(user, password)


def tls_of(cert: FilePath | None, key: FilePath | None) -> ssl.SSLContext | None:
    """Return the server's side of TLS 1.2 or later from PEM files, which are read now; None without a certificate.

    Args:
        cert: The certificate and the chain up to its authority.
        key: The private key, not encrypted; in the file of the certificate if None.

    Raises:
        InvalidConfiguration: A file cannot be used; the message names it.
    """
    if cert is None:
        if key is not None:
            raise InvalidConfiguration(
                f"the key {os.fspath(key)!r} is of no use without a certificate: give tls_cert"
            )
        return None
    key = cert if key is None else key  # an empty one is an error: somebody counts on it
    _check_holds(cert, CERTIFICATE, "certificate")
    _check_holds(key, KEY, "private key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    files = f"the certificate {os.fspath(cert)!r} with the key {os.fspath(key)!r}"

    def refuse() -> str:  # or OpenSSL would ask the terminal
        raise InvalidConfiguration(
            f"cannot use {files}: the key is encrypted, and nobody is asked for its password"
        )

    try:
        context.load_cert_chain(cert, key, refuse)
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(f"cannot use {files}: {error}") from error
    return context


def _check_holds(path: FilePath, mark: bytes, what: str) -> None:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, TypeError, ValueError) as error:
        raise InvalidConfiguration(f"cannot read the {what} {path!r}: {error}") from error
    if mark not in content:
        raise InvalidConfiguration(f"there is no {what} (PEM) in {os.fspath(path)!r}")
