"""Fixtures of the model."""

from __future__ import annotations

from ..faults.conftest import fault

__all__ = ["fault"]
