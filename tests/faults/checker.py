"""The judge: joins the history of the clients, the server's own, and what is stored at the end.

The invariants, as `Violation.invariant` names them:

- I1  what was acknowledged as created is stored, and nothing else, but for what an operator removed;
- I2  a job has one final outcome at most, and keeps it until an operator asks for another life of it; whose
      outcome stands is not told that it is lost;
- I3  certain leases of one job never overlap;
- I4  every change of a held job was asked for by the holder of its claim, or its lease was over;
- I5  a claim is entered once, an attempt once and once more for every snooze, and at most `max_attempts` are;
- I6  at the end nothing is pending, claimed or running;
- I7  after a stop nothing is held that was not reported, no executor is entered, and no thread is left but
      for one that waits for a server that does not answer;
- I8  what is stored is what was created and returned; nothing is entered after somebody was told that it is
      cancelled, and nothing that was asked to end is entered by a later claim;
- I9  what waits for others is let go when they have ended as they must, and fails only if one of them has;
- I10 the metrics of a process that stopped account for every claim it was told of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from math import inf
from typing import Any

from jobpool.schedules import schedule_in

from .change_judge import BECOMES, FINAL, HELD, Document, judge_changes
from .history import Event
from .lives import Lives
from .operator_judge import Operated
from .oplog import Change
from .violation import Violation

#: How long after an unanswered request another one may still wait for its own.
ANSWER_TIME = 10.0


def check(
    history: Iterable[Event],
    stored: Iterable[Document],
    changes: Iterable[Change] | None = None,
    *,
    ended: bool = True,
) -> list[Violation]:
    """Return every violation found.

    Args:
        history: What the clients asked and were told; see `history`.
        stored: The documents at the end.
        changes: What the server did, all of it; see `oplog`. None if it is not to be judged.
        ended: Whether a quiet period has passed, so that everything must be final.
    """
    events = list(history)
    documents = {document["_id"]: document for document in stored}
    seen = [] if changes is None else list(changes)
    ends, lives = Lives(seen, documents, retried=True), Lives(seen, documents, retried=False)
    lived = lives.split(events)
    return [
        *_created(events, documents, {change.id for change in seen if change.after is None}),
        *_finished(ends.split(events), ends.documents),
        *_leases(events, _cut_off(seen)),
        *_disowned(events),
        *_entered(lived, lives.documents),
        *(_ended(documents) if ended else ()),
        *_stopped(events, documents),
        *_contents(lived, lives.documents),
        *_counted(events),
        *(judge_changes(events, documents, seen, ended=ended) if changes is not None else ()),
    ]


def _cut_off(changes: Iterable[Change]) -> set[tuple[str, str]]:
    """Return the claims that somebody ended before they were started: their leases mean nothing any more."""
    return {
        (change.id, change.before["claim"])
        for change in changes
        if change.before is not None
        and change.after is not None
        and (change.before["state"], change.after["state"]) == ("claimed", "cancelled")
    }


def _jobs(events: Iterable[Event], name: str) -> Iterator[tuple[Event, str, str]]:
    for event in events:
        if event.name == name:
            for id, token in event.fields["jobs"]:
                yield event, id, token


def _created(
    events: list[Event], documents: Mapping[str, Document], deleted: Collection[str]
) -> Iterator[Violation]:
    tried = {id for _, id, _ in _jobs(events, "create")}
    for id in {id for _, id, _ in _jobs(events, "create-ok")} - documents.keys() - set(deleted):
        yield Violation("I1", id, "was acknowledged as created and is not stored")
    schedules = Operated(events).schedules
    for id in documents.keys() - tried:
        if schedule_in(id) not in schedules:
            yield Violation("I1", id, "is stored and nobody tried to create it")


def _finished(events: list[Event], documents: Mapping[str, Document]) -> Iterator[Violation]:
    accepted: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in events:
        if event.name == "finish-ok":
            for (id, token), outcome in zip(event.fields["jobs"], event.fields["outcomes"], strict=True):
                accepted[id, token].add(outcome)
    final: dict[str, dict[str, str]] = defaultdict(dict)
    for (id, token), outcomes in accepted.items():
        if len(outcomes) > 1:
            yield Violation("I2", id, f"was accepted under claim {token} as {' and as '.join(sorted(outcomes))}")
        for outcome in outcomes.intersection(FINAL):
            final[id][token] = outcome
    for id, by_token in final.items():
        document = documents.get(id, {})
        if len(by_token) > 1:
            yield Violation("I2", id, f"has {len(by_token)} accepted final outcomes: {sorted(by_token.values())}")
        for token, outcome in by_token.items():
            if document.get("state") != outcome:
                yield Violation("I2", id, f"was accepted as {outcome} and is {document.get('state')}")
            elif document.get("claim") != token:
                yield Violation("I4", id, f"was finished under claim {token}, it carries {document.get('claim')}")


def _leases(events: list[Event], cut_off: Collection[tuple[str, str]]) -> Iterator[Violation]:
    """Compare the times in which holders might trust their leases."""
    begun: dict[tuple[str, str], float] = {}
    until: dict[tuple[str, str], float] = {}
    given_up: dict[tuple[str, str], float] = {}  # from here on the holder does not rely on it
    for event in events:
        if event.name not in ("claim-ok", "extend-ok", "finish", "release"):
            continue
        for id, token in event.fields["jobs"]:
            if event.name in ("finish", "release"):
                given_up.setdefault((id, token), event.at)
            else:
                if event.name == "claim-ok" and (id, token) in begun:
                    yield Violation("I3", id, f"claim {token} was given twice")
                begun.setdefault((id, token), event.at)
                until[id, token] = max(until.get((id, token), 0.0), event.fields["until"])
    by_job: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for (id, token), at in begun.items():
        if (id, token) in cut_off:
            continue
        by_job[id].append((at, min(until[id, token], given_up.get((id, token), inf)), token))
    for id, leases in by_job.items():
        leases.sort()
        for (_, end, first), (begin, _, second) in pairwise(leases):
            if begin < end:
                early = f"{end - begin:.3f} s before the lease of {first} was over"
                yield Violation("I3", id, f"claim {second} began {early}")


def _disowned(events: list[Event]) -> Iterator[Violation]:
    """What is given back by token alone was never told to its holder: it might run."""
    told = {token for _, _, token in _jobs(events, "claim-ok")}
    for event in events:
        for token in event.fields.get("tokens", ()) if event.name == "release" else ():
            if token in told:
                yield Violation("I4", "-", f"claim {token} was given back as unknown by its holder, which knew it")


def _entered(events: list[Event], documents: Mapping[str, Document]) -> Iterator[Violation]:
    entered = Counter((e.fields["id"], e.fields["attempt"]) for e in events if e.name == "entered")
    fences = Counter((e.fields["id"], e.fields["fence"]) for e in events if e.name == "entered")
    yield from _unstarted(events)
    snoozes = {id: document.get("snoozes", 0) for id, document in documents.items()}
    for (id, fence), times in fences.items():
        if times > 1:
            yield Violation("I5", id, f"the claim of fence {fence} was entered {times} times")
    for (id, attempt), times in entered.items():
        if times > 1 + snoozes.get(id, 0):
            yield Violation("I5", id, f"attempt {attempt} was entered {times} times")
    for id, times in Counter(id for id, _ in entered.elements()).items():
        document = documents.get(id)
        counted = times - snoozes.get(id, 0)
        if document is not None and counted > (document["max_attempts"] or 1):
            yield Violation("I5", id, f"was entered {counted} times, {document['max_attempts']} are allowed")
        if document is not None and counted > document["attempts"]:
            yield Violation("I5", id, f"was entered {counted} times and counts {document['attempts']} attempts")


def _unstarted(events: list[Event]) -> Iterator[Violation]:
    """No executor is entered before its process was told that the start stands, each time anew."""
    started: Counter[tuple[int, str]] = Counter()
    for event in events:
        if event.name == "start-ok":
            started.update((event.pid, id) for id, _ in event.fields["jobs"])
        elif event.name == "entered":
            started[event.pid, event.fields["id"]] -= 1
            if started[event.pid, event.fields["id"]] < 0:
                yield Violation("I5", event.fields["id"], f"was entered in process {event.pid} without a start")


def _ended(documents: Mapping[str, Document]) -> Iterator[Violation]:
    for id, document in documents.items():
        if document["state"] not in FINAL:
            yield Violation("I6", id, f"is {document['state']} after the quiet period")


def _stopped(events: list[Event], documents: Mapping[str, Document]) -> Iterator[Violation]:
    for stop in events:
        if stop.name != "stop-ok":
            continue
        for thread in stop.fields["threads"] if not _unanswered(events, stop) else ():
            yield Violation("I7", "-", f"thread {thread} outlived the stop of process {stop.pid}")
        own = {(id, token) for event, id, token in _jobs(events, "claim-ok") if event.pid == stop.pid}
        for id, token in own:
            document = documents.get(id, {})
            held = document.get("state") in HELD and document.get("claim") == token
            if held and id not in stop.fields["abandoned"]:
                yield Violation("I7", id, f"is held by process {stop.pid}, which has stopped")
        for event in events:
            if event.name == "entered" and event.pid == stop.pid and event.at > stop.at:
                yield Violation("I7", event.fields["id"], f"was entered after process {stop.pid} stopped")


def _unanswered(events: list[Event], stop: Event) -> bool:
    """Say whether the server owed the stopping process an answer: a thread may wait for that a while longer."""
    requests = ("claim", "start", "extend", "finish", "release", "report")
    names = Counter(event.name for event in events if event.pid == stop.pid and event.at <= stop.at)
    late = any(
        event.name.endswith("-unknown") and event.pid == stop.pid and 0 <= stop.at - event.at < ANSWER_TIME
        for event in events
    )
    answers = ("ok", "nothing", "unknown", "refused", "raised")
    return late or any(names[name] > sum(names[f"{name}-{answer}"] for answer in answers) for name in requests)


def _counted(events: list[Event]) -> Iterator[Violation]:
    """Balance the counters: each claim is a recorded attempt, released, lost before it ran, or abandoned."""
    claims = Counter(event.pid for event, _, _ in _jobs(events, "claim-ok"))
    abandoned = {event.pid: len(event.fields["abandoned"]) for event in events if event.name == "stop-ok"}
    told = _outcomes(events)
    for event in events:
        if event.name != "counted":
            continue
        left = abandoned.get(event.pid, 0)
        claimed = _total(event, "jobpool_jobs_claimed_total")
        out = _total(event, "jobpool_attempts_total") + _total(event, "jobpool_jobs_released_total")
        out += _total(event, "jobpool_leases_lost_total", "stage=queued") + left
        if not claims[event.pid] == claimed == out:
            counted = f"{claims[event.pid]} claims, counts {claimed:g} in and {out:g} out"
            yield Violation("I10", "-", f"process {event.pid} had {counted}")
        for outcome in BECOMES:
            recorded, counts = (
                told[event.pid, outcome],
                _total(event, "jobpool_attempts_total", f"outcome={outcome}"),
            )
            if not 0 <= recorded - counts <= left:  # what a stop abandoned may have been recorded all the same
                yield Violation(
                    "I10", "-", f"process {event.pid} counts {counts:g} {outcome}, {recorded} were recorded"
                )


def _outcomes(events: list[Event]) -> Counter[tuple[int, str]]:
    """Return how many claims each process was told to have finished with each outcome."""
    finished = {
        (event.pid, id, token, outcome)
        for event in events
        if event.name == "finish-ok"
        for (id, token), outcome in zip(event.fields["jobs"], event.fields["outcomes"], strict=True)
    }
    return Counter((pid, outcome) for pid, _, _, outcome in finished)


def _total(counted: Event, name: str, label: str = "") -> float:
    """Return the sum over all label sets of a counter that have `label`."""
    fields = ((key.split(","), value) for key, value in counted.fields.items())
    wanted = [value for (first, *labels), value in fields if first == name and (not label or label in labels)]
    return float(sum(wanted))


def _contents(events: list[Event], documents: Mapping[str, Document]) -> Iterator[Violation]:
    """Data have `n`, and executors of the fault suite return ``{"n": data["n"], "attempt": ...}``; see `app`."""
    yield from _cancelled(events, documents)
    attempts = {(e.fields["id"], e.fields["attempt"]) for e in events if e.name == "entered"}
    created = _numbers(events)
    for id, document in documents.items():
        data, result = document["data"], document.get("result")
        if not isinstance(data, dict) or "n" not in data:
            continue
        if created.get(id, data["n"]) != data["n"]:
            yield Violation("I8", id, f"was created with n = {created[id]} and stores {data['n']}")
        if document["state"] != "succeeded":
            continue
        returned = (
            isinstance(result, dict) and result.get("n") == data["n"] and (id, result.get("attempt")) in attempts
        )
        if not returned:
            yield Violation("I8", id, f"has the result {result}, which no attempt of it returned")


def _numbers(events: list[Event]) -> dict[str, Any]:
    """Return the `n` that every job was first created with, where there is one."""
    numbers: dict[str, Any] = {}
    for event in events:
        if event.name == "create":
            for (id, _), n in zip(event.fields["jobs"], event.fields.get("numbers", ()), strict=False):
                if n is not None:
                    numbers.setdefault(id, n)
    return numbers


def _cancelled(events: list[Event], documents: Mapping[str, Document]) -> Iterator[Violation]:
    yield from _entered_late(events)
    cancelled = {id: e.at for e, id, _ in _jobs(events, "cancel-ok") if e.fields["state"] == "cancelled"}
    for id in cancelled.keys() & {e.fields["id"] for e in events if e.name == "entered"}:
        document = documents.get(id, {})
        if document.get("attempts", 0) + document.get("snoozes", 0) == 0:
            yield Violation("I8", id, "was cancelled before any attempt and was entered")
    asked: dict[tuple[str, str], float] = {}
    for event, id, token in _jobs(events, "start"):
        asked.setdefault((id, token), event.at)
    for _, id, token in _jobs(events, "start-ok"):
        if asked.get((id, token), 0.0) > cancelled.get(id, inf):
            yield Violation("I8", id, f"was cancelled, and then started under claim {token}")


def _entered_late(events: list[Event]) -> Iterator[Violation]:
    """Nobody enters what somebody was told to be cancelled, and no later claim what was asked to end."""
    ended: dict[str, float] = {}
    last: dict[str, float] = {}
    for event, id, _ in _jobs(events, "cancel-ok"):
        if event.fields["state"] == "cancelled":
            ended.setdefault(id, event.at)
        if event.fields["state"] == "cancelled" or event.fields.get("marked"):
            last[id] = min(last.get(id, event.fields.get("fence", inf)), event.fields.get("fence", inf))
    for event in events:
        if event.name != "entered":
            continue
        id = event.fields["id"]
        if event.at > ended.get(id, inf):
            yield Violation(
                "I8", id, f"was entered {event.at - ended[id]:.3f} s after its cancel was acknowledged"
            )
        if event.fields["fence"] > last.get(id, inf):
            yield Violation(
                "I8", id, f"was asked to end under fence {last[id]}, entered under {event.fields['fence']}"
            )
