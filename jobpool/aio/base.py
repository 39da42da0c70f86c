"""What every part of an AsyncJobManager stands on: the store with the awaited face of the driver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ..manager.common import MIB, Common
from ..metrics import Buckets, Registry
from ..middleware import Middleware
from ..store.core import Core

if TYPE_CHECKING:
    from ..store.awaited import AsyncClient, Database


class Base(Common[Core]):
    """The state of a manager; its operations are in the classes derived from this one. See `AsyncJobManager`."""

    def __init__(
        self,
        database: str | Database,
        *,
        uri: str | None = None,
        client: AsyncClient | None = None,
        collection: str = "jobs",
        write_concern: str | int = "majority",
        timeout: float = 10.0,
        data_limit: int = MIB,
        registry: Registry | None = None,
        buckets: Buckets | None = None,
        tracer_provider: Any = None,
        middleware: Iterable[Middleware] = (),
        max_pending: Mapping[str, int] | None = None,
    ) -> None:
        from ..store.awaited import AWAITED  # says so if the driver is too old

        super().__init__(
            cast("Any", database),
            AWAITED,
            partial(Core, driver=AWAITED),
            uri=uri,
            client=cast("Any", client),
            collection=collection,
            write_concern=write_concern,
            timeout=timeout,
            data_limit=data_limit,
            registry=registry,
            buckets=buckets,
            tracer_provider=tracer_provider,
            middleware=middleware,
            max_pending=max_pending,
        )

    def __repr__(self) -> str:
        return f"<AsyncJobManager {self._store.name}>"
