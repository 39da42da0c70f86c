"""The judge of limits: what the server's own history says was held at once, and claimed per time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from pymongo import MongoClient

from .faults.oplog import changes

HELD = {"claimed", "running"}
Name = Callable[[dict[str, Any]], object]


def by_type(job: dict[str, Any]) -> object:
    return job["type"]


def by_key(job: dict[str, Any]) -> object:
    return job["type"], job.get("key")


def most_held(client: MongoClient[dict[str, Any]], namespace: str, name: Name) -> dict[object, int]:
    """Return how many jobs of each name were claimed or running at once at the most, whatever their leases."""
    held: Counter[object] = Counter()
    most: dict[object, int] = {}
    for change in changes(client, namespace):
        for document, step in ((change.before, -1), (change.after, 1)):
            if document is not None and document["state"] in HELD:
                held[name(document)] += step
                most[name(document)] = max(most.get(name(document), 0), held[name(document)])
    return most


def claimed_at(client: MongoClient[dict[str, Any]], namespace: str, name: Name) -> dict[object, list[datetime]]:
    """Return when jobs of each name were claimed, in order."""
    found: dict[object, list[datetime]] = {}
    for change in changes(client, namespace):
        before, after = change.before, change.after
        if before is not None and after is not None and before["fence"] < after["fence"]:
            found.setdefault(name(after), []).append(change.at)
    return found


def busiest(instants: list[datetime], seconds: float) -> int:
    """Return how many of the instants are within any window of so many seconds, at the most."""
    most = first = 0
    for last, instant in enumerate(instants):
        while (instant - instants[first]).total_seconds() > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
