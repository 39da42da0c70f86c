"""The options of a command that answers scrapes. A password is never one of them: others could read it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TypedDict

from .environment import add_option

PASSWORD_VARIABLE = "JOBPOOL_METRICS_PASSWORD"  # noqa: S105


class Secured(TypedDict):
    """The keyword arguments of `serve_metrics` that say who may ask, and how."""

    tls_cert: str | None
    tls_key: str | None
    user: str | None
    password: str | None


def add_arguments(parser: argparse.ArgumentParser, *aliases: str) -> None:
    """Declare the options; `aliases` are other names of ``--metrics-addr``."""
    add_option(
        parser,
        "--metrics-addr",
        *aliases,
        metavar="ADDR",
        help="local address to listen on",
        default="127.0.0.1",
    )
    add_option(
        parser,
        "--metrics-tls-cert",
        metavar="FILE",
        help="answer by TLS, with this certificate chain (PEM)",
    )
    add_option(parser, "--metrics-tls-key", metavar="FILE", help="its key, if that is in another file")
    add_option(
        parser,
        "--metrics-user",
        metavar="NAME",
        help=f"ask for this name and the password in ${PASSWORD_VARIABLE}, or in --metrics-password-file",
    )
    add_option(parser, "--metrics-password-file", metavar="FILE", help="whose first line is the password")


def secured(args: argparse.Namespace) -> Secured:
    """Return who may ask, and how. A variable that is set and empty is not taken for unset: it is refused.

    Raises:
        InvalidConfiguration: The file of the password cannot be read, or there are two passwords.
    """
    return Secured(
        tls_cert=args.metrics_tls_cert,
        tls_key=args.metrics_tls_key,
        user=args.metrics_user,
        password=_password(args.metrics_password_file),
    )


def _password(path: str | None) -> str | None:
    from ...errors import InvalidConfiguration

    given = os.environ.get(PASSWORD_VARIABLE)
    if path is None:
        return given
    if given is not None:
        raise InvalidConfiguration(f"give the password in ${PASSWORD_VARIABLE} or in a file, not in both")
    try:
        return Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, ValueError) as error:
        raise InvalidConfiguration(f"cannot read the password file {path!r}: {error}") from error
