"""Dataclasses built from plain data, their annotations checked as far as those are simple.

Checked: `str`, `int`, `float` (takes an int), `bool`, `None`, `bytes`,
`datetime`, `UUID`, `list` and `dict` (bare or with types inside), unions of
them (`Optional` too), and dataclasses inside, which are built as well. No value is
converted: "5" is no int, and a bool is none either.

Not checked, the stored value is passed as it is: every other annotation, such
as `tuple`, `set`, `Literal`, an enum, a protocol, a type variable, `Any`. What
``__post_init__`` raises counts as invalid.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from .errors import InvalidConfiguration
from .names import listed, shown

#: Checks a value found at a path, and returns it, or what was built of it.
Check = Callable[[Any, str], Any]

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_SIMPLE = (str, int, float, bool, bytes, datetime, UUID)


def plain_of(value: Any) -> Any:
    """Return a dataclass instance as the plain data it can be built from again, to any depth."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain_of(getattr(value, one.name)) for one in fields(value) if one.init}
    if isinstance(value, dict):
        return {key: plain_of(item) for key, item in value.items()}
    return [plain_of(item) for item in value] if isinstance(value, list | tuple) else value


class Records:
    """Makes checks of dataclasses, one per class, so that a class may hold itself."""

    def __init__(self) -> None:
        self._made: dict[type, _Record] = {}

    def of(self, cls: type) -> Check:
        """Return the check that builds `cls` from a mapping.

        Raises:
            InvalidConfiguration: An annotation of it names nothing, or its constructor takes more than fields.
        """
        if cls not in self._made:
            record = self._made[cls] = _Record(cls)
            record.checks = self._checks_of(cls)
        return self._made[cls]

    def _checks_of(self, cls: Any) -> dict[str, Check]:
        try:
            hints = get_type_hints(cls)
        except Exception as error:
            raise InvalidConfiguration(
                f"the annotations of {cls.__qualname__} cannot be read ({type(error).__name__}: {error}); "
                "name what its module has"
            ) from error
        known = {one.name for one in fields(cls) if one.init}
        for name, parameter in inspect.signature(cls).parameters.items():
            if name not in known and parameter.default is parameter.empty and parameter.kind not in _VARIABLE:
                raise InvalidConfiguration(
                    f"{cls.__qualname__} needs {name} (an InitVar?), which is no field of it"
                )
        return {one.name: self.check_of(hints.get(one.name, Any)) for one in fields(cls) if one.init}

    def check_of(self, annotation: Any) -> Check:
        """Return the check for an annotation; one that is not simple lets everything pass."""
        origin = get_origin(annotation) or annotation
        arguments = get_args(annotation)
        if origin in _SIMPLE:
            return _simple(origin)
        if origin is None or origin is types.NoneType:
            return _none
        if origin is Union or origin is types.UnionType:
            return _union([self.check_of(one) for one in arguments])
        if origin is list:
            return _list(self.check_of(arguments[0] if arguments else Any))
        if origin is dict:
            return _dict(*(self.check_of(one) for one in arguments or (Any, Any)))
        return self.of(origin) if isinstance(origin, type) and is_dataclass(origin) else _anything


class _Record:
    """Builds one dataclass. Fields: `checks` is set once, before the first call."""

    def __init__(self, cls: Any) -> None:
        self.checks: dict[str, Check] = {}
        self._cls = cls
        self._required = {one.name for one in fields(cls) if one.init and not _has_default(one)}

    def __call__(self, value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            raise _mismatch(value, path, f"a dict with the fields of {self._cls.__qualname__}")
        missing = [name for name in self.checks if name in self._required and name not in value]
        if missing:
            raise ValueError(f"{path}: missing {listed(missing)}")
        unknown = [_text(key) for key in value if key not in self.checks]
        if unknown:
            raise ValueError(f"{path}: unknown {listed(unknown)}")
        return self._cls(**{name: self.checks[name](item, f"{path}.{name}") for name, item in value.items()})


def _has_default(one: Field[Any]) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


def _text(key: object) -> str:
    return key if isinstance(key, str) else f"a key of type {type(key).__name__}"


def _mismatch(value: object, path: str, wanted: str) -> ValueError:
    """Return the error that names the place and both types, and not the value."""
    return ValueError(f"{path}: must be {wanted}, not {type(value).__name__}")


def _anything(value: Any, path: str) -> Any:  # noqa: ARG001  (a check)
    return value


def _none(value: Any, path: str) -> None:
    if value is not None:
        raise _mismatch(value, path, "None")


def _simple(kind: type) -> Check:
    accepted = (int, float) if kind is float else (kind,)
    wanted = shown(kind.__name__)[1:-1]

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise _mismatch(value, path, wanted)
        return value

    return check


def _list(item_of: Check) -> Check:
    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list | tuple):  # a tuple is stored as a list
            raise _mismatch(value, path, "list")
        return [item_of(item, f"{path}[{index}]") for index, item in enumerate(value)]

    return check


def _dict(key_of: Check, item_of: Check) -> Check:
    def check(value: Any, path: str) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise _mismatch(value, path, "dict")
        return {
            key_of(key, f"{path} (a key)"): item_of(item, f"{path}.{_text(key)}") for key, item in value.items()
        }

    return check


def _union(options: list[Check]) -> Check:
    """Return the check that takes the first option that fits; with one besides None, its error is the one told."""
    others = [option for option in options if option is not _none]

    def check(value: Any, path: str) -> Any:
        if value is None and len(others) < len(options):
            return None
        if len(others) == 1:
            return others[0](value, path)
        for option in others:
            try:
                return option(value, path)
            except ValueError:
                continue
        raise ValueError(f"{path}: {type(value).__name__} is none of the {len(options)} types it may be")

    return check
