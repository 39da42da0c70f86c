"""What a stretch of work cost: commands of the driver, work of the server, CPU and switches of the process."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from statistics import quantiles
from typing import Any

import psutil
from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)


class CommandCounter(CommandListener):
    """Counts and times the commands of the clients it listens to. Threads: any; `_lock` guards all fields."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.commands: Counter[str] = Counter()
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing: what counts is the end."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Count it."""
        self._ended(event)

    def failed(self, event: CommandFailedEvent) -> None:
        """Count it: it cost a round trip as well."""
        self._ended(event)

    def _ended(self, event: CommandSucceededEvent | CommandFailedEvent) -> None:
        with self._lock:
            self.commands[event.command_name] += 1
            self.seconds[event.command_name].append(event.duration_micros / 1e6)

    def report(self) -> dict[str, Any]:
        """Return the counts as JSON can say them."""
        with self._lock:
            return {"commands": dict(self.commands), "total": self.commands.total()}


class ServerWork:
    """What a server did since this was made, by its own counters: of everybody who is there."""

    def __init__(self, client: MongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._began = self._look()
        self._oplog_from = self._oplog_end()

    def _look(self) -> dict[str, float]:
        status = self._client.admin.command("serverStatus")
        documents, executor = status["metrics"]["document"], status["metrics"]["queryExecutor"]
        counters = status["opcounters"]
        return {
            "examined documents": executor["scannedObjects"],
            "examined keys": executor["scanned"],
            "returned documents": documents["returned"],
            "written documents": documents["inserted"] + documents["updated"] + documents["deleted"],
            "commands": float(sum(value for value in counters.values() if isinstance(value, int))),
            "bytes in": float(status["network"]["bytesIn"]),
            "bytes out": float(status["network"]["bytesOut"]),
        }

    def _oplog_end(self) -> Timestamp | None:
        try:
            last = self._client.local["oplog.rs"].find_one(sort=[("$natural", -1)], projection={"ts": 1})
        except PyMongoError:  # not allowed to read it, or there is none
            return None
        return last["ts"] if last else None

    def done(self) -> dict[str, float]:
        """Return how much of everything there was until now."""
        now = self._look()
        work = {name: now[name] - before for name, before in self._began.items()}
        oplog = self.oplog_bytes()
        return work if oplog is None else {**work, "oplog bytes": oplog}

    def oplog_bytes(self) -> float | None:
        """Return the bytes written to the oplog meanwhile; None if it cannot be read."""
        if self._oplog_from is None:
            return None
        later = {"$match": {"ts": {"$gt": self._oplog_from}}}
        total = {"$group": {"_id": None, "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}}
        found = next(iter(self._client.local["oplog.rs"].aggregate([later, total])), None)
        return float(found["bytes"]) if found else 0.0


class OwnWork:
    """What this process spent since this was made."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._began = self._look()

    def _look(self) -> dict[str, float]:
        switches, cpu = self._process.num_ctx_switches(), self._process.cpu_times()
        return {
            "seconds": time.perf_counter(),
            "cpu seconds": cpu.user + cpu.system,
            "voluntary switches": switches.voluntary,
            "involuntary switches": switches.involuntary,
        }

    def done(self) -> dict[str, float]:
        """Return how much of everything there was until now."""
        return {name: value - self._began[name] for name, value in self._look().items()}


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p95 and p99."""
    if len(values) < 2:
        return dict.fromkeys(("p50", "p95", "p99"), values[0] if values else 0.0)
    cuts = quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}
