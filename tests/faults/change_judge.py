"""Judges what the server did: is every change of a job one of the protocol's, and was it asked for by who may?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jobpool.schedules import schedule_in

from .dependency_judge import Ends
from .history import Event
from .lives import reopens
from .operator_judge import Operated
from .oplog import Change
from .violation import Violation

Document = Mapping[str, Any]
Pair = tuple[str, str]
FINAL = ("succeeded", "failed", "cancelled")
HELD = ("claimed", "running")
#: The states in which an outcome may leave its job: `cancelled` instead of `pending` if it was asked to end.
BECOMES = {
    "succeeded": ("succeeded",),
    "failed": ("failed",),
    "retried": ("pending",),
    "timed_out": ("pending", "failed"),
    "snoozed": ("pending",),
    "cancelled": ("cancelled",),
}
#: What the holder of a claim says of its job, by what it asks for then.
SAID = {"stuck": "report", "progress": "report", "logs": "report", "checkpoint": "checkpoint"}
#: What the end of the server's history and the stored document must agree in.
KEPT = ("state", "claim", "attempts", "fence")

Fault = tuple[str, str] | None


class Asked(NamedTuple):
    """What was asked for, whenever: by whom of which job (the token is empty where there is no claim)."""

    jobs: Mapping[str, set[Pair]]
    outcomes: Mapping[Pair, set[str]]
    disowned: set[str]
    operated: Operated


def judge_changes(
    events: list[Event], documents: Mapping[str, Document], changes: Iterable[Change], *, ended: bool
) -> Iterator[Violation]:
    """Judge every change, and whether clients and the end agree with them; see `checker.check`."""
    asked = _asked(events)
    tokens: dict[str, set[str]] = defaultdict(set)
    last: dict[str, Document | None] = {}
    made: set[tuple[str, str, str]] = set()
    deleted: set[str] = set()
    ends = Ends()
    for change in changes:
        fault = _judge(change, asked, tokens[change.id], ends)
        ends.note(change)
        if fault is not None:
            yield Violation(fault[0], change.id, fault[1])
        last[change.id] = change.after
        if change.after is None:
            deleted.add(change.id)
        else:
            made.add((change.id, str(change.after.get("claim")), change.after["state"]))
    yield from _unmade(events, made)
    yield from _untrue(events, asked, made, deleted)
    if ended:
        yield from _other_end(documents, last)


def _asked(events: list[Event]) -> Asked:
    jobs: dict[str, set[Pair]] = defaultdict(set)
    outcomes: dict[Pair, set[str]] = defaultdict(set)
    disowned: set[str] = set()
    for event in events:
        pairs = [(id, token) for id, token in event.fields.get("jobs", ())]
        jobs[event.name].update(pairs)
        disowned.update(event.fields.get("tokens", ()))
        if event.name == "finish":
            for pair, outcome in zip(pairs, event.fields["outcomes"], strict=True):
                outcomes[pair].add(outcome)
    return Asked(jobs, outcomes, disowned, Operated(events))


def _unmade(events: list[Event], made: set[tuple[str, str, str]]) -> Iterator[Violation]:
    """What was acknowledged to the holder of a claim was done: started, finished."""
    for event in events:
        if event.name not in ("start-ok", "finish-ok"):
            continue
        jobs = event.fields["jobs"]
        outcomes = event.fields.get("outcomes", ()) or ["running"] * len(jobs)
        for (id, token), outcome in zip(jobs, outcomes, strict=True):
            states = BECOMES.get(outcome, (outcome,))
            states = (*states, "cancelled") if "pending" in states else states
            if not any((id, token, state) in made for state in states):
                yield Violation(
                    "I2", id, f"was acknowledged as {outcome} under claim {token}, and never became it"
                )


def _untrue(
    events: list[Event], asked: Asked, made: set[tuple[str, str, str]], deleted: set[str]
) -> Iterator[Violation]:
    """What was told as lost to the holder of a claim was not done; of what is deleted nobody can know."""
    for event in events:
        if event.name != "finish-ok":
            continue
        for id, token in event.fields.get("lost", ()):
            states = {state for outcome in asked.outcomes.get((id, token), ()) for state in BECOMES[outcome]}
            stands = sorted(state for state in states if (id, token, state) in made)
            if stands and id not in deleted:
                yield Violation("I2", id, f"was told as lost under claim {token}, and had become {stands}")


def _other_end(documents: Mapping[str, Document], last: Mapping[str, Document | None]) -> Iterator[Violation]:
    for id, document in documents.items():
        end = last.get(id) or {}
        for name in KEPT:
            if end.get(name) != document.get(name):
                ends = f"{name} is {document.get(name)!r}, the server's history ends with {end.get(name)!r}"
                yield Violation("I4", id, ends)


def _judge(change: Change, asked: Asked, tokens: set[str], ends: Ends) -> Fault:
    before, after = change.before, change.after
    if after is None:
        assert before is not None
        return asked.operated.removed(change.id, before)
    if before is None:
        return _inserted(change.id, after, asked)
    step = (before["state"], after["state"])
    if step in (("pending", "claimed"), ("pending", "running")):
        return _claimed(before, after, tokens)
    if step in (("pending", "cancelled"), ("claimed", "cancelled")):
        return _cancelled(change.id, before, after, asked)
    if step[0] == "waiting":
        cancels = asked.operated.cascades or _cancel_wanted(change.id, before, asked)
        return ends.judge(before, after, cancels=cancels or bool(asked.jobs["cancel"]))
    if step[0] == step[1] and step[0] not in HELD and _only_marked(before, after):
        return None
    if reopens(before, after):
        return asked.operated.again(change.id, before, after)
    if step == ("pending", "pending"):
        return asked.operated.moved(change.id, before, after)
    if step[0] in HELD:
        kept = after.get("claim") == before.get("claim")
        return _by_holder(change.id, before, after, asked) if kept else _taken(change, before, after, asked)
    return ("I2" if step[0] in FINAL else "I4"), f"went from {step[0]} to {step[1]}"


def _inserted(id: str, after: Document, asked: Asked) -> Fault:
    if (id, "") not in asked.jobs["create"] and schedule_in(id) not in asked.operated.schedules:
        return "I1", "was inserted and nobody tried to create it"
    first = "waiting" if after.get("after") else "pending"
    if (after["state"], after["attempts"], after.get("claim")) != (first, 0, None):
        return "I4", f"was inserted as {after['state']} with {after['attempts']} attempts"
    return None


def _only_marked(before: Document, after: Document) -> bool:
    """Whether nothing has changed but that others wait for it, or wait no more."""
    return {**before, "followed": None} == {**after, "followed": None}


def _claimed(before: Document, after: Document, tokens: set[str]) -> Fault:
    token = after.get("claim")
    new = after["fence"] == before["fence"] + 1 and token and token not in tokens
    tokens.add(str(token))
    if not new:
        return "I4", f"was claimed without a new fence and token: {after['fence']} {token}"
    if after.get("lease_until") is None:
        return "I4", "was claimed without a lease: it would never come back"
    spent = after["attempts"] - before["attempts"]
    if spent != (after["state"] == "running"):
        return "I5", f"was claimed, and that spent {spent} attempts"
    return None


def _cancelled(id: str, before: Document, after: Document, asked: Asked) -> Fault:
    """Nobody ran it: whoever asks for it ends it, and whoever had claimed it has not any more."""
    if not _cancel_wanted(id, before, asked):
        return "I4", "was cancelled and nobody asked for it"
    if after.get("claim") is not None or after.get("lease_until") is not None:
        return "I4", f"was cancelled while {before['state']}, and is held still"
    spent = after["attempts"] - before["attempts"]
    return ("I5", f"was cancelled, and that spent {spent} attempts") if spent else None


def _cancel_wanted(id: str, before: Document, asked: Asked) -> bool:
    return (id, "") in asked.jobs["cancel"] or asked.operated.asked("cancel", id, before)


def _by_holder(id: str, before: Document, after: Document, asked: Asked) -> Fault:
    """The claim stays: started, extended, reported on or finished, and by the holder only."""
    holder = (id, before["claim"])
    spent, step = after["attempts"] - before["attempts"], (before["state"], after["state"])
    if after["fence"] != before["fence"]:
        return "I4", f"has another fence under the same claim: {before['fence']}, then {after['fence']}"
    if step == ("claimed", "running"):
        if spent == 1 and holder in asked.jobs["start"]:
            return None
        return "I5", f"was started, attempts {before['attempts']} to {after['attempts']}"
    outcomes = asked.outcomes.get(holder, set())
    snoozed = step == ("running", "pending") and "snoozed" in outcomes
    if spent != -snoozed or after.get("snoozes", 0) - before.get("snoozes", 0) != snoozed:
        return "I5", f"went from {step[0]} to {step[1]}, attempts {before['attempts']} to {after['attempts']}"
    if step[0] == step[1]:
        return _kept(holder, before, after, asked)
    if step[0] != "running" or step[1] not in _ends(outcomes, marked=_marked(before)):
        return "I4", f"went from {step[0]} to {step[1]}, and its holder did not ask for it"
    if step[1] == "pending" and not snoozed and _all_spent(after):
        return "I5", f"is to be retried after {after['attempts']} attempts"
    return None


def _marked(document: Document) -> bool:
    """Whether it was asked to end while it ran."""
    return document.get("cancel_requested_at") is not None


def _ends(outcomes: set[str], *, marked: bool) -> set[str]:
    """Return the states that these outcomes lead to: none of them is `pending` for a job that was asked to end."""
    states = {state for outcome in outcomes for state in BECOMES[outcome]}
    return {"cancelled" if marked and state == "pending" else state for state in states}


def _kept(holder: Pair, before: Document, after: Document, asked: Asked) -> Fault:
    """Claim and state stay."""
    if _only_marked(before, after):
        return None
    if _marked(before) != _marked(after):
        wanted = _cancel_wanted(holder[0], before, asked)
        asks = not _marked(before) and before["state"] == "running" and wanted
        return None if asks else ("I4", f"was asked to end while {before['state']}, and nobody wanted it")
    said = [name for name in SAID if before.get(name) != after.get(name)]
    for name in said:
        if before["state"] != "running" or holder not in asked.jobs[SAID[name]]:
            return "I4", f"has another {name} while {before['state']}, and its holder did not say so"
    # A line more of its log is not seen; see `oplog`.
    wrote = said or any(holder in asked.jobs[name] for name in ("extend", "report", "checkpoint"))
    return None if wrote else ("I4", "was extended, its holder did not ask for it")


def _taken(change: Change, before: Document, after: Document, asked: Asked) -> Fault:
    """The claim is gone: released by its holder, or reaped."""
    step, running = (before["state"], after["state"]), before["state"] == "running"
    over = before.get("lease_until") is None or before["lease_until"] <= change.at
    given_back = (change.id, before["claim"]) in asked.jobs["release"] or before["claim"] in asked.disowned
    free = ("cancelled",) if _marked(before) else ("pending",)
    released = given_back and step[1] in free
    spent = after["attempts"] - before["attempts"]
    if not over and not released:
        return "I4", f"was taken from its holder while {step[0]}, with a lease until {before['lease_until']}"
    if after.get("claim") is not None or step[1] not in (free if _marked(before) else ("pending", "failed")):
        return "I4", f"went from {step[0]} to {step[1]} under another claim: {after.get('claim')}"
    if not (over and spent == 0) and not (released and spent == -running):
        return "I5", f"was taken back, attempts {before['attempts']} to {after['attempts']}"
    if running and not _marked(before) and (step[1] == "failed") != _all_spent(after):
        return "I5", f"is {step[1]} after {after['attempts']} attempts of {after['max_attempts']}"
    if step == ("claimed", "failed"):
        return "I5", "failed, and never ran under this claim"
    return None


def _all_spent(document: Document) -> bool:
    return bool(document["attempts"] >= (document["max_attempts"] or 1))
