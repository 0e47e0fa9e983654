"""The statements that only the live stream needs: which credentials hold, what went away of late."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from cop.live.picture import Departure
from layers.database import driver
from layers.log import Head
from layers.model import FeatureId, LayerId


async def still_valid(connection: AsyncConnection, hashes: Collection[bytes]) -> set[bytes]:
    """Those of these credentials (SHA-256 of the secret) that are neither revoked nor expired."""
    rows = await (await driver(connection)).fetch(
        """
        SELECT hash FROM credential
        WHERE hash = ANY($1::bytea[]) AND revoked_at IS NULL AND expires_at > clock_timestamp()
        """,
        list(hashes),
    )
    return {row["hash"] for row in rows}


async def read_departures(
    connection: AsyncConnection, layer: LayerId, head: Head, *, back: int
) -> tuple[int, list[Departure]]:
    """What left *layer* in the *back* revisions up to *head*, ascending, and since when that is all.

    The log may reach less far back than was asked for.
    """
    raw = await driver(connection)
    first = await raw.fetchval("SELECT min(revision) FROM change WHERE layer_id = $1", layer)
    if first is None:
        return head.revision, []
    floor = max(first - 1, head.revision - back)
    rows = await raw.fetch(
        """
        SELECT revision, feature_id, why FROM change
        WHERE layer_id = $1 AND revision > $2 AND revision <= $3 AND op = 'gone'
        ORDER BY revision
        """,
        layer,
        floor,
        head.revision,
    )
    return floor, [Departure(FeatureId(row["feature_id"]), row["revision"], row["why"]) for row in rows]
