"""The demo: every module of the standard library is parsed as a job of its own."""

from .run import demonstrate

__all__ = ["demonstrate"]
