"""The cluster view as JSON, for autoscalers: what was counted last, and how many pools would do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from ..backlog import STATES, TARGET, Backlog, TypeBacklog, View, merged
from ..errors import JobpoolError
from ..names import shown
from .routes import JSON, TEXT, Answer, Asked, Route

#: What may be asked besides `type`, which may come several times.
_NUMBERS: dict[str, Callable[[str], float]] = {"target": float, "threads": int, "minimum": int, "maximum": int}
_KNOWN = ("type", *_NUMBERS)


def backlog_route(view: Callable[[], View | None], none: str) -> Route:
    """Return what answers ``/backlog``. It asks nobody: what was counted last is shown, with its age.

    Args:
        view: Returns the last count, None before the first.
        none: Why there is no count, for a 503.
    """

    def answer(asked: Asked) -> Answer:
        seen = view()
        if seen is None:
            return 503, TEXT, f"{none}\n".encode()
        try:
            wanted = _wanted(asked.query)
            body = _body(seen.backlog, time.monotonic() - seen.counted, **wanted)
        except (JobpoolError, ValueError) as error:
            return 400, TEXT, f"{error}\n".encode()
        return 200, JSON, json.dumps(body).encode()

    return answer


def _wanted(query: str) -> dict[str, Any]:
    """Return the arguments that a query spells out; raise `ValueError` for what cannot be meant."""
    asked = parse_qs(query, keep_blank_values=True, max_num_fields=200)
    for name, values in asked.items():
        if name not in _KNOWN:
            raise ValueError(f"there is no {shown(name)} to ask for; known: {', '.join(_KNOWN)}")
        if name != "type" and len(values) > 1:
            raise ValueError(f"{name} is there {len(values)} times")
    wanted: dict[str, Any] = {"types": tuple(dict.fromkeys(asked.get("type", ())))}
    for name, convert in _NUMBERS.items():
        if name in asked:
            try:
                wanted[name] = convert(asked[name][0])
            except ValueError:
                raise ValueError(f"{name} must be a number, not {shown(asked[name][0])}") from None
    return wanted


def _body(
    backlog: Backlog, age: float, *, types: tuple[str, ...], target: float = TARGET, **bounds: Any
) -> dict[str, Any]:
    chosen = {type: backlog.of(type) for type in types or backlog.types}
    return {
        **_numbers(merged(chosen.values())),
        "suggested_pools": backlog.suggested_pools(*types, target=target, **bounds),
        "target_seconds": target,
        **_pools(backlog, types),
        "counted_at": backlog.at.isoformat(),
        "age_seconds": round(age, 3),
        "types": {
            type: {
                **_numbers(part),
                "suggested_pools": backlog.suggested_pools(type, target=target, **bounds),
                **_pools(backlog, (type,)),
            }
            for type, part in chosen.items()
        },
    }


def _pools(backlog: Backlog, types: tuple[str, ...]) -> dict[str, int]:
    pools = backlog.pools_of(types)
    return {"pools_alive": len(pools), "threads_alive": sum(pool.threads for pool in pools)}


def _numbers(part: TypeBacklog) -> dict[str, Any]:
    return {
        **{state: getattr(part, state) for state in STATES},
        "oldest_due_age_seconds": round(part.oldest_due_age, 3),
        "throughput_per_second": round(part.throughput, 3),
        "run_seconds": None if part.run_seconds is None else round(part.run_seconds, 6),
        "paused": part.paused,
    }
