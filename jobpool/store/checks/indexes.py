"""The indexes: are ours there and as they must be, and what do others cost or endanger?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...checkup import Finding
from ...job import FINAL
from ...names import listed, shown
from ..documents import Document
from ..indexes import INDEXES, LIMIT_INDEXES, described, difference_of, drop_advice
from .check import NO_COLLECTION, Check, Look, Skip, ok, problem, warning
from .words import living, present

_OURS = {model.document["name"]: model.document for model in (*INDEXES, *LIMIT_INDEXES)}
_STATS = "collStats on the jobs (the role read)"
_MAKE = "JobManager(...).ensure_indexes()"


async def required(look: Look) -> Sequence[Finding]:
    """Are those of every deployment there?"""
    names = [model.document["name"] for model in INDEXES]
    found = [finding for name in names for finding in await _fault(look, name, f"run {_MAKE} once")]
    return found or [ok(f"all {len(names)} indexes are there, built and as they must be", indexes=names)]


async def limits(look: Look) -> Sequence[Finding]:
    """Are those that keys and limits need there, if there are any?"""
    names = [model.document["name"] for model in LIMIT_INDEXES]
    wanted = sorted({type for pool in await living(look) for type in pool.limits})
    wanted += [type for type in look.executors if look.executors.gate(type) and type not in wanted]
    there = await present(look)
    if not wanted and not any(name in there for name in names):
        return [ok("no pool says that a type has keys or limits, and their indexes are not there")]
    remedy = f"run {_MAKE[:-1]}limits=True) once"
    found = [finding for name in names for finding in await _fault(look, name, remedy, needed=bool(wanted))]
    if not found and not wanted:
        return [ok("the indexes of limits are there; no living pool says that a type has any", indexes=names)]
    return found or [ok("the indexes that keys and limits need are there and as they must be", indexes=names)]


async def _fault(look: Look, name: str, remedy: str, *, needed: bool = True) -> list[Finding]:
    """Return what is wrong with an index of ours."""
    there, wanted = await present(look), described(_OURS[name])
    collation = there.get("_id_", {}).get("collation")  # every index takes the collection's
    facts: dict[str, Any] = {"index": name}
    if name not in there:
        return [problem(f"the index {name} is missing", remedy, **facts)] if needed else []
    if difference := difference_of(
        described(there[name]), wanted | ({"collation": collation} if collation else {})
    ):
        return [problem(f"the index {name} has {difference}", drop_advice(look.jobs, name), **facts)]
    if "buildUUID" in there[name]:
        return [problem(f"the index {name} is being built: no claim can use it yet", "wait for it", **facts)]
    return []


async def others(look: Look) -> Sequence[Finding]:
    """What do indexes of others do to the jobs?"""
    foreign = {name: item for name, item in (await present(look)).items() if name not in _OURS and name != "_id_"}
    found = [_judged(look, name, item) for name, item in foreign.items()]
    return found or [ok("there are no other indexes on the jobs")]


def _judged(look: Look, name: str, item: Document) -> Finding:
    keys, called = dict(item["key"]), shown(name, 60)
    facts = {"index": name, "keys": keys}
    drop = f"if nobody needs it: {drop_advice(look.jobs, name).partition(', and jobpool')[0]}"
    if "expireAfterSeconds" in item:
        return _expiring(name, item)
    if item.get("unique"):
        return problem(
            f"the index {called} on {listed(list(keys))} is unique: it refuses jobs that agree in it",
            drop,
            unique=True,
            **facts,
        )
    twins = [ours for ours, model in _OURS.items() if list(model["key"].items()) == list(item["key"].items())]
    if twins:
        text = f"the index {called} has the keys of {twins[0]}: every write to a job pays for both"
        return warning(text, drop, twin=twins[0], **facts)
    text = f"the index {called} on {listed(list(keys))} is not jobpool's: all that is written to jobs pays for it"
    return warning(
        text, f"{drop}; if somebody does, a partialFilterExpression on final states costs least", **facts
    )


def _expiring(name: str, item: Document) -> Finding:
    keys, called = list(item["key"]), shown(name, 60)
    facts = {"index": name, "keys": dict(item["key"]), "seconds": item["expireAfterSeconds"]}
    state = item.get("partialFilterExpression", {}).get("state")
    states = state.get("$in", [state.get("$eq")]) if isinstance(state, dict) else [state]
    use = "let executors say how long jobs are kept (keep_succeeded and so on), and drop it"
    if set(states) <= {one.value for one in FINAL} or keys == ["finished_at"]:
        text = f"the index {called} has MongoDB delete ended jobs by {keys[0]}, also those that others wait for"
        return warning(text, use, **facts)
    return problem(
        f"the index {called} has MongoDB delete jobs by {keys[0]}, also those that have not ended", use, **facts
    )


async def sizes(look: Look) -> Sequence[Finding]:
    """How large are jobs and indexes?"""
    stats = await storage_stats(look)
    facts = {
        "jobs": stats.get("count", 0),
        "bytes": stats.get("size", 0),
        "on_disk": stats.get("storageSize", 0),
        "indexes": dict(stats.get("indexSizes", {})),
    }
    total = sum(facts["indexes"].values())
    return [ok(f"{facts['jobs']:,} jobs of {_mib(facts['bytes'])}, indexes of {_mib(total)}", **facts)]


async def storage_stats(look: Look) -> Document:
    """Return what the server has counted of the collection."""
    fields = dict.fromkeys(("count", "size", "storageSize", "indexSizes"), 1)
    pipeline: list[Document] = [{"$collStats": {"storageStats": {}}}, {"$project": {"storageStats": fields}}]

    async def ask() -> Document:
        found = await look.aggregated(pipeline)
        if not found:
            raise Skip(*NO_COLLECTION)
        return dict(found[0]["storageStats"])

    return await look.once("storage", ask)


def _mib(size: float) -> str:
    return f"{size / 1024**2:,.1f} MiB"


CHECKS = (
    Check("indexes.required", required),
    Check("indexes.limits", limits, "listIndexes on the jobs and find on .pools"),
    Check("indexes.others", others),
    Check("indexes.sizes", sizes, _STATS),
)
