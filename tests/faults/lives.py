"""The lives of jobs: what an operator retries or revives begins another one under the same id, and so does
what was removed and is created again.

The judge's rules are of one life: the split gives each life an id of its own, in the history, and its last
document, by the server's own history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .history import Event
from .oplog import Change

Document = Mapping[str, Any]
FINAL = ("succeeded", "failed", "cancelled")


def revives(before: Document, after: Document) -> bool:
    """Whether a change is one of an ended job to one that begins anew: nothing of its attempts is left."""
    return before["state"] in FINAL and after["state"] == "pending" and _new(after)


def reopens(before: Document, after: Document) -> bool:
    """Whether a change lets an ended job run again, retried or revived."""
    return before["state"] in FINAL and after["state"] in ("pending", "waiting")


def _new(after: Document) -> bool:
    return bool(after["attempts"] == 0 and after.get("claim") is None)


class Lives:
    """Which life a claim belongs to, and how lives ended.

    Args:
        changes: What the server did.
        stored: What is there at the end.
        retried: Whether a retry begins a life as well: one that can end, not one that counts its attempts anew.
    """

    def __init__(self, changes: Sequence[Change], stored: Mapping[str, Document], *, retried: bool) -> None:
        begins = reopens if retried else revives
        self._number: Counter[str] = Counter()
        self._of: dict[tuple[str, str], int] = {}
        self._fences: dict[str, list[int]] = {}
        self._anew: set[str] = set()
        self.documents: dict[str, Document] = {}
        for change in changes:
            self._note(change, begins)
        for id, document in stored.items():
            self.documents[self._name(id, self._number[id])] = document

    def _note(self, change: Change, begins: Any) -> None:
        id, before, after = change.id, change.before, change.after
        if after is None or (before is not None and begins(before, after)):
            assert before is not None
            self.documents[self._name(id, self._number[id])] = before
        if after is None:
            self._anew.add(id)
            return
        if id not in self._fences:
            self._fences[id] = [after["fence"]]
        elif before is None or begins(before, after):
            self._number[id] += 1
            self._fences[id].append(after["fence"])
        token = after.get("claim")
        if token is not None and (before is None or before.get("claim") != token):
            self._of.setdefault((id, token), self._number[id])

    @staticmethod
    def _name(id: str, number: int) -> str:
        return id if number == 0 else f"{id} (life {number + 1})"

    def split(self, events: Iterable[Event]) -> list[Event]:
        """Return the events with the ids of lives; those of cancels of ids that were created anew are left out."""
        return [named for event in events if (named := self._named(event)) is not None]

    def _named(self, event: Event) -> Event | None:
        fields = event.fields
        if event.name == "cancel-ok":
            ((id, token),) = fields["jobs"]
            if id in self._anew:  # its fence may be that of either
                return None
            return event._replace(fields={**fields, "jobs": [[self._by_fence(id, fields), token]]})
        changed: dict[str, Any] = {}
        for name in ("jobs", "lost"):
            if name in fields:
                changed[name] = [[self._by_token(id, token), token] for id, token in fields[name]]
        if "token" in fields:
            changed["id"] = self._by_token(fields["id"], fields["token"])
        return event._replace(fields={**fields, **changed}) if changed else event

    def _by_token(self, id: str, token: str) -> str:
        return self._name(id, self._of.get((id, token), 0))

    def _by_fence(self, id: str, fields: Mapping[str, Any]) -> str:
        """Return the first life in which a job may have had that fence."""
        begun = self._fences.get(id, [0])
        fence = fields.get("fence", 0)
        number = next((place for place, first in enumerate(begun[1:]) if fence <= first), len(begun) - 1)
        return self._name(id, number)
