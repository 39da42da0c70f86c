"""Judges what operators did: whoever has jobs run again, later or never asked for it, and touched nothing held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .history import Event
from .lives import FINAL

Document = Mapping[str, Any]
Fault = tuple[str, str] | None
HELD = ("claimed", "running")


class Operated:
    """What operators asked for, whenever, and whom they meant."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._asked: dict[str, list[dict[str, Any]]] = {}
        self.schedules: set[str] = set()
        self.cascades = False
        for event in events:
            if event.name != "operate":
                continue
            self._asked.setdefault(event.fields["operation"], []).append(event.fields)
            self.cascades |= bool(event.fields.get("cascade"))
            if "schedule" in event.fields:
                self.schedules.add(event.fields["schedule"])

    def asked(self, operation: str, id: str, job: Document) -> bool:
        """Say whether somebody wanted that of a job as it is."""
        return any(_means(meant, id, job) for meant in self._asked.get(operation, ()))

    def removed(self, id: str, before: Document) -> Fault:
        """Judge that a job was deleted."""
        if before["state"] in HELD:
            return "I4", f"was deleted while {before['state']}"
        if self.asked("remove", id, before):
            return None
        if before["state"] in FINAL and self.asked("purge", id, before):
            return None
        return "I1", "was deleted and nobody asked for it"

    def again(self, id: str, before: Document, after: Document) -> Fault:
        """Judge that a job which had ended is to run again."""
        if not self._retried(id, before, after) and not self._revived(id, before, after):
            return "I2", f"went from {before['state']} to {after['state']}"
        if after["fence"] != before["fence"] or after.get("lease_until") is not None:
            return "I4", f"runs again with fence {before['fence']}, then {after['fence']}, or under a lease"
        return None

    def _retried(self, id: str, before: Document, after: Document) -> bool:
        waits = bool(before.get("waits_for"))
        most, attempts = after["max_attempts"] or 1, after["attempts"]
        return (
            before["state"] == "failed"
            and after["state"] == ("waiting" if waits else "pending")
            and attempts == before["attempts"]
            and after.get("claim") == before.get("claim")
            and attempts < most <= max(before["max_attempts"] or 1, attempts + 1)
            and self.asked("retry", id, before)
        )

    def _revived(self, id: str, before: Document, after: Document) -> bool:
        new = (after["state"], after["attempts"], after.get("claim")) == ("pending", 0, None)
        gone = not any(after.get(name) for name in ("waits_for", "result", "snoozes", "cancel_requested_at"))
        return new and gone and self.asked("revive", id, before)

    def moved(self, id: str, before: Document, after: Document) -> Fault:
        """Judge that a pending job is due at another time."""
        if {name for name in {*before, *after} if before.get(name) != after.get(name)} != {"run_at"}:
            return "I4", "was changed while it was pending"
        wanted = "snooze" if after["run_at"] > before["run_at"] else "retry"
        return (
            None
            if self.asked(wanted, id, before)
            else ("I4", f"is due at another time, and nobody asked to {wanted}")
        )


def _means(meant: Mapping[str, Any], id: str, job: Document) -> bool:
    ids, types, states = meant.get("ids"), meant.get("types"), meant.get("states")
    return (
        (ids is None or id in ids)
        and (types is None or job["type"] in types)
        and (states is None or job["state"] in states)
    )
