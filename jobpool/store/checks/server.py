"""The server, this library, and those of the pools: do their versions fit?"""

from __future__ import annotations

import platform
from collections.abc import Sequence

import pymongo

from ...checkup import Finding
from ...errors import UnsupportedSchema, UnsupportedServer
from ...installed import version as installed
from ..documents import SCHEMA
from ..schema import check_schema
from ..server import OLDEST, Server
from ..settings import SUFFIX as SETTINGS
from .check import Check, Look, ok, problem, warning
from .words import living

_MONITOR = "clusterMonitor on the database admin"


async def version(look: Look) -> Sequence[Finding]:
    """Is the server new enough?"""
    build = await look.admin("buildInfo")
    facts = {
        "server": str(build.get("version")),
        "pymongo": pymongo.version,
        "jobpool": installed(),
        "python": platform.python_version(),
    }
    try:
        Server.of(look.hello)
    except UnsupportedServer:
        text = f"MongoDB {facts['server']} is too old: jobpool needs {OLDEST} or later"
        return [problem(text, "upgrade the server", **facts)]
    return [ok(f"MongoDB {facts['server']}, PyMongo {facts['pymongo']}, jobpool {facts['jobpool']}", **facts)]


async def compatibility(look: Look) -> Sequence[Finding]:
    """Does the server use what its version brings?"""
    answer = await look.admin("getParameter", 1, featureCompatibilityVersion=1)
    level = str(answer.get("featureCompatibilityVersion", {}).get("version"))
    served = ".".join(str((await look.admin("buildInfo")).get("version")).split(".")[:2])
    facts = {"feature_compatibility": level, "server": served}
    if level != served:
        return [
            warning(
                f"the server is a MongoDB {served} that behaves as {level}: its upgrade was not finished",
                f'when all runs well: db.adminCommand({{setFeatureCompatibilityVersion: "{served}"}}), '
                "from 7.0 on with confirm: true",
                **facts,
            )
        ]
    return [ok(f"the feature compatibility version is that of the server, {level}", **facts)]


async def storage(look: Look) -> Sequence[Finding]:
    """Is what is acknowledged on a disk?"""
    off = dict.fromkeys(("metrics", "locks", "wiredTiger", "repl", "tcmalloc", "network", "opcounters"), 0)
    engine = (await look.admin("serverStatus", 1, **off)).get("storageEngine", {})
    name, persistent = str(engine.get("name")), bool(engine.get("persistent", True))
    if not persistent:
        return [
            problem(
                f"the storage engine {name} keeps everything in memory: jobs are gone when the process ends",
                "run mongod with the storage engine wiredTiger",
                engine=name,
            )
        ]
    return [ok(f"the storage engine {name} keeps jobs on the disk", engine=name)]


async def schema(look: Look) -> Sequence[Finding]:
    """May this version work on the jobs?"""
    await look.beside(SETTINGS)  # who may not read it is not bound by it, and does not know
    try:
        await check_schema(look.connection)
    except UnsupportedSchema as error:
        text = str(error).partition(":")[0]
        return [
            problem(text, "upgrade jobpool here; nothing is created or claimed by this version", schema=SCHEMA)
        ]
    return [ok(f"no newer schema than {SCHEMA}, that of this jobpool, is required", schema=SCHEMA)]


async def pools(look: Look) -> Sequence[Finding]:
    """Are the pools of one version?"""
    here = installed()
    found = sorted({pool.version for pool in await living(look) if pool.version} | {here})
    if len(found) > 1:
        return [
            warning(
                f"pools and this command are of several versions of jobpool: {', '.join(found)}",
                "they work side by side while a deployment rolls; finish it",
                versions=found,
                here=here,
            )
        ]
    return [ok(f"no living pool says that it is of another version than {here}", versions=found, here=here)]


CHECKS = (
    Check("server.version", version),
    Check("server.compatibility", compatibility, _MONITOR),
    Check("server.storage", storage, _MONITOR),
    Check("versions.schema", schema, "find on .settings"),
    Check("versions.pools", pools, "find on .pools"),
)
