"""A store on the test's database, and claims on its jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobpool.job import Claim
from jobpool.store import Store
from jobpool.store.claiming import Claimed, ClaimStrategy, Request, Rule
from jobpool.store.transitions import Start

from ..conftest import MakeManager
from ..waiting import until

LEASE = 30.0
TakeOne = Callable[..., Claim]


@pytest.fixture
def store(make_manager: MakeManager) -> Store:
    """The store of a manager, ready for use."""
    store = make_manager().store
    store.ready()
    return store


def request(
    limit: int, types: tuple[str, ...] = ("a",), lease: float = LEASE, rules: dict[str, Rule] | None = None
) -> Request:
    return Request(types, limit, "test", lease, rules)


def claims_of(claimed: Claimed) -> list[Claim]:
    return [Claim(document["_id"], claimed.token, document["fence"]) for document in claimed.documents]


def begin(store: Store, *claims: Claim, max_attempts: int = 1) -> set[Claim]:
    """Start claims as the starter does."""
    return store.transitions.start([Start(claim, max_attempts, None) for claim in claims])


def claimed_by(strategy: ClaimStrategy, request: Request) -> Claimed:
    """Claim what is due by the server: until something is, since by our idea of its time it may not be so yet."""
    won: list[Claimed] = []

    def wins() -> bool:
        won.append(strategy.claim(request))
        return bool(won[-1].documents)

    until(wins, "a due job")
    return won[-1]


@pytest.fixture
def take(store: Store) -> TakeOne:
    """Claim one job, with a lease that may be over at once."""

    def one(*, lease: float = LEASE) -> Claim:
        (claim,) = claims_of(claimed_by(store.strategy("single"), request(1, lease=lease)))
        return claim

    return one
