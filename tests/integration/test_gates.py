"""Claims through gates: how many are held at once, whatever happens to whoever claims. Judged by the oplog."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Backoff, JobManager, Limit
from jobpool.errors import JobpoolError, StoreUnavailable
from jobpool.limits import Gate, KeyOf
from jobpool.outcome import Finish, Outcome
from jobpool.store import Store, gates
from jobpool.store.claiming import Claimed, Gated, Request, Rule, Turns, keying, keys
from jobpool.store.claiming.keys import Slot
from jobpool.store.indexes import HOLDER_INDEX, KEY_INDEX

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..gates import busiest, by_key, by_type, claimed_at, most_held
from ..waiting import until
from .conftest import begin, claimed_by, claims_of
from .test_transitions import expire

Client = MongoClient[dict[str, Any]]
RULES = {"a": Rule(1, Backoff())}
NUMBERS = itertools.count()
PAST = datetime(2026, 1, 1, tzinfo=UTC)
#: Seconds.
SEEN = 4.0


def gate(owner: str = "a", *aliases: str, limit: Limit | None = None, key_limit: Limit | None = None) -> Gate:
    return Gate(owner, (owner, *aliases), limit, key_limit, KeyOf("tenant"))


def asked(most: int, *limited: Gate, plain: tuple[str, ...] = (), lease: float = 30.0) -> Request:
    found = {type: item for item in limited for type in item.types}
    return Request(plain, most, "test", lease, None, found)


def create(manager: JobManager, jobs: int, *tenants: str, type: str = "a", **fields: Any) -> None:
    """Create so many jobs of each tenant, keyed."""
    manager.create_many(
        {"type": type, "data": {"tenant": tenant, "n": next(NUMBERS)}, "key": tenant, **fields}
        for _ in range(jobs)
        for tenant in tenants
    )


def finish(store: Store, claimed: Claimed) -> None:
    """Run to its end what was claimed."""
    claims = claims_of(claimed)
    begin(store, *claims)
    store.transitions.finish([Finish(claim, Outcome(), datetime.now(UTC), None, None) for claim in claims])


def keys_of(claimed: Claimed) -> list[str]:
    return [document["key"] for document in claimed.documents]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    manager = make_manager()
    manager.ensure_indexes(limits=True)
    return manager


@pytest.fixture
def store(manager: JobManager) -> Store:
    return manager.store


@pytest.fixture
def short_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that end soon, so that a test may wait for it."""
    monkeypatch.setattr(gates, "LOCKED", 0.6)
    monkeypatch.setattr(gates, "AFTER", 0.3)


@pytest.fixture
def seen_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that end soon, but not before a busy machine has looked at them."""
    monkeypatch.setattr(gates, "LOCKED", SEEN)
    monkeypatch.setattr(gates, "AFTER", SEEN / 2)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have backlogs of some jobs read as those of a million are."""
    monkeypatch.setattr(keys, "HEAD", 4)
    monkeypatch.setattr(keys, "PAGE", 3)
    monkeypatch.setattr(keying, "STEP", 3)


@pytest.fixture(params=["few", "many"])
def either(request: pytest.FixtureRequest) -> None:
    """With both ways to find the jobs."""
    if request.param == "many":
        request.getfixturevalue("few_are_many")


def drain(store: Store, gated: Gated, request: Request, claims: int = 100) -> list[Claimed]:
    """Claim and finish until nothing is left; return the claims that won something."""
    won = []
    for _ in range(claims):
        claimed = gated.claim(request)
        while not claimed.documents and gated._keys.unseen:
            threading.Event().wait(gated.again_in)
            claimed = gated.claim(request)
        if claimed.documents:
            won.append(claimed)
            finish(store, claimed)
            for document in claimed.documents:
                gated.freed("a", document["key"])
        elif claimed.drained and not gated.waits:
            return won
    raise AssertionError(f"jobs are left after {claims} claims")


# --- how many -------------------------------------------------------------------------------


