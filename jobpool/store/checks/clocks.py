"""The clocks: jobpool goes by MongoDB's, and each primary brings its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pymongo import ReadPreference
from pymongo.errors import PyMongoError

from ...checkup import Finding
from ...data import CODEC
from ...phrases import moment
from ..contact import MAX_OFFSET, this_machine
from ..indexes import LEASE_INDEX
from ..server import clock_offset
from .check import NAMED, Check, Look, Skip, few, many, ok, problem, warning
from .words import needed, place_of, pools_known

_NTP = "let NTP keep the clocks"
#: The longest lease that a pool may ask for is a day.
LONGEST_LEASE = timedelta(days=1, hours=1)
#: Seconds in which a secondary that is up has answered.
ANSWERED_WITHIN = 1.0
#: Times that each secondary is asked for on average: the driver picks who answers.
ASKED = 4


async def here(look: Look) -> Sequence[Finding]:
    """Does this machine have the time of the primary?"""
    facts = {"seconds_ahead": look.offset}
    if abs(look.offset) > MAX_OFFSET:
        ahead = "ahead of" if look.offset > 0 else "behind"
        return [
            warning(
                f"this machine's clock is {abs(look.offset):.0f} s {ahead} that of MongoDB: a run_at computed "
                f"here comes {'late' if look.offset > 0 else 'early'} by that",
                f"{_NTP}, or use delay=",
                **facts,
            )
        ]
    return [ok("this machine's clock agrees with MongoDB's", **facts)]


async def members(look: Look) -> Sequence[Finding]:
    """Do the others that may become primary have its time?"""
    if not look.replicated:
        raise Skip("it is no replica set", "see topology.kind")
    wanted = _others(look)
    offsets: dict[str, float] = {}
    for _ in range(ASKED * wanted if wanted > 0 else 0):
        if len(offsets) == wanted:
            break
        try:
            with look.connection.call("hello", timeout=min(ANSWERED_WITHIN, look.timeout), translated=False):
                host, offset = await _offset_of_one(look)
        except PyMongoError:  # topology.reachable tells of those who do not answer
            break
        offsets[host] = offset
    wrong = {host: offset for host, offset in offsets.items() if abs(offset) > MAX_OFFSET}
    facts = {"seconds_ahead": offsets, "asked": len(offsets), "members": wanted}
    if wrong:
        text = ", ".join(f"{host} by {offset:+.0f} s" for host, offset in sorted(wrong.items()))
        what = "at a failover, leases end too early or late by that"
        return [problem(f"the clocks of secondaries differ from the primary's: {text}; {what}", _NTP, **facts)]
    return [
        ok(f"the clocks of {len(offsets)} of {many(wanted, 'other member')} agree with the primary's", **facts)
    ]


def _others(look: Look) -> int:
    """Return how many members hold data beside the primary, hidden ones aside."""
    return len(look.hello.get("hosts", [])) + len(look.hello.get("passives", [])) - 1


async def _offset_of_one(look: Look) -> tuple[str, float]:
    """Return who of the secondaries answered, and by how much its clock is ahead of the primary's at least."""
    command = look.connection.client.admin.command
    before = this_machine()
    call = look.connection.driver.call
    answer = await call(command, "hello", codec_options=CODEC, read_preference=ReadPreference.SECONDARY)
    against_here = clock_offset(answer["localTime"], before, this_machine())
    return str(answer.get("me")), look.offset - against_here


async def leases(look: Look) -> Sequence[Finding]:
    """Does any lease last longer than leases do, as if a clock was set back since?"""
    await needed(look, LEASE_INDEX)
    limit = look.now + LONGEST_LEASE
    found = await look.find({"lease_until": {"$gt": limit}}, ("lease_until",), hint=LEASE_INDEX, limit=1000)
    if found:
        last = max(job["lease_until"] for job in found)
        return [
            problem(
                f"{many(len(found), 'job')} held until {moment(last)}, longer than a lease can be: a clock was "
                "set back, or somebody wrote them; if their pools are gone nobody runs them before",
                "when no pool runs them, set their lease_until to now in mongosh: pools take them back",
                jobs=[job["_id"] for job in found[:NAMED]],
                count=len(found),
            )
        ]
    return [ok("no lease lasts longer than leases do")]


async def pools(look: Look) -> Sequence[Finding]:
    """Has any pool spoken in the future?"""
    late = look.now + timedelta(seconds=MAX_OFFSET)
    found = [pool for pool in await pools_known(look) if pool.seen_at is not None and pool.seen_at > late]
    told = [
        warning(
            f"pool {place_of(pool)} spoke last at {moment(pool.seen_at)}, which is still to come: MongoDB's clock "
            "was set back, and it counts as alive for that much longer",
            f"{_NTP}; if the pool is gone, delete its document in .pools",
            pool=pool.id,
            seen_at=pool.seen_at,
        )
        for pool in found
    ]
    return few(told, "pool") or [ok("no pool has spoken in the future")]


CHECKS = (
    Check("clocks.here", here),
    Check("clocks.members", members),
    Check("clocks.leases", leases),
    Check("clocks.pools", pools, "find on .pools"),
)
