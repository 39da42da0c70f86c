"""The collection: is it one that jobs can live in?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...checkup import Finding
from ...job import State
from ...names import shown
from ..contact import elsewhere
from ..documents import Document
from .check import NO_COLLECTION, Check, Look, Skip, ok, problem, warning
from .words import present

#: Pending jobs that are held against a validator; each is read.
MOST_PENDING = 10_000
_LIST = "listCollections on the database (the role read)"


async def exists(look: Look) -> Sequence[Finding]:
    """Is it there?"""
    names = await look.connection.driver.call(
        look.jobs.database.list_collection_names, filter={"name": look.jobs.name}, authorizedCollections=True
    )
    name = shown(look.jobs.full_name)
    if names:
        return [ok(f"the collection {name} is there")]
    others = await elsewhere(look.connection)
    there = f"; there are jobs in {', '.join(map(shown, others[:5]))}" if others else ""
    return [
        problem(
            f"there is no collection {name}{there}",
            "name the right --database and --collection; if it is new, the first job or ensure_indexes() makes it",
            elsewhere=others[:5],
        )
    ]


async def kind(look: Look) -> Sequence[Finding]:
    """Is it a plain collection?"""
    found = await _found(look)
    options = found.get("options", {})
    if found.get("type", "collection") != "collection":
        return [_unfit(look, f"a {found['type']}", kind=found["type"])]
    if options.get("capped"):
        return [_unfit(look, "capped: MongoDB deletes the oldest jobs, finished or not", kind="capped")]
    if options.get("clusteredIndex"):
        return [
            warning(
                f"{shown(look.jobs.full_name)} is a clustered collection, on which jobpool was never tried",
                "move the jobs to a plain collection",
                kind="clustered",
            )
        ]
    return [ok("it is a plain collection", kind="collection")]


def _unfit(look: Look, what: str, **facts: Any) -> Finding:
    return problem(
        f"{shown(look.jobs.full_name)} is {what}",
        "keep the jobs in a plain collection, under another name",
        **facts,
    )


async def validator(look: Look) -> Sequence[Finding]:
    """Does something refuse jobs?"""
    options = (await _found(look)).get("options", {})
    action = options.get("validationAction", "error")
    facts = {"action": action, "level": options.get("validationLevel", "strict")}
    if not options.get("validator") or facts["level"] == "off":
        return [ok("no validator looks at what is written", action=None)]
    if action == "warn":
        return [ok("a validator looks at what is written, and refuses nothing", **facts)]
    pending: list[Document] = [{"$match": {"state": State.PENDING.value}}, {"$limit": MOST_PENDING}]
    if await look.aggregated([*pending, {"$match": {"$nor": [options["validator"]]}}, {"$limit": 1}]):
        text = "a validator refuses jobs as they are: some that are pending do not pass it, and cannot be claimed"
        return [problem(text, _no_validator(look), **facts)]
    text = (
        "a validator looks at all that is written: a field that it does not know stops jobs, now or at an upgrade"
    )
    return [warning(text, _no_validator(look), **facts)]


def _no_validator(look: Look) -> str:
    return f"take it away: db.runCommand({{collMod: {look.jobs.name!r}, validator: {{}}}})"


async def collation(look: Look) -> Sequence[Finding]:
    """Are ids and types compared byte by byte?"""
    found = (await present(look)).get("_id_", {}).get("collation")
    if found is None:
        return [ok("texts are compared byte by byte", locale=None)]
    facts = {"locale": found.get("locale"), "strength": found.get("strength")}
    alike = (
        "ids and types that differ in case or accents only are taken for one"
        if found.get("strength", 3) < 3
        else ""
    )
    return [
        warning(
            f"the collection has the collation {facts['locale']}: " + (alike or "its order is not that of bytes"),
            "move the jobs to a collection without a collation: it cannot be changed",
            **facts,
        )
    ]


async def sharding(look: Look) -> Sequence[Finding]:
    """If it is sharded, is an id still one of a kind?"""
    if look.hello.get("msg") != "isdbgrid":
        return [ok("it is not sharded", key=None)]
    places = look.connection.client["config"]["collections"]
    found = await look.find({"_id": look.jobs.full_name}, ("key",), limit=1, collection=places)
    key = found[0].get("key") if found else None
    return [judged(key)]


def judged(key: Document | None) -> Finding:
    """Return what a shard key means."""
    if key is None:
        return ok("it is not sharded", key=None)
    if list(key) != ["_id"]:
        text = f"it is sharded by {', '.join(key)}: two shards may have a job of one id, and both are run"
        return problem(text, "shard it by _id alone", key=dict(key))
    return ok("it is sharded by _id", key=dict(key))


async def _found(look: Look) -> Document:
    async def ask() -> Document:
        call, database = look.connection.driver.call, look.jobs.database
        cursor = await call(database.list_collections, filter={"name": look.jobs.name})
        found: list[Document] = await call(cursor.to_list)
        return dict(found[0]) if found else {}

    found = await look.once("collection", ask)
    if not found:
        raise Skip(*NO_COLLECTION)
    return found


CHECKS = (
    Check("collection.exists", exists),
    Check("collection.kind", kind, _LIST),
    Check("collection.validator", validator, _LIST),
    Check("collection.collation", collation),
    Check("collection.sharding", sharding, "find on config.collections"),
)
