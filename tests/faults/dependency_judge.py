"""Judges what the server did with jobs that wait for others: nobody is let go before, nobody fails for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .oplog import Change

Document = Mapping[str, Any]
Fault = tuple[str, str] | None
FINAL = ("succeeded", "failed", "cancelled")


class Ends:
    """How jobs have ended so far, in the order of the server's history."""

    def __init__(self) -> None:
        self._ends: dict[str, set[str]] = {}

    def note(self, change: Change) -> None:
        """Remember an end, or that a job is gone."""
        if change.after is None:
            self._ends.setdefault(change.id, set()).add("gone")
        elif change.after["state"] in FINAL:
            self._ends.setdefault(change.id, set()).add(change.after["state"])

    def judge(self, before: Document, after: Document, *, cancels: bool) -> Fault:
        """Judge a change of a job that waited.

        Args:
            cancels: Whether anybody asked for any cancel: it may have been a cascade.
        """
        if (after["attempts"], after.get("claim")) != (0, None):
            return "I5", f"waits, and has {after['attempts']} attempts"
        step = after["state"]
        if step == "waiting":
            return None
        if step == "pending":
            return self._released(before)
        if step == "failed":
            return self._failed(before, after)
        if step == "cancelled" and cancels:
            return None
        return "I4", f"went from waiting to {step}"

    def _released(self, before: Document) -> Fault:
        wanted = {"succeeded"} if before.get("on_failure") != "run" else {*FINAL, "gone"}
        early = [id for id in before["after"] if not self._ends.get(id, set()) & wanted]
        return ("I9", f"is pending, and these had not ended as they must: {early[:5]}") if early else None

    def _failed(self, before: Document, after: Document) -> Fault:
        if after.get("error", {}).get("type") != "DependencyFailed" or before.get("on_failure") == "run":
            return "I9", f"failed while it waited, with {after.get('error')}"
        ill = [id for id in before["after"] if self._ends.get(id, set()) & {"failed", "cancelled", "gone"}]
        return None if ill else ("I9", "failed, and nobody that it waited for had")
