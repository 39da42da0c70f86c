"""Which executors can run in a child process: both processes have to find them by the same name.

A child begins as a new interpreter. It imports the module that holds the
executor, and first of all the main module of its parent, under the name
``__mp_main__``. So what only the parent is to do, such as starting pools,
stands behind ``if __name__ == "__main__":`` in that module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .errors import InvalidConfiguration, PoolStateError

_MAIN = "__main__"


def check_isolable(fn: Callable[..., Any], *, defined: bool = True) -> None:
    """Check that a child process can be given `fn`.

    Args:
        defined: Whether the module of `fn` is complete. A decorator is called
            before the name of its function is bound, so it cannot ask for that.

    Raises:
        InvalidConfiguration: It cannot; the message says why.
    """
    reason = _named(fn, defined) if isinstance(fn, FunctionType | BuiltinFunctionType) else _pickled(fn)
    if reason:
        name = getattr(fn, "__qualname__", None) or repr(fn)
        raise InvalidConfiguration(f"executor {name:.200} cannot run in a child process: {reason}")


def check_not_in_starting_child() -> None:
    """Refuse to go on in a child process that is importing the main module of its parent.

    Raises:
        PoolStateError: It is, and that module does at import what only the
            parent is to do. Nothing was done.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is not None and getattr(process.current_process(), "_inheriting", False):
        raise PoolStateError(
            "a child process imports the main module of its parent, which would run jobs of its own there: "
            'put what the module is to do as a program behind `if __name__ == "__main__":`'
        )


def _named(fn: FunctionType | BuiltinFunctionType, defined: bool) -> str:
    """Return why a function cannot be found by its name; empty if it can."""
    if "<lambda>" in fn.__qualname__:
        return "a lambda has no name to find it by; use def at the top of a module"
    if "<locals>" in fn.__qualname__:
        return "it is made inside another function; put it at the top of a module"
    if fn.__module__ == _MAIN and (reason := _main_out_of_reach()):
        return reason
    return _pickled(fn) if defined else ""


def _pickled(fn: object) -> str:
    import pickle  # only who isolates needs it

    try:
        by_name = pickle.dumps(fn)
    except Exception as error:  # noqa: BLE001  (what a __reduce__ raises may be anything)
        return f"it cannot be pickled: {error!s:.300}"
    return _main_out_of_reach() if _MAIN.encode() in by_name else ""


def _main_out_of_reach() -> str:
    """Return why a child cannot import the main module, as multiprocessing does it; empty if it can."""
    main = sys.modules[_MAIN]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        in_package = name == _MAIN or name.endswith(f".{_MAIN}")
        return f"a child does not import {name}; put it into another module" if in_package else ""
    file = getattr(main, "__file__", None)
    if file is None or not os.path.isfile(file) or os.path.basename(file) in ("ipython", "ipython.py"):
        return "it belongs to an interactive session; put it into a module"
    return ""
