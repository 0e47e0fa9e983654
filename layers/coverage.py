"""Reads what an analysis rests on: the features near an area, with the hexes that are stored of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import TooLarge
from layers.ground import Geometry, Source, boxes_near
from layers.model import Layer

MAX_COVERS = 50_000
"""Features that one analysis reads: a disk for each takes some 6 s."""
MAX_REACH_M = 100_000.0
"""The farthest `reach_m` that a kind or a layer may state; so far beyond the area features are looked for."""

Scalar = str | float | bool | None
Where = Mapping[str, Sequence[Scalar]]
"""By name of a property the values allowed; None stands for “has none”. A list has a value if one item is it."""

# Stored hexes carry their resolution in their first byte (see `Hexes.pack`); others are made from the geometry.
SOURCE = """
SELECT stored.ranges,
       CASE WHEN feature.cell IS NOT NULL AND stored.ranges IS NULL THEN ST_X(feature.geometry) END AS lng,
       CASE WHEN feature.cell IS NOT NULL AND stored.ranges IS NULL THEN ST_Y(feature.geometry) END AS lat,
       CASE WHEN feature.cell IS NULL AND stored.ranges IS NULL THEN ST_AsGeoJSON(feature.geometry, 7, 0) END AS shape,
       CASE WHEN jsonb_typeof(feature.properties -> 'reach_m') = 'number'
            THEN (feature.properties ->> 'reach_m')::float8 END AS reach_m
FROM feature
LEFT JOIN coverage AS stored
    ON stored.layer_id = feature.layer_id AND stored.feature_id = feature.id AND get_byte(stored.ranges, 0) = $2
WHERE feature.layer_id = $1
  AND (feature.expires_at IS NULL OR feature.expires_at > now())
  AND EXISTS (
      SELECT FROM unnest($3::float8[], $4::float8[], $5::float8[], $6::float8[]) AS box (west, south, east, north)
      WHERE feature.geometry && ST_MakeEnvelope(west, south, east, north, 4326))
  AND NOT EXISTS (
      SELECT FROM jsonb_each($7::jsonb) AS wanted (name, allowed)
      WHERE NOT EXISTS (
          SELECT FROM jsonb_array_elements(wanted.allowed) AS one (value)
          WHERE CASE WHEN one.value = 'null'
                THEN coalesce(feature.properties -> wanted.name, 'null') = 'null'
                ELSE feature.properties -> wanted.name @> one.value END))
LIMIT $8
"""


async def read_sources(
    connection: AsyncConnection,
    layers: Sequence[tuple[Layer, str]],
    area: Geometry,
    resolution: int,
    where: Where,
) -> tuple[Source, ...]:
    """What each of *layers* (with its agency's slug) holds near *area*, is not expired and meets *where*.

    All of one moment if *connection* is a `Database.snapshot`. Raises `TooLarge` (`coverage.too_many_features`)
    beyond MAX_COVERS. What the viewer may see is the caller's to have settled.
    """
    raw = await driver(connection)
    sources: list[Source] = []
    left = MAX_COVERS
    for layer, agency in layers:
        boxes = boxes_near(area, 0.0 if layer.kind == "coverage" else MAX_REACH_M, resolution)
        sides = [list(side) for side in zip(*boxes, strict=True)]
        rows = await raw.fetch(SOURCE, layer.id, resolution, *sides, json.dumps(dict(where)), left + 1)
        left -= len(rows)
        if left < 0:
            detail = f"More than {MAX_COVERS:,} features lie near the area: name fewer layers, or filter with “where”."
            raise TooLarge(detail, code="coverage.too_many_features")
        epoch, revision, held = await raw.fetchrow(
            "SELECT epoch, revision, features FROM layer WHERE id = $1", layer.id
        )
        stored, points, shapes = _grounds_of(layer, rows)
        reachless = len(rows) - len(stored) - len(points) - len(shapes)
        sources.append(
            Source(
                layer.name,
                agency,
                layer.kind,
                epoch,
                revision,
                stored,
                points,
                shapes,
                held=held,
                found=len(rows),
                reachless=reachless,
            )
        )
    return tuple(sources)


def _grounds_of(layer: Layer, rows: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    """Stored hexes, points and shapes, as `Source` has them; what states no ground is left out."""
    points, shapes = [], []
    for _, lng, lat, shape, reach_m in rows:
        reach = layer.rules.reach_m if reach_m is None else reach_m
        if lng is not None and reach is not None:
            points.append((lng, lat, reach))
        elif shape is not None and (layer.kind == "coverage" or reach is not None):
            shapes.append((shape, reach))
    stored = tuple(row["ranges"] for row in rows if row["ranges"] is not None)
    return stored, tuple(points), tuple(shapes)
