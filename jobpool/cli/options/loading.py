"""Finding the manager that a user names as ``module:attribute``."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...manager import JobManager


def load_manager(reference: str) -> JobManager:
    """Return the manager that ``module:attribute`` names; call it first if it is a function.

    Raises:
        InvalidConfiguration: There is no such thing, or it is something else.
    """
    from ...errors import InvalidConfiguration
    from ...manager import JobManager

    module_name, _, attribute = reference.partition(":")
    if not (module_name and attribute):
        raise InvalidConfiguration(f"{reference!r}: give MODULE:MANAGER, such as myapp.jobs:manager")
    sys.path.insert(0, os.getcwd())
    try:
        module = import_module(module_name)
    except (TypeError, ValueError):
        raise InvalidConfiguration(f"{module_name!r} cannot name a module") from None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # something that the module itself needs
        raise InvalidConfiguration(f"there is no module {module_name!r} on the path or in {os.getcwd()}") from None
    if not hasattr(module, attribute):
        raise InvalidConfiguration(f"module {module_name!r} has no {attribute!r}")
    found = getattr(module, attribute)
    manager = found if isinstance(found, JobManager) or not callable(found) else found()
    if not isinstance(manager, JobManager):
        raise InvalidConfiguration(f"{reference} is a {type(manager).__name__}, not a JobManager")
    return manager