def test_no_more_of_a_type_are_held_than_its_limit_says(manager: JobManager, store: Store, either: None) -> None:
    create(manager, 5, "x", "y")
    gated, request = store.gated(), asked(10, gate(limit=Limit(running=3)))
    first = gated.claim(request)
    assert len(first.documents) == 3
    assert not gated.claim(request).documents
    assert gated.waits
    finish(store, first)
    gated.freed("a", first.documents[0]["key"])
    assert len(gated.claim(request).documents) == 3


def test_no_more_of_a_key_are_held_than_its_limit_says(manager: JobManager, store: Store, either: None) -> None:
    create(manager, 5, "x", "y", "z")
    gated, request = store.gated(), asked(10, gate(key_limit=Limit(running=2)))
    won = [key for _ in range(5) for key in keys_of(gated.claim(request))]
    assert sorted(won) == ["x", "x", "y", "y", "z", "z"]


def test_both_limits_hold_together(manager: JobManager, store: Store, either: None) -> None:
    create(manager, 5, "x", "y", "z")
    gated = store.gated()
    request = asked(10, gate(limit=Limit(running=4), key_limit=Limit(running=2)))
    won = [key for _ in range(5) for key in keys_of(gated.claim(request))]
    assert len(won) == 4
    assert max(won.count(key) for key in won) <= 2


def test_whoever_finds_only_full_gates_knows_that_jobs_wait(
    manager: JobManager, store: Store, either: None
) -> None:
    """At the first look, in which it asked for the holders of all."""
    create(manager, 2, *map(str, range(12)))
    request = asked(20, gate(key_limit=Limit(running=1)))
    first = store.gated()
    while not first.claim(request).drained:
        pass
    second = store.gated()
    assert not second.claim(request).documents
    assert second.waits
    assert second.freed("a", "3")


def test_aliases_share_the_places_of_their_type(manager: JobManager, store: Store) -> None:
    create(manager, 3, "x", type="a")
    create(manager, 3, "x", type="old")
    request = asked(10, gate("a", "old", limit=Limit(running=4), key_limit=Limit(running=3)))
    gated = store.gated()
    assert sum(len(gated.claim(request).documents) for _ in range(5)) == 3


def test_everything_is_claimed_in_the_end(manager: JobManager, store: Store, either: None, jobs: Jobs) -> None:
    create(manager, 7, "x", "y", "z", "v", "w")
    drain(store, store.gated(), asked(4, gate(limit=Limit(running=4), key_limit=Limit(running=1))))
    assert jobs.count_documents({"state": "succeeded", "attempts": 1}) == 35


def test_a_job_that_was_claimed_before_there_was_a_lease_left_counts_until_it_is_reaped(
    manager: JobManager, store: Store, jobs: Jobs
) -> None:
    """Its holder may come back and extend its lease; and whoever is held up by it is told to reap."""
    create(manager, 2, "x")
    gated, request = store.gated(), asked(2, gate(limit=Limit(running=1)))
    assert gated.claim(request).documents
    expire(jobs)
    other = store.gated()
    assert not other.claim(request).documents
    assert other.expired
    store.reaping.reap()
    other.reopen()
    assert other.claim(request).documents


def test_jobs_that_run_in_a_calling_thread_hold_places(make_manager: MakeManager, store: Store) -> None:
    seen: list[int] = []

    def look(data: Any) -> None:
        seen.append(len(store.gated().claim(asked(5, gate(limit=Limit(running=2)))).documents))

    runner = make_manager(executors={"a": look})
    create(runner, 3, "x")
    store.clock.forget()  # asked from now on, it is not behind what the other created
    runner.run("a")
    assert seen == [1]


# --- turns -----------------------------------------------------------------------------------


def test_keys_take_turns_whatever_their_backlogs(manager: JobManager, store: Store, either: None) -> None:
    create(manager, 40, "hog")
    create(manager, 4, "x", "y")
    claims = drain(store, store.gated(), asked(3, gate()))
    early = [key for claimed in claims[:6] for key in keys_of(claimed)]
    assert early.count("x") == early.count("y") == 4


