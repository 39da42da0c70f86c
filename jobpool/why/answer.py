"""The answer: why a job does not run, or what it does instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

#: What each code says. They are stable: programs may go by them.
CODES = {
    "not_due": "its run_at is to come: created so, a retry after its backoff, or put off",
    "paused": "its type, the type that it is an alias of, or everything is paused",
    "no_executor": "no pool alive runs its type",
    "draining": "the pools that run its type claim no more",
    "unkeyed": "its type has keys, and it has been given none yet",
    "limit": "a limit of its type or key: the jobs that may be held at once, or claimed per time",
    "gate_locked": "a claim through its limits is under way, or was broken off",
    "behind": "other due jobs come before it",
    "busy": "the threads of all pools that run it are taken",
    "just_due": "nothing holds it up: it became due a moment ago",
    "unclear": "nothing that can be seen here holds it up, and it is not taken",
    "waits_for": "it waits for other jobs to end",
    "linking": "its link with the jobs that it waits for is being made",
    "to_be_told": "the jobs that it waits for have ended, and it has not been told",
    "claimed": "a pool holds it, and it waits there for a thread",
    "running": "it runs",
    "stuck": "it runs, for longer than its pool thinks right",
    "cancel_requested": "it runs, and was asked to end",
    "lost": "its lease is over, and nobody has taken it back yet",
    "holder_gone": "who holds it has not been heard of lately",
    "succeeded": "it ended",
    "failed": "it ended",
    "cancelled": "it ended",
    "expires": "MongoDB deletes it",
    "malformed": "what is stored of it is not what jobpool stores",
    "unknown_state": "its state is of a newer version",
    "schema": "the jobs here need a newer version than this one",
    "no_index": "the index is not in order by which pools find jobs",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a job from running, or what became of it.

    Attributes:
        code: Which; see `CODES`.
        text: A sentence, of one line; names of others in it are escaped.
        remedy: What helps, or what comes by itself; empty if there is nothing to do.
        facts: By name, what the sentence is made of, and more: numbers, texts, instants, and
            lists and mappings of such.
    """

    code: str
    text: str
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job does not run.

    One thing was looked at after the other while jobs and pools moved: the job itself was
    the same at the beginning and at the end, and all else was true at some instant in
    between. What pools say of themselves is as old as their last word, up to some 15 s.

    Attributes:
        id: The job's.
        type: Its type.
        state: Its state.
        reasons: At least one; what holds it up first is first.
        at: When it was looked (server time).
    """

    id: str
    type: str
    state: str
    reasons: tuple[Reason, ...]
    at: datetime

    @property
    def code(self) -> str:
        """Of the first reason."""
        return self.reasons[0].code

    @property
    def text(self) -> str:
        """Of the first reason."""
        return self.reasons[0].text

    def of(self, code: str) -> Reason | None:
        """Return the first reason of that code; None if it is none of them."""
        return next((reason for reason in self.reasons if reason.code == code), None)
