"""``python -m benchmarks NAME``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pymongo

from jobpool.embedded import EmbeddedMongo
from jobpool.store.connection import redact_uri

#: Each is a module here with `run(uri, quick) -> dict` and `show(results)`.
BENCHMARKS = ("throughput",)


def main() -> int:
    """Run one benchmark and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work: shows that it runs, not how fast"
    )
    parser.add_argument("--uri", default=os.environ.get("JOBPOOL_URI"), help="default: an embedded server")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE as well")
    args = parser.parse_args()
    benchmark = import_module(f"benchmarks.{args.name}")
    with ExitStack() as stack:
        uri = args.uri or stack.enter_context(EmbeddedMongo()).uri
        setting = describe(uri)
        print(", ".join(f"{name} {value}" for name, value in setting.items()))
        results = benchmark.run(uri, args.quick)
    benchmark.show(results)
    if args.json is not None:
        args.json.write_text(json.dumps({"setting": setting, "quick": args.quick, **results}, indent=1))
    return 0


def describe(uri: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        hello = client.admin.command("hello")
        return {
            "server": redact_uri(uri),
            "MongoDB": client.server_info()["version"],
            "topology": f"replica set of {len(hello['hosts'])}" if "setName" in hello else "standalone",
            "write concern": "majority, journaled",
            "PyMongo": pymongo.version,
            "Python": platform.python_version(),
            "cores": os.cpu_count(),
        }


sys.exit(main())
