"""The jobs as documents: too large, or such that no claim ever takes them.

A job whose type, `run_at` or priority is not of its kind is in no claim's
reach, and nobody is told. What no index shows is looked for in the whole
collection if that is small, else in a random part of it, which is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import OperationFailure

from ...checkup import Finding
from ...job import FINAL, State
from ...names import shown
from ..documents import SCHEMA, Document
from ..indexes import CLAIM_INDEX
from .check import NAMED, Check, Look, many, ok, problem, refused, warning
from .indexes import storage_stats
from .words import needed

#: Jobs and bytes up to which a collection is read whole: well below a second; if its size is not known, fewer.
WHOLE, WHOLE_BYTES, WHOLE_UNKNOWN = 100_000, 256 * 1024**2, 20_000
#: Jobs that are read of a larger one, from all over it; fewer, to the same bytes, if they are large.
SAMPLE, SAMPLE_UNKNOWN = 5_000, 1_000
#: Pending jobs whose keys are read: a million a second.
MOST_PENDING = 1_000_000
#: Bytes of a document: it grows by a result, ten errors and lines of its log; and MongoDB's own bound.
LARGE, LARGEST = 12 * 1024**2, 16 * 1024**2
_MIB = 1024**2

_HELD = [State.CLAIMED.value, State.RUNNING.value]
_FINAL = sorted(FINAL)


def _not(field: str, *kinds: str) -> Document:
    return {"$not": {"$in": [{"$type": f"${field}"}, list(kinds)]}}


_NUMBER = ("int", "long", "double", "decimal")
#: By name, the expression that is true of a job at fault, and what that means.
FAULTS: Mapping[str, tuple[Document, str]] = {
    "type": (_not("type", "string"), "with a type that is no text"),
    "state": (
        {"$not": {"$in": ["$state", [state.value for state in State]]}},
        "in a state that is not known here",
    ),
    "priority": (_not("priority", *_NUMBER), "with a priority that is no number"),
    "run_at": (_not("run_at", "date"), "with a run_at that is no date"),
    "created_at": (_not("created_at", "date"), "with a created_at that is no date"),
    "attempts": (_not("attempts", *_NUMBER), "with attempts that are no number"),
    "fence": (_not("fence", *_NUMBER), "with a fence that is no number"),
    "data": ({"$eq": [{"$type": "$data"}, "missing"]}, "without data"),
    "unheld": (
        {"$and": [{"$in": ["$state", _HELD]}, {"$or": [_not("lease_until", "date"), _not("claim", "string")]}]},
        "claimed or running without a lease or a claim: nobody takes them back",
    ),
    "finished_at": (
        {"$and": [{"$in": ["$state", _FINAL]}, _not("finished_at", "date")]},
        "ended at no time: no purge deletes them",
    ),
    "schema": ({"$and": [{"$isNumber": "$schema"}, {"$gt": ["$schema", SCHEMA]}]}, "of a newer schema"),
}


async def pending(look: Look) -> Sequence[Finding]:
    """Are there pending jobs that no claim can find?"""
    await needed(look, CLAIM_INDEX)  # by its keys alone
    keys = {"state": 1, "type": 1, "priority": 1, "run_at": 1}
    wrong = {name: FAULTS[name][0] for name in ("type", "priority", "run_at")}
    pipeline: list[Document] = [
        {"$match": {"state": State.PENDING.value}},
        {"$limit": MOST_PENDING},
        {"$project": keys},
        {"$match": {"$expr": {"$or": list(wrong.values())}}},
        {"$project": {"what": _names_of(wrong)}},
    ]
    counted = await look.aggregated([*pipeline, *_COUNTED], CLAIM_INDEX)
    found = [_malformed(look, item, stuck=True) for item in counted]
    return found or [ok(f"every pending job, of up to {MOST_PENDING:,}, can be found by claims")]


async def shape(look: Look) -> Sequence[Finding]:
    """Are jobs what they have to be?"""
    read, sampling = await _sampled(look)
    # What `pending` finds is its own to tell, whole collection or not.
    told = {
        "$and": [{"$eq": ["$state", State.PENDING.value]}, {"$in": ["$$this", ["type", "priority", "run_at"]]}]
    }
    names = {
        "$filter": {"input": _names_of({name: fault[0] for name, fault in FAULTS.items()}), "cond": {"$not": told}}
    }
    fields: Document = {"what": names, "ended": {"$in": ["$state", _FINAL]}}
    counted = await look.aggregated(
        [*sampling, {"$project": fields}, {"$match": {"what": {"$ne": []}}}, *_COUNTED]
    )
    of = {"read": read, "of": await _jobs(look), "whole": not sampling}
    found = [_malformed(look, item, stuck=not item["_id"].get("ended"), **of) for item in counted]
    return found or [ok(f"{_which(of)} as jobs have to be", **of)]


def _names_of(faults: Mapping[str, Document]) -> Document:
    """Return the expression of the names of the faults that a document has."""
    some = [{"$cond": [fault, [name], []]} for name, fault in faults.items()]
    return {"$concatArrays": some}


_COUNTED: list[Document] = [
    {"$unwind": "$what"},
    {"$group": {"_id": {"what": "$what", "ended": "$ended"}, "jobs": {"$sum": 1}, "example": {"$first": "$_id"}}},
    {"$sort": {"_id.what": 1, "_id.ended": 1}},
]


def _malformed(look: Look, item: Document, *, stuck: bool, **of: Any) -> Finding:
    what = item["_id"]["what"]
    facts = {"what": what, "count": item["jobs"], "example": item["example"], **of}
    sampled = "" if of.get("whole", True) else f", of {of['read']:,} that were read"
    text = f"{many(item['jobs'], 'job')}{sampled} {FAULTS[what][1]}, such as {shown(item['example'])}"
    if what == "schema":
        return warning(text, "upgrade jobpool here: a newer version has written them", **facts)
    name = look.jobs.full_name.partition(".")[2]
    remedy = (
        f"somebody else wrote them: look with db.getCollection({name!r}).findOne, and mend or delete them there"
    )
    if stuck:
        return problem(f"{text}: they stick" if what in ("type", "run_at", "priority") else text, remedy, **facts)
    return warning(f"{text}, and have ended", remedy, **facts)


async def size(look: Look) -> Sequence[Finding]:
    """Is a job about to outgrow MongoDB's documents?"""
    read, sampling = await _sampled(look)
    pipeline: list[Document] = [
        {"$project": {"size": {"$bsonSize": "$$ROOT"}}},
        {"$sort": {"size": -1}},
        {"$limit": NAMED},
    ]
    largest = await look.aggregated([*sampling, *pipeline])
    of = {"read": read, "of": await _jobs(look), "whole": not sampling}
    facts = {"largest": [{"id": job["_id"], "bytes": job["size"]} for job in largest], **of}
    large = [job for job in largest if job["size"] > LARGE]
    if large:
        worst = large[0]["size"]
        tell = problem if worst > LARGEST - _MIB else warning
        return [
            tell(
                f"{len(large)} jobs or more are larger than {LARGE // _MIB} MiB, the largest {worst / _MIB:.1f}: "
                "a result or an error that does not fit into 16 MiB with the data is not stored",
                "keep large data elsewhere and their place in the job; see JobManager(data_limit=)",
                **facts,
            )
        ]
    most = largest[0]["size"] if largest else 0
    return [ok(f"{_which(of)} well below 16 MiB; the largest has {most:,} bytes", **facts)]


async def _jobs(look: Look) -> int:
    call = look.connection.driver.call
    return await look.once("count", lambda: call(look.jobs.estimated_document_count))


async def _sampled(look: Look) -> tuple[int, list[Document]]:
    """Return how many jobs are read, and the stages that choose them."""
    jobs, size = await _jobs(look), await _bytes(look)
    if jobs <= WHOLE_UNKNOWN if size is None else jobs <= WHOLE and size <= WHOLE_BYTES:
        return jobs, []
    some = SAMPLE_UNKNOWN if size is None else max(100, min(SAMPLE, int(jobs * WHOLE_BYTES / max(size, 1))))
    return some, [{"$sample": {"size": some}}]


async def _bytes(look: Look) -> int | None:
    """Return the size of all jobs, if this user may know."""
    try:
        return int((await storage_stats(look)).get("size", 0))
    except OperationFailure as error:
        if not refused(error):
            raise
        return None


def _which(of: Mapping[str, Any]) -> str:
    return (
        f"all {of['read']:,} jobs are"
        if of["whole"]
        else f"{of['read']:,} of {of['of']:,} jobs were read, and are"
    )


CHECKS = (
    Check("documents.pending", pending),
    Check("documents.shape", shape),
    Check("documents.size", size),
)
