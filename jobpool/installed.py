"""Which version of jobpool this is."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version_of


@cache  # it is read from a file, and a process may be out of descriptors when it asks again
def version() -> str:
    """Return the installed version; ``unknown`` if jobpool is used without having been installed."""
    try:
        return _version_of("jobpool")
    except PackageNotFoundError:
        return "unknown"