@pytest.mark.parametrize("limited", [gate(), gate(key_limit=Limit(running=9))], ids=["turns", "limits"])
def test_a_claim_says_that_nothing_is_left_only_if_so(
    manager: JobManager, store: Store, either: None, limited: Gate
) -> None:
    """A pool waits then, while jobs do."""
    create(manager, 9, "x")
    create(manager, 1, "y", "z")
    gated, left = store.gated(), 11
    while left:
        claimed = gated.claim(asked(5, limited))
        left -= len(claimed.documents)
        assert not (claimed.drained and left)
        finish(store, claimed)


def test_within_a_key_the_order_is_that_of_priority_and_time(
    manager: JobManager, store: Store, either: None
) -> None:
    for n, priority in enumerate([0, 5, 3, 9, 0, 5]):
        manager.create("a", {"tenant": "x", "n": n}, key="x", priority=priority)
    claims = drain(store, store.gated(), asked(1, gate(key_limit=Limit(running=1))))
    assert [claimed.documents[0]["data"]["n"] for claimed in claims] == [3, 1, 5, 2, 0, 4]


def test_what_is_not_due_is_not_claimed(manager: JobManager, store: Store, either: None) -> None:
    create(manager, 5, "x", "y", delay=3600, priority=3)
    create(manager, 2, "y", "z", priority=1)
    claims = drain(store, store.gated(), asked(3, gate(key_limit=Limit(running=1))))
    assert sorted(key for claimed in claims for key in keys_of(claimed)) == ["y", "y", "z", "z"]


def test_types_with_and_without_limits_take_turns(manager: JobManager, store: Store) -> None:
    create(manager, 20, "x")
    manager.create_many({"type": "plain", "data": n} for n in range(20))
    turns = Turns(store.strategy("window"), store.gated())
    request = asked(5, gate(), plain=("plain",))
    types = [turns.claim(request).documents[0]["type"] for _ in range(8)]
    assert types in (["a", "plain"] * 4, ["plain", "a"] * 4)
    assert not turns.claim(request).documents
    assert turns.claim(request).drained


def test_a_type_that_is_full_does_not_hold_up_others(manager: JobManager, store: Store) -> None:
    create(manager, 20, "x")
    create(manager, 20, "x", type="b")
    manager.create_many({"type": "plain", "data": n} for n in range(20))
    turns = Turns(store.strategy("window"), store.gated())
    request = asked(5, gate(limit=Limit(running=1)), gate("b"), plain=("plain",))
    types = [document["type"] for _ in range(12) for document in turns.claim(request).documents]
    assert (types.count("a"), types.count("b"), types.count("plain")) == (1, 20, 20)


def test_with_a_large_backlog_of_one_type_others_are_found(
    manager: JobManager, store: Store, few_are_many: None
) -> None:
    create(manager, 60, "hog", priority=5)
    create(manager, 2, "x", type="b")
    create(manager, 2, "y", type="c", delay=3600)
    request = asked(2, gate(limit=Limit(running=2)), gate("b", key_limit=Limit(running=1)), gate("c"))
    gated = store.gated()
    types = [document["type"] for _ in range(6) for document in gated.claim(request).documents]
    assert sorted(types) == ["a", "a", "b"]
    plan = _plan(gated._keys, lambda: gated._keys._with_due_jobs(("a", "b", "c")))
    assert {"DISTINCT_SCAN", "PROJECTION_COVERED"} <= plan


# --- rates -----------------------------------------------------------------------------------


def test_a_bucket_lets_through_what_it_holds_and_then_what_flows_in(
    manager: JobManager, store: Store, client: Client, jobs: Jobs
) -> None:
    create(manager, 40, "x")
    gated, request = store.gated(), asked(10, gate(limit=Limit(rate=100, burst=4)))
    assert len(gated.claim(request).documents) == 4
    assert not gated.claim(request).documents or gated.again_in <= 0.01
    drain(store, gated, request, claims=100_000)
    (instants,) = claimed_at(client, jobs.full_name, by_type).values()
    assert len(instants) == 40
    for window in (0.01, 0.05, 0.1, 0.2):
        assert busiest(instants, window) <= 4 + 100 * (window + 0.002)  # instants are whole milliseconds


