"""Steering: what all pools do, wherever they run."""

from __future__ import annotations

from ..pauses import Paused
from .base import Base


class Steering(Base):
    """Pauses and resumes."""

    async def pause(self, *types: str, reason: str | None = None) -> Paused:
        """Have no job started any more of `types`, of any type if none are given; see `JobManager.pause`."""
        return await self._asking.pause(types, reason)

    async def resume(self, *types: str) -> Paused:
        """End the pauses of `types`, all if none are given; see `JobManager.resume`."""
        return await self._asking.resume(types)

    async def paused(self) -> Paused:
        """Return what is paused, since when and why; see `JobManager.paused`."""
        return await self._asking.paused()
