"""Reads what an analysis rests on: the features near an area as they stand now, with the hexes stored of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import TooLarge
from layers.model import BBox, FeatureId, Layer, LayerId
from layers.planning.generalized import MARGIN_M
from layers.planning.ground import boxes_near
from layers.planning.model import MAX_REACH_M, Geometry, Roads, Row, Source

MAX_COVERS = 50_000
"""Features that one analysis reads: a disk for each takes some 6 s."""
MAX_READ_BYTES = 64_000_000
"""Properties and shapes that one analysis reads; features of the usual size come to a third of it."""

MAX_ROADS, MAX_ROAD_BYTES = 200_000, 64_000_000
"""Streets that one analysis reads: those of a city of millions."""
FASTEST_KMH = 120.0
"""Nobody is expected to come from farther away than this brings one."""

# Stored hexes carry their resolution in their first byte (see `Hexes.pack`); others are made from the geometry.
SOURCE = """
SELECT feature.id, feature.properties::text AS properties, feature.observed_at,
       CASE WHEN feature.cell IS NOT NULL THEN ST_X(feature.geometry) END AS lng,
       CASE WHEN feature.cell IS NOT NULL THEN ST_Y(feature.geometry) END AS lat,
       CASE WHEN feature.cell IS NULL THEN ST_AsGeoJSON(feature.geometry, 7, 0) END AS shape,
       stored.ranges AS stored
FROM feature
LEFT JOIN coverage AS stored
    ON stored.layer_id = feature.layer_id AND stored.feature_id = feature.id AND get_byte(stored.ranges, 0) = $2
WHERE feature.layer_id = $1
  AND (feature.expires_at IS NULL OR feature.expires_at > now())
  AND EXISTS (
      SELECT FROM unnest($3::float8[], $4::float8[], $5::float8[], $6::float8[]) AS box (west, south, east, north)
      WHERE feature.geometry && ST_MakeEnvelope(west, south, east, north, 4326))
LIMIT $7
"""
HEAD = "SELECT epoch, revision, features FROM layer WHERE id = $1"
FIRST = "SELECT revision, received_at FROM change WHERE layer_id = $1 ORDER BY revision LIMIT 1"
"""Where a layer's log begins: its revision 1, unless upkeep has taken that away."""


class Allowance:
    """How much one analysis may still read; `take` raises `TooLarge` (`coverage.too_many_features`) beyond it."""

    def __init__(self) -> None:
        self.features, self.bytes = MAX_COVERS, MAX_READ_BYTES

    def take(self, rows: Sequence[Row]) -> None:
        """Note that *rows* were read."""
        self.features -= len(rows)
        self.bytes -= sum(len(row.properties) + len(row.shape or "") for row in rows)
        if self.features < 0 or self.bytes < 0:
            detail = (
                f"More than {MAX_COVERS:,} features, or {MAX_READ_BYTES:,} bytes of them, lie near the area: "
                "name fewer layers, or take a smaller area."
            )
            raise TooLarge(detail, code="coverage.too_many_features")


async def read_sources(
    connection: AsyncConnection,
    layers: Sequence[tuple[Layer, str]],
    area: Geometry,
    resolution: int,
    coarse: frozenset[LayerId] = frozenset(),
) -> tuple[Source, ...]:
    """What each of *layers* (with its agency's slug) holds near *area* and is not expired.

    Of those that are to be made *coarse*, what lies MARGIN_M farther out as well. All of one moment if *connection* is
    a `Database.snapshot`. Raises `TooLarge` (`coverage.too_many_features`) beyond MAX_COVERS features or
    MAX_READ_BYTES. What the viewer may see is the caller's to have settled.
    """
    raw = await driver(connection)
    allowance = Allowance()
    sources: list[Source] = []
    for layer, agency in layers:
        sides = sides_near(layer, area, resolution, MARGIN_M if layer.id in coarse else 0.0)
        found = await raw.fetch(SOURCE, layer.id, resolution, *sides, allowance.features + 1)
        rows = rows_of(found)
        allowance.take(rows)
        sources.append(source_of(layer, agency, rows, await raw.fetchrow(HEAD, layer.id)))
    return tuple(sources)


async def read_roads(connection: AsyncConnection, layer: Layer, area: Geometry, minutes: float) -> Roads:
    """The streets of *layer* so far around *area* as anybody drives in *minutes*.

    Raises `TooLarge` (`coverage.too_many_roads`) beyond MAX_ROADS streets or MAX_ROAD_BYTES.
    """
    raw = await driver(connection)
    boxes = boxes_near(area, min(minutes * FASTEST_KMH * 1000 / 60, MAX_REACH_M), 10)
    sides = [list(side) for side in zip(*boxes, strict=True)]
    rows = rows_of(await raw.fetch(SOURCE, layer.id, -1, *sides, MAX_ROADS + 1))
    if (
        len(rows) > MAX_ROADS
        or sum(len(row.properties) + len(row.shape or "") for row in rows) > MAX_ROAD_BYTES
    ):
        detail = f"{layer.name} has too many streets near the area: take a smaller area, or fewer minutes."
        raise TooLarge(detail, pointer="/reach/roads", code="coverage.too_many_roads")
    head = await raw.fetchrow(HEAD, layer.id)
    return Roads(
        layer.name, head["epoch"], head["revision"], tuple(side for box in boxes for side in box), rows
    )


def sides_near(layer: Layer, area: Geometry, resolution: int, beyond_m: float = 0.0) -> list[list[float]]:
    """Wests, souths, easts and norths of the boxes in which what covers any of *area* lies, and *beyond_m* around."""
    reach_m = 0.0 if layer.kind == "coverage" else MAX_REACH_M
    boxes: list[BBox] = boxes_near(area, reach_m + beyond_m, resolution)
    return [list(side) for side in zip(*boxes, strict=True)]


def rows_of(found: Sequence[asyncpg.Record]) -> tuple[Row, ...]:
    """Records with the columns of `SOURCE` first, in order of id: the same features make the same answer."""
    rows = (Row(FeatureId(row["id"]), *row[1 : len(Row._fields)]) for row in found)
    return tuple(sorted(rows, key=lambda row: row.id))


def source_of(layer: Layer, agency: str, rows: tuple[Row, ...], head: Any) -> Source:
    """*rows* as what *layer* brings; *head* is a record of `HEAD`."""
    return Source(
        layer.name,
        agency,
        layer.kind,
        head["epoch"],
        head["revision"],
        rows,
        layer.rules.reach_m,
        layer.rules.stale_after_s,
        held=head["features"],
    )
