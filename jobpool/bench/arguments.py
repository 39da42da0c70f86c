"""Types for `argparse` that refuse what cannot be meant."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

_Number = TypeVar("_Number", int, float)


def within(what: str, kind: Callable[[str], _Number], least: float, most: float) -> Callable[[str], _Number]:
    """Return a type that refuses what is outside, and what is no number at all."""

    def parse(text: str) -> _Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:g} to {most:g}")
        return value

    return parse
