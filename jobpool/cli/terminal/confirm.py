"""Asking before much is changed."""

from __future__ import annotations

import sys

from .words import clean


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether the user wants it: said so with ``--yes``, or says so now.

    Raises:
        InvalidConfiguration: Nobody can be asked, as stdin or stderr is no terminal.
    """
    from ...errors import InvalidConfiguration

    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidConfiguration(f"{question} Nobody can be asked here: say --yes if you mean it")
    print(f"{clean(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
