"""Who of a replica set acknowledges writes, and how many may be away: arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..documents import Document

#: States of members as the server numbers them.
PRIMARY, SECONDARY, ARBITER = 1, 2, 7
#: On the way to be one of these, by itself.
ON_ITS_WAY = {0: "STARTUP", 3: "RECOVERING", 5: "STARTUP2", 9: "ROLLBACK"}


@dataclass(frozen=True, slots=True)
class Member:
    """A member.

    Attributes:
        host: Its address.
        votes: Whether it takes part in elections.
        holds: Whether it holds data, as an arbiter does not.
        late: Seconds that it follows behind on purpose.
        up: Whether it can be relied on now.
    """

    host: str
    votes: bool = True
    holds: bool = True
    late: float = 0
    up: bool = True


@dataclass(frozen=True, slots=True)
class Ballot:
    """The members of a replica set."""

    members: tuple[Member, ...]

    @property
    def voters(self) -> tuple[Member, ...]:
        """Those that vote."""
        return tuple(member for member in self.members if member.votes)

    @property
    def arbiters(self) -> tuple[Member, ...]:
        """Those that vote and hold nothing."""
        return tuple(member for member in self.voters if not member.holds)

    @property
    def majority(self) -> int:
        """Votes that elect a primary."""
        return len(self.voters) // 2 + 1

    @property
    def needed(self) -> int:
        """Members that have to have a write which is acknowledged by a majority."""
        return min(self.majority, sum(member.holds for member in self.voters))

    def works(self, away: Iterable[Member] = ()) -> bool:
        """Say whether there are a primary and acknowledged writes while these are away, and those not up."""
        gone = frozenset(away)
        left = [member for member in self.voters if member.up and member not in gone]
        acknowledging = sum(member.holds and not member.late for member in left)
        return len(left) >= self.majority and acknowledging >= self.needed

    @property
    def vital(self) -> tuple[Member, ...]:
        """Those that hold data and without which, each by itself, nothing is acknowledged."""
        return tuple(member for member in self.voters if member.holds and not self.works((member,)))

    @classmethod
    def of_config(cls, config: Document, down: frozenset[str] = frozenset()) -> Ballot:
        """Return the members of a configuration; `down` has the addresses of those that are."""
        return cls(
            tuple(
                Member(
                    host=str(item.get("host")),
                    votes=bool(item.get("votes", 1)),
                    holds=not item.get("arbiterOnly"),
                    late=item.get("secondaryDelaySecs", item.get("slaveDelay", 0)) or 0,
                    up=item.get("host") not in down,
                )
                for item in config.get("members", [])
            )
        )

    @classmethod
    def of_hello(cls, hello: Document) -> Ballot:
        """Return the members that anybody may know of: not the hidden ones, and each as if it voted."""
        holding = [*hello.get("hosts", []), *hello.get("passives", [])]
        return cls(
            (
                *(Member(host) for host in holding),
                *(Member(host, holds=False) for host in hello.get("arbiters", [])),
            )
        )