def test_each_key_has_a_bucket_of_its_own(manager: JobManager, store: Store) -> None:
    create(manager, 9, "x", "y", "z")
    gated, request = store.gated(), asked(30, gate(key_limit=Limit(rate=2, per=3600)))
    won = [key for _ in range(5) for key in keys_of(gated.claim(request))]
    assert sorted(won) == ["x", "x", "y", "y", "z", "z"]
    assert gated.again_in > 1000


def test_tokens_that_were_not_used_are_given_back(manager: JobManager, store: Store) -> None:
    limited = gate(limit=Limit(rate=5, per=3600))
    create(manager, 2, "x")
    assert len(store.gated().claim(asked(5, limited)).documents) == 2
    create(manager, 9, "y")
    assert len(store.gated().claim(asked(9, limited)).documents) == 3


def test_a_full_bucket_never_holds_more_than_a_burst_after_an_unlock(store: Store, jobs: Jobs) -> None:
    """The claim comes behind the lock: what flows in meanwhile must not count twice."""
    found = gates.Gates(store._connection)
    limit = Limit(rate=1000, burst=5)
    name = ("a", None)
    with found.session() as session:
        lock = found.lock({name: gates.Want(limit, 5)}, session)
        until(lambda: found.next_tokens({name: limit})[name] == 0, "the next token")
        found.unlock(lock, {name: 5})
    (stored,) = jobs.database["jobs.gates"].find()
    assert stored["tokens"] <= 0, "the bucket was full at the lock, and five were used behind it"


# --- locks -----------------------------------------------------------------------------------


def test_a_locked_gate_lets_nobody_through_and_opens_by_itself(
    manager: JobManager, store: Store, seen_locks: None
) -> None:
    create(manager, 3, "x")
    locking = gates.Gates(store._connection)
    limited = gate(limit=Limit(running=1))
    gated = store.gated()
    finish(store, gated.claim(asked(1, limited)))  # so that it knows the gate
    gated.freed("a", "x")
    with locking.session() as session:
        until(lambda: locking.lock({("a", None): gates.Want(Limit(running=1), 1)}, session).taken, "the lock")
    assert not gated.claim(asked(1, limited)).documents
    assert gated.again_in <= SEEN
    until(lambda: gated.claim(asked(1, limited)).documents, "the end of the lock")


