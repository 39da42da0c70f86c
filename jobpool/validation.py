"""What the data of a type must be: a pydantic model, a dataclass or a function says so.

Nothing here imports pydantic: a class with ``model_validate`` is a model.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any

from .errors import InvalidConfiguration, InvalidData
from .names import shown
from .records import Records, plain_of

#: Characters of a validator's words in an error, and how many of its complaints.
LONGEST, MOST = 1000, 5


class Validator(ABC):
    """Checks data and makes of them what the executor is called with. Threads: any; immutable."""

    def __init__(self, spec: Any) -> None:
        self._spec = spec
        self.name = shown(getattr(spec, "__qualname__", type(spec).__qualname__))[1:-1]

    def check(self, data: Any) -> Any:
        """Return the value that plain `data` stand for.

        Raises:
            InvalidData: They do not pass; the message has the validator's words.
        """
        try:
            return self._value(data)
        except Exception as error:
            raise InvalidData(f"the data are not valid for {self.name}: {words_of(error)}") from error

    def plain(self, data: Any) -> Any:
        """Return what is stored for `data`: of an instance of the model its fields, anything else as it is."""
        return data

    @abstractmethod
    def _value(self, data: Any) -> Any:
        """Return the value or raise anything."""


class _Function(Validator):
    """Whatever raises when it is called with wrong data."""

    def _value(self, data: Any) -> Any:
        return self._spec(data)


class _Model(Validator):
    """A model class as pydantic has them."""

    def _value(self, data: Any) -> Any:
        return self._spec.model_validate(data)

    def plain(self, data: Any) -> Any:
        if not isinstance(data, self._spec):
            return data
        # So that the model takes it back: under the names it reads, without what it computes.
        return data.model_dump(mode="python", by_alias=True, round_trip=True)


class _Dataclass(Validator):
    """A dataclass, built from a mapping; see `records` for what is checked."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self._record = Records().of(spec)

    def _value(self, data: Any) -> Any:
        return self._record(data, "data")

    def plain(self, data: Any) -> Any:
        return plain_of(data) if isinstance(data, self._spec) else data


def validator_of(spec: Any) -> Validator | None:
    """Return the validator that `spec` stands for; None if it is None.

    Args:
        spec: A class with ``model_validate`` (pydantic 2), a dataclass, or a
            callable that takes the data, returns what the executor is called
            with, and raises if they are wrong.

    Raises:
        InvalidConfiguration: It is none of these, or a dataclass that cannot be built from stored data.
    """
    if spec is None:
        return None
    if isinstance(spec, type) and callable(getattr(spec, "model_validate", None)):
        return _Model(spec)
    if isinstance(spec, type) and is_dataclass(spec):
        return _Dataclass(spec)
    if inspect.iscoroutinefunction(spec) or not callable(spec):
        raise InvalidConfiguration(
            f"data must be a model class, a dataclass or a plain function, not {type(spec).__name__}"
        )
    return _Function(spec)


def words_of(error: Exception) -> str:
    """Return what a validator says, in one line, of bounded length. Never raises an `Exception`."""
    try:
        text = _complaints(error) or _said(error)
    except Exception:  # noqa: BLE001  (a hostile __str__)
        text = type(error).__name__
    short = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in short)


def _said(error: Exception) -> str:
    text = str(error)
    return text if text and isinstance(error, ValueError) else f"{type(error).__name__}: {text}".rstrip(": ")


def _complaints(error: Exception) -> str:
    """Return pydantic's list of errors as text, the places and the messages without the values; else nothing."""
    listing: Callable[..., Any] | None = getattr(error, "errors", None)
    if not callable(listing):
        return ""
    try:
        errors = listing(include_url=False, include_context=False, include_input=False)
    except TypeError:  # somebody else's attribute of that name
        return ""
    if not (isinstance(errors, list) and errors and all(isinstance(one, Mapping) for one in errors)):
        return ""
    texts = [_complaint(one) for one in errors[:MOST]]
    return "; ".join(texts) + (f"; ... ({len(errors)} in all)" if len(errors) > MOST else "")


def _complaint(one: Mapping[str, Any]) -> str:
    place = ".".join(str(part)[:LONGEST] for part in one.get("loc", ()))
    return f"{place}: {one.get('msg', '')}" if place else str(one.get("msg", ""))
