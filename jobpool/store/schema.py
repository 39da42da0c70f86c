"""The version of what is stored, and what a change of it may do to others that are not changed yet.

Versions of jobpool run side by side on one collection while a deployment
rolls. Two rules make that safe, whatever is added:

* What an older version can leave alone keeps the number: a field that it does
  not know it neither needs nor drops (its updates name the fields they set), a
  state that is not ``pending`` it never claims, an index that it does not
  know it never drops.
* What an older version would get wrong raises `SCHEMA`, and is not written
  before that number is required of everybody. From then on whoever has a lower
  one refuses to create and to claim.

The requirement, ``{_id: "schema", required: 2}``, is one small document in the collection beside the jobs.
It is looked at with the indexes: at the first contact and once a minute. No
claim and no create reads it.
"""

from __future__ import annotations

from ..errors import UnsupportedSchema
from ..names import shown
from .connection import Connection
from .documents import SCHEMA
from .settings import setting_of

#: The document of the requirement: the number is in `required`.
_REQUIREMENT = {"_id": "schema"}


async def check_schema(connection: Connection) -> None:
    """Go on if this version may work on the jobs here.

    Raises:
        UnsupportedSchema: They need a newer one. Nothing was written.
        StoreUnavailable: Nobody answered in time. Nothing was written.
    """
    with connection.call("find", what="reading which schema is required"):
        required = await required_schema(connection)
    if required is not None and required > SCHEMA:
        name = shown(connection.jobs.full_name)
        refused = UnsupportedSchema(
            f"the jobs of {name} need a jobpool that stores schema {required}, and this one stores {SCHEMA}: "
            "upgrade jobpool here; nothing was written"
        )
        refused.reason = " ".join(str(refused).split())
        raise refused


async def required_schema(connection: Connection) -> int | None:
    """Return which schema the jobs here need, None if any will do; call it within `connection.call`."""
    required = (await setting_of(connection, _REQUIREMENT) or {}).get("required")
    if isinstance(required, float) and required.is_integer():  # some shells store every number so
        required = int(required)
    return required if isinstance(required, int) else None
