"""Through which gates a job goes, and how many may go through each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ...limits import Gate, Limit
from ..gates import GateName, Want
from .keys import Slot


class Quota:
    """How many jobs may still go through each gate. Threads: one."""

    def __init__(self) -> None:
        self.places: dict[GateName, float] = {}
        self.tokens: dict[GateName, float] = {}
        self.taken: Counter[GateName] = Counter()

    def allows(self, names: Iterable[GateName]) -> bool:
        """Return whether one more goes through all of these gates."""
        return all(self.places[name] >= 1 and self.tokens[name] >= 1 for name in names)

    def take(self, names: Iterable[GateName]) -> None:
        """Let one through these gates."""
        for name in names:
            self.places[name] -= 1
            self.tokens[name] -= 1
            self.taken[name] += 1

    def give_back(self, names: Iterable[GateName]) -> None:
        """Take note that one did not go through: another pool had it."""
        for name in names:
            self.places[name] += 1
            self.tokens[name] += 1
            self.taken[name] -= 1


def names_of(gate: Gate, key: str) -> list[tuple[GateName, Limit]]:
    """Return the gates that a job of this key has to go through."""
    names: list[tuple[GateName, Limit]] = []
    if gate.limit is not None:
        names.append(((gate.owner, None), gate.limit))
    if gate.key_limit is not None:
        names.append(((gate.owner, key), gate.key_limit))
    return names


def shares(share: int, gates: Mapping[str, Gate], turn: list[Slot]) -> dict[Slot, int]:
    """Return how many jobs of each slot to ask for: so many, if its limits ever let so many through."""
    return {
        slot: min(share, *(limit.most for _, limit in names_of(gates[slot.type], slot.key)), share)
        for slot in turn
    }


def wants_of(limit: int, gates: Mapping[str, Gate], most: Mapping[Slot, int]) -> dict[GateName, Want]:
    """Return the gates to lock, and how many tokens to take of the bucket of each."""
    wants: dict[GateName, Want] = {}
    for slot, share in most.items():
        for name, bound in names_of(gates[slot.type], slot.key):
            wanted = min(limit, bound.most) if name[1] is None else share
            wants[name] = Want(bound, max(wanted, wants[name].most if name in wants else 0))
    return wants