@pytest.mark.parametrize("step", ["lock", "_count", "_take_some"])
def test_a_claimer_that_dies_behind_any_step_holds_nobody_up_for_long(
    manager: JobManager,
    store: Store,
    jobs: Jobs,
    client: Client,
    short_locks: None,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """Nothing is unlocked; what it had claimed comes back by its lease."""
    create(manager, 4, "x")
    limited = gate(limit=Limit(running=1), key_limit=Limit(running=1, rate=1000))
    dying = store.gated()
    target: Any = dying._gates if step == "lock" else dying

    real = getattr(target, step)

    def then_die(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise SystemExit

    monkeypatch.setattr(target, step, then_die)
    monkeypatch.setattr(dying._gates, "unlock", lambda *_: None)
    with pytest.raises(SystemExit):
        dying.claim(asked(5, limited))
    assert jobs.count_documents({"state": "claimed"}) == (step == "_take_some")
    expire(jobs)
    store.reaping.reap()
    gated = store.gated()
    for _ in range(4):
        finish(store, claimed_by(gated, asked(5, limited)))
        gated.freed("a", "x")
    assert jobs.count_documents({"state": "succeeded"}) == 4
    assert most_held(client, jobs.full_name, by_type) == {"a": 1}


def test_the_claim_of_one_that_was_paused_behind_its_count_is_refused(
    manager: JobManager,
    store: Store,
    jobs: Jobs,
    client: Client,
    short_locks: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It found a place; while it slept its lock ended, and another took that place."""
    create(manager, 4, "x")
    request = asked(5, gate(limit=Limit(running=1)))
    paused, other = store.gated(), store.gated()
    take = paused._take_some

    def late(*arguments: Any) -> Claimed:
        claimed_by(other, request)
        paused._keys._ids = {slot: ids[::-1] for slot, ids in paused._keys._ids.items()}  # not the very same job
        return take(*arguments)

    monkeypatch.setattr(paused, "_take_some", late)
    assert not paused.claim(request).documents
    assert jobs.count_documents({"state": "claimed"}) == 1
    assert most_held(client, jobs.full_name, by_type) == {"a": 1}


def test_one_whose_claim_was_not_answered_does_not_unlock(
    manager: JobManager, store: Store, jobs: Jobs, seen_locks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request may be under way still; nobody else may count before it is refused."""
    create(manager, 4, "x")
    limited = gate(limit=Limit(running=1))
    unsure = store.gated()

    def unanswered(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("nobody answered")

    monkeypatch.setattr(unsure, "_jobs", _Without(unsure._jobs, update_many=unanswered))
    with pytest.raises(StoreUnavailable):
        unsure.claim(asked(5, limited))
    other = store.gated()
    assert not other.claim(asked(5, limited)).documents
    assert other.again_in <= SEEN, "the gate is locked"
    until(lambda: other.claim(asked(5, limited)).documents, "the end of the lock")
    assert jobs.count_documents({"state": "claimed"}) == 1


class _Without:
    """A collection some of whose methods are others."""

    def __init__(self, real: Any, **others: Any) -> None:
        self.__dict__ |= others
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


# --- lost replies ----------------------------------------------------------------------------

#: The statements of a claim through gates, in order: what it calls, and how often before.
STATEMENTS = {
    "looking for jobs": ("find", 0),
    "locking": ("update", 0),
    "reading the locks": ("find", 1),
    "counting": ("aggregate", 0),
    "claiming": ("update", 1),
    "reading the claim": ("find", 2),
    "unlocking": ("update", 2),
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_lost_reply_lets_more_through(
    make_manager: MakeManager,
    proxy: Proxy,
    jobs: Jobs,
    client: Client,
    short_locks: None,
    statement: str,
) -> None:
    manager = make_manager(uri=proxy.uri)
    create(manager, 5, "x")
    limited = gate(limit=Limit(running=2), key_limit=Limit(running=2, rate=1000))
    gated = manager.store.gated()
    command, before = STATEMENTS[statement]
    _lose(proxy, gated, command, before)
    won: list[Claimed] = []
    try:
        won.append(gated.claim(asked(5, limited)))
    except JobpoolError:
        manager.store.transitions.disown(gated.unknown) if gated.unknown else None
    assert proxy.lost == [command], "the fault struck"
    assert jobs.count_documents({"state": "claimed"}) <= 2
    expire(jobs)
    manager.store.reaping.reap()
    for _ in range(5):
        finish(manager.store, claimed_by(gated, asked(1, limited)))
        gated.freed("a", "x")
    assert jobs.count_documents({"state": "succeeded"}) == 5
    assert most_held(client, jobs.full_name, by_type)["a"] <= 2


def _lose(proxy: Proxy, gated: Gated, command: str, before: int) -> None:
    """Lose the reply of the command that comes after so many of its kind."""
    seen = 0
    names = {"find": ("find",), "update": ("update_many", "bulk_write"), "aggregate": ("aggregate",)}[command]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal seen
            if seen == before:
                proxy.lose_reply_of(command)
            seen += 1
            return real(*arguments, **options)

        return call

    owners: list[tuple[Any, str]] = [
        (gated, "_jobs"),
        (gated, "_read"),
        (gated._keys, "_jobs"),
        (gated._gates, "_jobs"),
        (gated._gates, "_gates"),
        (gated._gates, "_unwaited"),
    ]
    for owner, field in owners:
        real = getattr(owner, field)
        setattr(owner, field, _Without(real, **{name: counted(getattr(real, name)) for name in names}))


# --- many at once ----------------------------------------------------------------------------


@pytest.mark.parametrize("limits", ["type 1", "type 3", "key 1", "key 3", "both"])
def test_many_who_claim_at_once_never_hold_more(
    make_manager: MakeManager, client: Client, jobs: Jobs, limits: str
) -> None:
    limit = {"type 1": Limit(running=1), "type 3": Limit(running=3), "both": Limit(running=4)}.get(limits)
    key_limit = {"key 1": Limit(running=1), "key 3": Limit(running=3), "both": Limit(running=2)}.get(limits)
    limited = gate(limit=limit, key_limit=key_limit)
    count = 40 if limit is not None and limit.running == 1 else 120
    make_manager().ensure_indexes(limits=True)
    create(make_manager(), count // 4, "v", "x", "y", "z")
    threads = [threading.Thread(target=_hammer, args=(make_manager().store, limited)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert jobs.count_documents({"state": "succeeded"}) == count
    if limit is not None:
        assert max(most_held(client, jobs.full_name, by_type).values()) == limit.running
    if key_limit is not None:
        held = most_held(client, jobs.full_name, by_key).values()
        assert max(held) <= (key_limit.running or 0)


def _hammer(store: Store, limited: Gate) -> None:
    store.ready()
    gated = store.gated()
    pause = threading.Event()
    while store._connection.jobs.find_one({"state": {"$ne": "succeeded"}}, {"_id": 1}):
        claimed = gated.claim(asked(5, limited))
        if claimed.documents:
            finish(store, claimed)
            for document in claimed.documents:
                gated.freed("a", document["key"])
        else:
            pause.wait(min(gated.again_in, 0.005))


# --- keys ------------------------------------------------------------------------------------


def test_jobs_without_a_key_are_given_theirs(manager: JobManager, store: Store, jobs: Jobs, either: None) -> None:
    """Who created them did not know their executor."""
    create(manager, 4, "x", "y")
    jobs.update_many({}, {"$unset": {"key": ""}})
    drain(store, store.gated(), asked(3, gate(key_limit=Limit(running=1))))
    assert jobs.count_documents({"state": "succeeded", "key": "x"}) == 4
    assert jobs.count_documents({"state": "succeeded", "key": "y"}) == 4


def test_what_is_given_a_key_while_pages_rest_is_found_at_once(
    manager: JobManager, store: Store, jobs: Jobs, few_are_many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "RESTS", 1e9)
    monkeypatch.setattr(keys, "LOOK_AGAIN", 1e9)
    create(manager, 4, "x", "y")
    jobs.update_many({}, {"$unset": {"key": ""}})
    drain(store, store.gated(), asked(3, gate(key_limit=Limit(running=1))))
    assert jobs.count_documents({"state": "succeeded"}) == 8


def test_what_somebody_else_wrote_in_place_of_a_key_holds_up_nobody(
    manager: JobManager, store: Store, jobs: Jobs
) -> None:
    create(manager, 2, "x", "y")
    jobs.update_many({"key": "x"}, {"$set": {"key": 5}})
    drain(store, store.gated(), asked(9, gate(key_limit=Limit(running=1))))
    assert jobs.count_documents({"state": "succeeded", "key": "x"}) == 2


@pytest.mark.parametrize(
    "foreign",
    [{"type": ["a"]}, {"key": ["x"]}, {"priority": [1, 2]}, {"priority": None}, {"run_at": [PAST]}],
    ids=["type", "key", "priorities", "null", "run_at"],
)
def test_foreign_documents_among_them_hold_up_nobody(
    manager: JobManager, store: Store, jobs: Jobs, either: None, foreign: dict[str, Any]
) -> None:
    """Lists above all: each of their values is in the index, and is found there."""
    create(manager, 4, "x", "y")
    made = jobs.find_one({"key": "x"}) or {}
    bare = {name: value for name, value in made.items() if name != "priority"}
    others = [{**bare, "_id": "bare"}, {**made, "_id": "two", "priority": [3, 4]}, {**bare, "_id": {"no": "text"}}]
    jobs.insert_many([{**made, "_id": f"foreign{n}", **foreign} for n in range(5)] + others)
    gated, won = store.gated(), list[str]()

    def all_won() -> bool:
        claimed = gated.claim(asked(2, gate()))
        won.extend(document["_id"] for document in claimed.documents)
        return len([id for id in won if id.startswith("v1:")]) == 8

    until(all_won, "the jobs that are none of them")
    held = jobs.distinct("_id", {"state": "claimed"})
    assert sorted(won) == sorted(held)  # nothing was claimed that nobody knows of


def test_one_without_a_key_behind_a_large_backlog_is_found(
    manager: JobManager, store: Store, jobs: Jobs, few_are_many: None
) -> None:
    create(manager, 60, "hog", priority=1)
    manager.create("a", {"tenant": "x"})
    claims = drain(store, store.gated(), asked(1, gate()))
    order = [key for claimed in claims for key in keys_of(claimed)]
    assert len(order) == 61
    assert order.index("x") < 40


def test_one_that_comes_to_a_large_backlog_without_a_key_is_found_soon(
    manager: JobManager, store: Store, few_are_many: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keying, "EVERY", 0.0)
    create(manager, 60, "hog", priority=1)
    gated, request = store.gated(), asked(1, gate())
    for _ in range(25):  # the walk is through
        gated.claim(request)
    monkeypatch.setattr(gated._keys._keying, "walk", lambda *_: None)
    manager.create("a", {"tenant": "x"})
    assert "x" in [key for _ in range(10) for key in keys_of(gated.claim(request))]


def test_data_without_the_field_count_for_the_empty_key(
    manager: JobManager, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    manager.create_many({"type": "a", "data": data} for data in ({"other": 1}, None, {"tenant": {"deep": 1}}))
    claimed = store.gated().claim(asked(9, gate()))
    assert keys_of(claimed) == ["", "", ""]
    assert sum("has no usable key" in record.message for record in caplog.records) == 1


def test_gates_that_nobody_uses_are_forgotten(manager: JobManager, store: Store, jobs: Jobs) -> None:
    found = gates.Gates(store._connection)
    create(manager, 1, "x", "y")
    store.gated().claim(asked(9, gate(key_limit=Limit(running=1))))
    past = datetime.now(UTC) - timedelta(days=2)
    found._gates.update_one({"_id.key": "x"}, {"$set": {"forget_at": past}})
    found.forget()
    assert [stored["_id"]["key"] for stored in jobs.database["jobs.gates"].find()] == ["y"]
    create(manager, 2, "x")
    assert store.gated().claim(asked(9, gate(key_limit=Limit(running=2)))).documents


def test_a_gate_that_was_forgotten_behind_our_back_is_made_anew(manager: JobManager, store: Store) -> None:
    create(manager, 3, "x")
    gated, request = store.gated(), asked(1, gate(key_limit=Limit(running=2)))
    assert gated.claim(request).documents
    gated._gates._gates.delete_many({})
    until(lambda: gated.claim(request).documents, "another claim")


def test_a_place_that_becomes_free_while_it_looks_what_is_shut_costs_no_job(
    manager: JobManager, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread tells of it: at its worst in the middle of the look, behind a claim that won a job."""
    gated = store.gated()

    class Shut(dict[Any, Any]):
        def items(self) -> Any:
            for item in super().items():
                gated.freed("other", item[0][1])
                yield item

    create(manager, 1, "x")
    through = gated._claim

    def claim_and_see_a_place_freed(*args: Any) -> Claimed:
        claimed = through(*args)
        full = type("_", (), {"full": True, "until": float("inf"), "busy": False})()
        gated._shut = Shut({("other", str(n)): full for n in range(3)})
        gated._freed += 1
        return claimed

    monkeypatch.setattr(gated, "_claim", claim_and_see_a_place_freed)
    assert keys_of(gated.claim(asked(1, gate()))) == ["x"]


def test_indexes_that_another_pool_is_building_are_waited_for(
    make_manager: MakeManager, client: Client, jobs: Jobs
) -> None:
    manager = make_manager()
    manager.ensure_indexes()
    create(manager, 2, "x")
    point = {"configureFailPoint": "hangAfterStartingIndexBuild"}
    other, claimer = manager.store.gated(), make_manager().store.gated()
    won: list[Claimed] = []
    client.admin.command({**point, "mode": "alwaysOn"})
    try:
        builds = threading.Thread(target=lambda: won.append(other.claim(asked(1, gate(limit=Limit(running=2))))))
        builds.start()
        until(lambda: "jobpool_holder" in jobs.index_information(), "the build to begin")
        waits = threading.Thread(target=lambda: won.append(claimer.claim(asked(1, gate(limit=Limit(running=2))))))
        waits.start()
        until(lambda: _building(client) >= 2, "the claim to wait for it")
    finally:
        client.admin.command({**point, "mode": "off"})
    builds.join()
    waits.join()
    assert len(won) == 2


def _building(client: Client) -> int:
    """Return how many callers wait for an index."""
    running = client.admin.aggregate([{"$currentOp": {}}, {"$match": {"command.createIndexes": "jobs"}}])
    return len(list(running))


# --- plans -----------------------------------------------------------------------------------


def test_the_reads_of_a_claim_look_at_keys_of_their_indexes_only(
    make_manager: MakeManager, server: Any, database: str, few_are_many: None
) -> None:
    """One per key, whatever the backlogs; nothing of those that are not due."""
    manager = make_manager()
    manager.ensure_indexes(limits=True)
    create(manager, 200, "x", "y")
    create(manager, 50, "z", delay=3600)
    create(manager, 50, "y", delay=3600, priority=5)
    store = manager.store
    gated = store.gated()
    found = gated._keys
    plan = _plan(found, lambda: found._heads("a", {"$gte": ""}, 10))
    assert {KEY_INDEX, "DISTINCT_SCAN", "PROJECTION_COVERED"} <= plan
    assert not {"FETCH", "SORT", "COLLSCAN"} & plan
    assert _examined(store, lambda: found._heads("a", {"$gte": ""}, 10)) <= 8
    found.complete = False
    assert _examined(store, lambda: found._next(Slot("a", "x"), 5, 1)) <= 6
    request = asked(5, gate(limit=Limit(running=5)))
    gated.claim(request)
    held = gated._gates
    assert _examined(store, lambda: held.holders(gate(), ["x", "y"])) <= 8
    plan = _plan(held, lambda: held.holders(gate(), ["x", "y"]))
    assert {HOLDER_INDEX, "IXSCAN"} <= plan
    assert not {"FETCH", "COLLSCAN"} & plan


def _examined(store: Store, read: Callable[[], object]) -> int:
    """Return how many keys of indexes the server looked at for `read`."""
    before = _looked(store)
    read()
    after = _looked(store)
    assert after["scannedObjects"] == before["scannedObjects"], "documents were read"
    count: int = after["scanned"] - before["scanned"]
    return count


def _looked(store: Store) -> dict[str, int]:
    looked: dict[str, int] = store._connection.client.admin.command("serverStatus")["metrics"]["queryExecutor"]
    return looked


def _plan(owner: Any, read: Callable[[], object]) -> set[str]:
    """Return the stages of the plan of the aggregation that `read` asks for."""
    real = owner._jobs
    asked: list[tuple[Any, dict[str, Any]]] = []

    def aggregate(pipeline: Any, **options: Any) -> list[Any]:
        asked.append((pipeline, options))
        return []

    owner._jobs = _Without(real, aggregate=aggregate)
    read()
    owner._jobs = real
    ((pipeline, options),) = asked
    command = {"aggregate": real.name, "pipeline": pipeline, "cursor": {}, "hint": options["hint"]}
    plan = real.database.command("explain", command, verbosity="queryPlanner")
    return set(_stages(plan))


def _stages(plan: object) -> Iterator[str]:
    """Yield the names of all stages of a plan, and those of their indexes."""
    if isinstance(plan, dict):
        yield from (str(plan[name]) for name in ("stage", "indexName") if name in plan)
        for item in plan.values():
            yield from _stages(item)
    elif isinstance(plan, list):
        for item in plan:
            yield from _stages(item)
