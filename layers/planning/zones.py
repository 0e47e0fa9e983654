"""Reads the areas of a layer as zones that an analysis tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import Invalid, NotFound, TooLarge
from layers.model import Layer
from layers.planning.judging import name_of
from layers.planning.model import Zone

MAX_ZONES = 1_000
MAX_ZONE_BYTES = 32_000_000
"""Their shapes, as text."""

ZONES = """
SELECT id, properties::text AS properties, ST_AsGeoJSON(geometry, 7, 0) AS shape,
       coalesce(ST_GeometryType(geometry) IN ('ST_Polygon', 'ST_MultiPolygon'), false) AS areal
FROM feature
WHERE layer_id = $1 AND (expires_at IS NULL OR expires_at > now())
  AND ($2::text[] IS NULL AND ST_GeometryType(geometry) IN ('ST_Polygon', 'ST_MultiPolygon') OR id = ANY($2))
ORDER BY id
LIMIT $3
"""


async def read_zones(connection: AsyncConnection, layer: Layer, ids: Sequence[str] | None) -> list[Zone]:
    """The features of *layer* that are areas, by id; only those of *ids*, if there are any.

    Raises `NotFound` for an id that is not there, `Invalid` (`coverage.zones`) for one that is no area or for a layer
    without any, and `TooLarge` (`coverage.too_many_zones`).
    """
    rows = await (await driver(connection)).fetch(
        ZONES, layer.id, None if ids is None else list(ids), MAX_ZONES + 1
    )
    if len(rows) > MAX_ZONES or sum(len(row["shape"] or "") for row in rows) > MAX_ZONE_BYTES:
        detail = (
            f"{layer.name} has more than {MAX_ZONES:,} areas, or {MAX_ZONE_BYTES:,} bytes: name some by ids."
        )
        raise TooLarge(detail, pointer="/zones", code="coverage.too_many_zones")
    by_id = {row["id"]: row for row in rows}
    for at, id in enumerate(ids or ()):
        if id not in by_id:
            raise NotFound("feature", id)
        if not by_id[id]["areal"]:
            raise Invalid(f"{id[:40]} is no area.", pointer=f"/zones/ids/{at}", code="coverage.zones")
    if not rows:
        raise Invalid(
            f"{layer.name} has no feature that is an area.", pointer="/zones", code="coverage.zones"
        )
    return [
        Zone(row["id"], name_of(orjson.loads(row["properties"]), row["id"]), orjson.loads(row["shape"]))
        for row in rows
    ]
