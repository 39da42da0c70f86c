"""Options that can be given in the environment as well: ``--lease`` is ``$JOBPOOL_LEASE``."""

from __future__ import annotations

import os


def from_environment(name: str, default: str | None = None) -> str | None:
    """Return ``$JOBPOOL_<name>``, the default of the option of that name."""
    return os.environ.get(f"JOBPOOL_{name}", default)
