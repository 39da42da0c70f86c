"""What the jobs are on: would they survive the loss of a machine, and go on being run meanwhile?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import OperationFailure

from ...checkup import Finding
from ...names import listed
from ..documents import Document
from .check import Check, Look, Skip, many, ok, problem, refused, warning
from .votes import ARBITER, ON_ITS_WAY, PRIMARY, SECONDARY, Ballot

_MONITOR = "clusterMonitor on the database admin"
#: Seconds. What the primary knows of others is some seconds old, and an idle primary writes every ten.
MAX_LAG = 30.0
#: Seconds in which a member that can be reached has answered.
REACHED_WITHIN = 2.0


async def kind(look: Look) -> Sequence[Finding]:
    """Is it a replica set?"""
    if look.hello.get("msg") == "isdbgrid":
        return [
            warning(
                "it is a sharded cluster, where jobpool was never tried; most checks say nothing of its shards",
                "keep the jobs in a database that is not sharded; ask each shard by itself",
                kind="sharded",
            )
        ]
    if not look.replicated:
        return [
            warning(
                "it is a standalone server: jobs are found by polling only, there are no transactions, a schedule "
                "may make a job twice, and what is acknowledged is on one disk",
                "start mongod with --replSet; one member is enough for all but the disk",
                kind="standalone",
            )
        ]
    name, members = look.hello["setName"], len(Ballot.of_hello(look.hello).members)
    return [
        ok(
            f"it is the replica set {name} of {many(members, 'member')}",
            kind="replica set",
            name=name,
            members=members,
        )
    ]


async def members(look: Look) -> Sequence[Finding]:
    """Are all members up?"""
    status = await _status(look)
    found: list[Finding] = []
    for member in status["members"]:
        host, state, name = member["name"], member.get("state"), member.get("stateStr", "?")
        facts = {"member": host, "state": name, "health": member.get("health")}
        if _down(member):
            why = f": {member['lastHeartbeatMessage']:.150}" if member.get("lastHeartbeatMessage") else ""
            remedy = "start it, or see to the network; each further loss may stop all claims"
            found.append(problem(f"member {host} is {name}{why}", remedy, **facts))
        elif state in ON_ITS_WAY:
            found.append(
                warning(
                    f"member {host} is {name}: it holds no place of another yet",
                    "wait, or look at its log",
                    **facts,
                )
            )
    return found or [
        ok(f"{many(len(status['members']), 'member')}, and all are up", members=len(status["members"]))
    ]


async def reachable(look: Look) -> Sequence[Finding]:
    """Can this machine reach each member that may become primary?"""
    _replicated(look)
    if described(look).topology_type_name == "Single":
        return [_direct(look.hello)]
    until = time.monotonic() + min(REACHED_WITHIN, look.timeout / 2)
    down = await _known_down(look)
    while True:
        servers = described(look).server_descriptions().values()
        unknown = {f"{one.address[0]}:{one.address[1]}" for one in servers if one.server_type_name == "Unknown"}
        silent = sorted(unknown - down)  # of those that are down topology.members tells
        if not silent or time.monotonic() > until:
            break
        await look.connection.driver.pause(0.05)
    if silent:
        return [
            warning(
                f"this machine cannot reach {listed(silent)}: if it is elected, nothing works here",
                "see to names, routes and firewalls between this machine and each member",
                members=silent,
            )
        ]
    return [ok("this machine reaches each member that it has to", members=len(servers))]


def _direct(hello: Document) -> Finding:
    """Return what it means that all goes to one member, whichever it is."""
    if hello.get("isWritablePrimary"):
        return ok("this client was told to speak to one member only", direct=True)
    primary = hello.get("primary")
    return problem(
        "this client was told to speak to one member only, and that is not the primary: by this URI nothing is "
        "created or claimed, and what is read may be late",
        f"leave directConnection=true out of the URI, and name replicaSet={hello.get('setName')}",
        direct=True,
        primary=primary,
    )


async def majority(look: Look) -> Sequence[Finding]:
    """Can writes be acknowledged, also with one member down?"""
    _replicated(look)
    try:
        config = (await look.admin("replSetGetConfig"))["config"]
        ballot, source = Ballot.of_config(config, await _known_down(look)), "its configuration"
    except OperationFailure as error:
        if not refused(error):
            raise
        ballot, source = Ballot.of_hello(look.hello), "what it tells anybody (hidden members are not seen)"
    return [judged(ballot, source)]


def judged(ballot: Ballot, source: str) -> Finding:
    """Return what it means who votes and who holds data."""
    voters, arbiters, needed = len(ballot.voters), len(ballot.arbiters), ballot.needed
    holding = voters - arbiters
    facts = {
        "source": source,
        "voting": voters,
        "voting_with_data": holding,
        "arbiters": arbiters,
        "needed": needed,
        "vital": [member.host for member in ballot.vital],
    }
    if not ballot.works():
        away = [member.host for member in ballot.voters if member.holds and (not member.up or member.late)]
        return problem(
            f"no write is acknowledged: that takes {needed} members with data, and {listed(away)} is down "
            "or late; jobs are neither created, claimed nor finished",
            "bring that member back; if it is lost, take its vote away (rs.reconfig, votes: 0)",
            **facts,
        )
    if voters == 1:
        return warning(
            "there is one member: what is acknowledged survives a crash, not the loss of the disk, and no job "
            "runs while the server is down",
            "add two members with data (rs.add)",
            **facts,
        )
    if ballot.vital:
        why = f" as {arbiters} of {voters} voting members hold no data" if arbiters else ""
        return warning(
            f"with {'one of ' if len(ballot.vital) > 1 else ''}{listed([member.host for member in ballot.vital])} "
            f"down no write is acknowledged{why}: jobs "
            "are then neither created, claimed nor finished",
            "put a member with data in the place of the arbiter" if arbiters else "add a third member with data",
            **facts,
        )
    if voters % 2 == 0:
        return warning(
            f"{voters} members vote: an even number bears no more losses than one less",
            "add one, or take a vote away (rs.reconfig, votes: 0 and priority: 0)",
            **facts,
        )
    return ok(f"writes need {needed} of {holding} members with data: each may be down for itself", **facts)


async def write_concern(look: Look) -> Sequence[Finding]:
    """What holds for commits of users' own transactions, and for a majority's journal?"""
    _replicated(look)
    defaults = await look.admin("getDefaultRWConcern")
    asked = (defaults.get("defaultWriteConcern") or {}).get("w", 1)
    found: list[Finding] = []
    if asked != "majority":
        found.append(
            warning(
                f"the write concern by default is w: {asked}. jobpool asks for a majority itself; but a job of a "
                "transaction of yours (session=) is lost with the primary if its commit does not ask for more",
                "use w=majority in the URI of your client, or db.adminCommand({setDefaultRWConcern: 1, "
                'defaultWriteConcern: {w: "majority"}})',
                default=asked,
            )
        )
    config = (await look.admin("replSetGetConfig"))["config"]
    if config.get("writeConcernMajorityJournalDefault") is False:
        found.append(
            warning(
                "writeConcernMajorityJournalDefault is off: what a majority has may be in memory only, and a "
                "power cut takes back what pools have read",
                "set it to true with rs.reconfig",
                journaled=False,
            )
        )
    return found or [
        ok("what is committed by default is on the disks of a majority", default=asked, journaled=True)
    ]


async def lag(look: Look) -> Sequence[Finding]:
    """Do the others follow the primary?"""
    status = await _status(look)
    times = {member["name"]: member for member in status["members"] if not _down(member)}
    applied_at = [at for member in times.values() if (at := _instant(member, "optimeDate"))]
    first = max(applied_at, default=look.now)
    behind = {
        host: (first - at).total_seconds()
        for host, member in times.items()
        if member.get("state") == SECONDARY and (at := _instant(member, "optimeDate"))
    }
    optimes = status.get("optimes", {})
    applied, committed = _instant(optimes, "lastAppliedWallTime"), _instant(optimes, "lastCommittedWallTime")
    waits = max(0.0, (applied - committed).total_seconds()) if applied and committed else 0.0
    config = (await look.admin("replSetGetConfig"))["config"]
    meant = {member.host: member.late for member in Ballot.of_config(config).members}
    late = {host: seconds for host, seconds in behind.items() if seconds > MAX_LAG + meant.get(host, 0)}
    facts = {"seconds_behind": behind, "majority_seconds_behind": waits}
    if waits > MAX_LAG:
        remedy = "look at the disks and the network of the secondaries; claims and ends of jobs wait for them"
        return [problem(f"a majority is {waits:.0f} s behind the primary", remedy, **facts)]
    if late:
        text = ", ".join(f"{host} {seconds:.0f} s" for host, seconds in sorted(late.items()))
        remedy = "look at their disks, load and network"
        return [warning(f"secondaries are behind: {text}", remedy, **facts)]
    return [ok(f"nobody is more than {MAX_LAG:.0f} s behind the primary", **facts)]


def described(look: Look) -> Any:
    """Return what the driver knows of the members."""
    return look.connection.client.topology_description


def _replicated(look: Look) -> None:
    if not look.replicated:
        raise Skip("it is no replica set", "see topology.kind")


async def _status(look: Look) -> Document:
    _replicated(look)
    return await look.admin("replSetGetStatus")


async def _known_down(look: Look) -> frozenset[str]:
    """Return the members that are down or not ready, as far as this user may know."""
    try:
        status = await _status(look)
    except OperationFailure:
        return frozenset()
    ready = (PRIMARY, SECONDARY, ARBITER)
    return frozenset(
        member["name"] for member in status["members"] if _down(member) or member["state"] not in ready
    )


def _down(member: Document) -> bool:
    return not member.get("health") or member.get("state") in (6, 8, 10)  # UNKNOWN, DOWN, REMOVED


def _instant(found: Document, field: str) -> datetime | None:
    """Return an instant of an answer, which comes without its zone from some clients."""
    at = found.get(field)
    if not isinstance(at, datetime):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


CHECKS = (
    Check("topology.kind", kind),
    Check("topology.members", members, _MONITOR),
    Check("topology.reachable", reachable),
    Check("topology.majority", majority),
    Check("topology.write_concern", write_concern, _MONITOR),
    Check("topology.lag", lag, _MONITOR),
)
