"""What jobpool makes of the indexes it finds."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pymongo import ASCENDING, DESCENDING

from jobpool.errors import IndexMismatch
from jobpool.store.indexes import CLAIM_KEYS, INDEXES

from ..conftest import Jobs, MakeManager

OURS = {model.document["name"]: model.document for model in INDEXES}
EXPIRE = {"partialFilterExpression": {"expire_at": {"$exists": True}}, "expireAfterSeconds": 0}
DROP = re.compile(r'db\.getCollection\("jobs"\)\.dropIndex\("(\w+)"\)')


def follow(jobs: Jobs, advice: str) -> None:
    """Do what the message says."""
    found = DROP.search(advice)
    assert found, advice
    jobs.drop_index(found[1])


@pytest.mark.parametrize(
    ("name", "keys", "options", "what"),
    [
        ("jobpool_claim", "x", {}, "keys"),
        ("jobpool_claim", [*CLAIM_KEYS[:2], ("priority", ASCENDING), *CLAIM_KEYS[3:]], {}, "keys"),
        ("jobpool_claim", CLAIM_KEYS, {}, "partialFilterExpression"),
        (
            "jobpool_claim",
            CLAIM_KEYS,
            {"partialFilterExpression": {"state": "failed"}},
            "partialFilterExpression",
        ),
        (
            "jobpool_claim",
            CLAIM_KEYS,
            {"partialFilterExpression": {"state": "pending"}, "unique": True},
            "unique",
        ),
        (
            "jobpool_claim",
            CLAIM_KEYS,
            {"partialFilterExpression": {"state": "pending"}, "collation": {"locale": "en", "strength": 2}},
            "collation",
        ),
        (
            "jobpool_claim",
            CLAIM_KEYS,
            {"partialFilterExpression": {"state": "pending"}, "hidden": True},
            "hidden",
        ),
        ("jobpool_lease", "lease_until", {"sparse": True}, "partialFilterExpression"),
        ("jobpool_expire", "expire_at", {**EXPIRE, "expireAfterSeconds": 60}, "expireAfterSeconds"),
        ("jobpool_failed", [("type", ASCENDING), ("finished_at", ASCENDING)], {}, "keys"),
    ],
)
def test_an_index_of_ours_that_is_another_is_reported_with_the_remedy(
    make_manager: MakeManager, jobs: Jobs, name: str, keys: Any, options: dict[str, Any], what: str
) -> None:
    jobs.create_index(keys, name=name, **options)
    before = jobs.index_information()
    manager = make_manager()
    with pytest.raises(
        IndexMismatch, match=rf"^index {name} of \S+\.jobs has {what}: .* where jobpool needs"
    ) as e:
        manager.create("a")
    assert jobs.index_information() == before, "nothing is dropped, nothing half made"
    assert jobs.count_documents({}) == 0
    follow(jobs, str(e.value))
    assert manager.create("a").created
    assert set(OURS) <= set(jobs.index_information())


@pytest.mark.parametrize("name", OURS)
def test_an_index_of_another_name_in_the_place_of_ours_is_reported_with_the_remedy(
    make_manager: MakeManager, jobs: Jobs, name: str
) -> None:
    options = {key: value for key, value in OURS[name].items() if key not in ("name", "key")}
    jobs.create_index(list(OURS[name]["key"].items()), name="theirs", **options)
    manager = make_manager()
    with pytest.raises(IndexMismatch, match=rf"^index theirs of \S+\.jobs takes the place of {name}: ") as caught:
        manager.create("a")
    assert "theirs" in jobs.index_information()
    follow(jobs, str(caught.value))
    assert manager.create("a").created


def test_indexes_of_others_are_no_matter(make_manager: MakeManager, jobs: Jobs) -> None:
    jobs.create_index([("type", ASCENDING), ("finished_at", DESCENDING)], name="all types")
    jobs.create_index(CLAIM_KEYS, name="unfiltered")
    assert make_manager().create("a").created


def test_a_collation_of_the_collection_is_that_of_its_indexes(make_manager: MakeManager, jobs: Jobs) -> None:
    jobs.database.create_collection("jobs", collation={"locale": "en"})
    manager = make_manager(executors={"a": lambda data: data})
    assert manager.ensure_indexes() == []
    assert jobs.index_information()["jobpool_claim"]["collation"]["locale"] == "en"
    manager.create("a", 1)
    with make_manager(executors={"a": lambda data: data}) as second:  # looks at what the first one made
        done = second.run()
        assert done is not None
        assert done.result == 1


def test_what_the_message_tells_stays_short(make_manager: MakeManager, jobs: Jobs) -> None:
    filters: dict[str, Any] = {"partialFilterExpression": {"state": {"$in": [f"state {n}" for n in range(500)]}}}
    jobs.create_index(CLAIM_KEYS, name="jobpool_claim", **filters)
    with pytest.raises(IndexMismatch) as caught:
        make_manager().create("a")
    assert len(str(caught.value)) < 1000
