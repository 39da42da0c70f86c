"""Documents as the npm package @togedo/job-manager stores them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient

from .conftest import Jobs

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def document(id: Any, status: str = "queued", **fields: Any) -> dict[str, Any]:
    """Return one that is not begun."""
    return {
        "_id": id,
        "type": "mail",
        "data": {"to": str(id)},
        "priority": 0,
        "status": status,
        "createdAt": NOW,
        **fields,
    }


@pytest.fixture
def source(client: MongoClient[dict[str, Any]], database: str) -> Iterator[Jobs]:
    """A collection of the package, in a database of its own."""
    yield client[f"{database}_js"]["jobs"]
    client.drop_database(f"{database}_js")
