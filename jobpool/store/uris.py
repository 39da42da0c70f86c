"""Addresses without their secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

_NAMES = "pass|pwd|token|secret|credential|access_?key|api_?key|authmechanismproperties"
#: An option whose value nobody should see, with what stands before the value as its first group.
_OPTION = re.compile(rf"(?i)((?:{_NAMES})[^=&;?]*=)([^&;]*)")
#: The same, at the end of a text: its value goes on behind the text.
_OPEN_OPTION = re.compile(rf"(?i)(?:{_NAMES})[^=&;?]*=[^&;]*$")
#: What no user's name has unescaped.
_ODD_USER = re.compile(r"[/?#\[\]]")
#: Pieces of a secret that a message may quote; shorter ones say nothing and are in every text.
_PIECE = re.compile(r"\w{4,}")


def redact_uri(uri: str) -> str:
    """Return `uri` with its password and secret options masked, fit for logs and errors.

    In doubt it masks more: an unescaped ``@``, ``/`` or ``?`` in a password makes it unclear where that ends.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return "***" if "@" in uri else uri
    credentials, at, hosts = rest.rpartition("@")
    if not at:
        return _OPTION.sub(r"\1***", f"{scheme}{separator}{_without_odd_ports(rest)}")
    if _OPEN_OPTION.search(credentials):  # the last "@" is within a secret option
        hosts = re.sub(r"^[^&;]*", "***", hosts)
    user = credentials.partition(":")[0]
    if _ODD_USER.search(user):  # a password before it was taken for the scheme
        user = "***"
    return _OPTION.sub(r"\1***", f"{scheme}{separator}{user}:***@{hosts}")


def _without_odd_ports(rest: str) -> str:
    """Mask ports that are none: without its ``@``, say by one escape too many, a password looks like one."""
    end = re.search(r"[/?]", rest)
    hosts, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    return re.sub(r"(^|,)([^:,\[]*):(?!\d{1,6}(?:,|$))[^,]*", r"\1\2:***", hosts) + tail


def database_in(uri: str) -> str | None:
    """Return the database that `uri` names behind its hosts, unescaped; None if it names none."""
    _, separator, rest = uri.partition("://")
    hosts, slash, tail = rest.rpartition("@")[2].partition("/")
    name = unquote(re.split(r"[?]", tail, maxsplit=1)[0])
    return name if separator and hosts and slash and name else None


def scrub(text: str, uri: str) -> str:
    """Return `text`, somebody else's words about `uri`, without the secrets of `uri` and pieces of them."""
    text = text.replace(uri, redact_uri(uri))
    for secret in sorted(set(_secrets(uri)), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(uri: str) -> Iterator[str]:
    rest = uri.partition("://")[2] or uri
    found = [match[2] for match in _OPTION.finditer(rest)]
    credentials, at, _ = rest.rpartition("@")
    if at:
        user, _, password = credentials.partition(":")
        found += [credentials] if _ODD_USER.search(user) else [password]
    for secret in found:
        for form in (secret, unquote_plus(secret)):
            if form:
                yield form
            yield from _PIECE.findall(form)
