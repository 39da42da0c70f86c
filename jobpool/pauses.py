"""What is paused: jobs of these types are not started anywhere until somebody resumes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when, and why.

    Attributes:
        since: When it was paused first (server time).
        reason: What its caller said; None if nothing.
    """

    since: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """What is paused. False if nothing is; ``type in paused`` says whether no job of that type is started.

    Attributes:
        everything: The pause of all types; None if there is none.
        types: The pauses of single types, which go on when everything else is resumed.
    """

    everything: Pause | None = None
    types: Mapping[str, Pause] = field(default_factory=dict)

    def __contains__(self, type: object) -> bool:
        return self.everything is not None or type in self.types

    def why(self, type: str) -> Pause | None:
        """Return the pause that holds jobs of `type`: its own, or that of everything; None if they are started."""
        return self.types.get(type, self.everything)

    def __bool__(self) -> bool:
        return self.everything is not None or bool(self.types)
