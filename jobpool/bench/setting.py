"""What the figures depend on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from ..store.uris import redact_uri


def describe(client: pymongo.MongoClient[dict[str, Any]], uri: str) -> dict[str, Any]:
    """Return server, topology, versions and machine; all of it goes into the results."""
    hello = client.admin.command("hello")
    return {
        "server": redact_uri(uri),
        "MongoDB": client.server_info()["version"],
        "topology": _topology(hello),
        "write concern": "majority, journaled",
        "jobpool": version("jobpool"),
        "PyMongo": pymongo.version,
        "Python": platform.python_version(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": platform.system(),
        "server default write concern": _default_write_concern(client),
    }


def _topology(hello: dict[str, Any]) -> str:
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    return f"replica set of {len(hello['hosts'])}" if "setName" in hello else "standalone"


def _default_write_concern(client: pymongo.MongoClient[dict[str, Any]]) -> str:
    """Return what the server would do if jobpool did not pin it."""
    try:
        return str(client.admin.command("getDefaultRWConcern").get("defaultWriteConcern", "unset"))
    except PyMongoError:
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
