"""Reads what the features of a layer weigh: a number that each states, or one for each of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import Invalid, TooLarge
from layers.model import Layer
from layers.planning.ground import boxes_near
from layers.planning.model import MAX_VALUE, FeatureValues, Geometry

MAX_WEIGHING = 100_000
"""Features near an area that weigh: their cells take some 0.2 s if they are points."""
MAX_SHAPE_BYTES = 64_000_000
"""The polygons among them, as text."""

# A number beyond what may weigh is kept apart: the first such is named, and none is cast that no float can hold.
STATED = """
    SELECT feature.id, feature.geometry, feature.cell,
           feature.cell IS NOT NULL
               OR coalesce(ST_GeometryType(feature.geometry) IN ('ST_Polygon', 'ST_MultiPolygon'), false) AS placed,
           CASE WHEN $2::text IS NULL THEN 1
                WHEN jsonb_typeof(feature.properties -> $2) = 'number' THEN (feature.properties -> $2)::numeric
           END AS stated,
           EXISTS (
               SELECT FROM unnest($4::float8[], $5::float8[], $6::float8[], $7::float8[]) AS box (w, s, e, n)
               WHERE feature.geometry && ST_MakeEnvelope(w, s, e, n, 4326)) AS near
    FROM feature
    WHERE feature.layer_id = $1 AND (feature.expires_at IS NULL OR feature.expires_at > now())
"""
NEAR = f"""
WITH found AS ({STATED})
SELECT stated::float8 AS stated,
       CASE WHEN cell IS NOT NULL THEN ST_X(geometry) END AS lng,
       CASE WHEN cell IS NOT NULL THEN ST_Y(geometry) END AS lat,
       CASE WHEN cell IS NULL THEN ST_AsGeoJSON(geometry, 7, 0) END AS shape
FROM found
WHERE near AND stated BETWEEN 0 AND $3 AND placed
LIMIT $8
"""  # noqa: S608 - of constants only
SUMMARY = f"""
WITH found AS ({STATED})
SELECT count(*) FILTER (WHERE stated IS NULL OR NOT placed) AS unvalued,
       count(*) AS features,
       coalesce(sum(stated) FILTER (
           WHERE NOT near AND stated BETWEEN 0 AND $3 AND placed
       ), 0)::float8 AS elsewhere,
       min(id) FILTER (WHERE stated NOT BETWEEN 0 AND $3) AS wrong
FROM found
"""  # noqa: S608 - of constants only


class Weighing(NamedTuple):
    """What a layer weighs."""

    values: FeatureValues
    elsewhere: float
    """What features weigh that are not near the area."""
    features: int
    unvalued: int
    """Those of them that weigh nothing: without a number, or neither points nor areas."""


async def read_values(
    connection: AsyncConnection, layer: Layer, property: str | None, area: Geometry, resolution: int
) -> Weighing:
    """What the features of *layer* weigh near *area*: their *property* if it is a number, or 1 each.

    Raises `Invalid` (`coverage.weights`) if one is negative or beyond MAX_VALUE, `TooLarge`
    (`coverage.too_many_features`).
    """
    raw = await driver(connection)
    sides = [list(side) for side in zip(*boxes_near(area, 0.0, resolution), strict=True)]
    asked = (layer.id, property, MAX_VALUE, *sides)
    summary = await raw.fetchrow(SUMMARY, *asked)
    if summary["wrong"] is not None:
        detail = (
            f"“{property}” of {layer.name}/{summary['wrong']} is not a number from 0 to {MAX_VALUE:g}, "
            "so it cannot be a weight."
        )
        raise Invalid(detail, pointer="/weights/property", code="coverage.weights")
    rows = await raw.fetch(NEAR, *asked, MAX_WEIGHING + 1)
    if len(rows) > MAX_WEIGHING or sum(len(row["shape"] or "") for row in rows) > MAX_SHAPE_BYTES:
        detail = (
            f"More than {MAX_WEIGHING:,} features of {layer.name}, or {MAX_SHAPE_BYTES:,} bytes of them, lie near "
            "the area: take a smaller area, or upload their sums by cell as a table."
        )
        raise TooLarge(detail, pointer="/weights/layer", code="coverage.too_many_features")
    points = [row for row in rows if row["shape"] is None]
    areas = [row for row in rows if row["shape"] is not None]
    values = FeatureValues(
        np.array([(row["lng"], row["lat"]) for row in points], np.float64).reshape(-1, 2),
        np.array([row["stated"] for row in points], np.float64),
        tuple(row["shape"] for row in areas),
        np.array([row["stated"] for row in areas], np.float64),
    )
    return Weighing(values, summary["elsewhere"], summary["features"], summary["unvalued"])
