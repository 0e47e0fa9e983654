"""Reading features: one, a page by place and time, a whole layer at one moment, and the track of one.

Every statement is here in whole, and each finds its rows by an index (`tests/db/test_query.py` asks EXPLAIN).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import h3.api.basic_int as h3
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import NotFound
from layers.geometry import POINT_RESOLUTION
from layers.log import Head, bbox_of
from layers.model import BBox, Feature, FeatureId, LayerId

MAX_CELLS = 2_000
"""Cells that a box may touch before the layer is read whole: beyond, the box holds most of it anyhow."""


class LayerHead(NamedTuple):
    """What moves in a layer: where its log ends, when its feed was last heard, how many features it holds."""

    epoch: UUID
    revision: int
    heard_at: datetime | None
    features: int


async def read_head(connection: AsyncConnection, layer: LayerId) -> LayerHead:
    """The layer's head now."""
    return (await read_layer_heads(connection, [layer]))[layer]


async def read_layer_heads(connection: AsyncConnection, layers: list[LayerId]) -> dict[LayerId, LayerHead]:
    """The heads of *layers*, all at one moment."""
    rows = await (await driver(connection)).fetch(
        "SELECT id, epoch, revision, heard_at, features FROM layer WHERE id = ANY($1::int[])", layers
    )
    return {LayerId(row["id"]): LayerHead(*row[1:]) for row in rows}


COLUMNS = """
    id, ST_AsGeoJSON(geometry, 7, 0) AS geometry, properties::text AS properties,
    observed_at, received_at, expires_at, revision,
    ST_XMin(geometry) AS west, ST_YMin(geometry) AS south, ST_XMax(geometry) AS east, ST_YMax(geometry) AS north
"""


def feature_of(row: Any) -> Feature:
    """A row of `COLUMNS` as a `Feature`."""
    return Feature(
        id=FeatureId(row["id"]),
        geometry=row["geometry"],
        bbox=bbox_of(row),
        properties=row["properties"],
        observed_at=row["observed_at"],
        received_at=row["received_at"],
        expires_at=row["expires_at"],
        revision=row["revision"],
    )


async def read_layer(connection: AsyncConnection, layer: LayerId) -> tuple[Head, list[Feature]]:
    """Every feature of *layer* with the head that they add up to. Use a `Database.snapshot` connection."""
    raw = await driver(connection)
    head = await raw.fetchrow("SELECT epoch, revision FROM layer WHERE id = $1", layer)
    rows = await raw.fetch(f"SELECT {COLUMNS} FROM feature WHERE layer_id = $1", layer)  # noqa: S608 - of constants only
    return Head(*head), [feature_of(row) for row in rows]


async def read_feature(connection: AsyncConnection, layer: LayerId, id: str) -> Feature:
    """One feature as it stands. Raises `NotFound`."""
    row = await (await driver(connection)).fetchrow(
        f"SELECT {COLUMNS} FROM feature WHERE layer_id = $1 AND id = $2",  # noqa: S608 - of constants only
        layer,
        id,
    )
    if row is None:
        raise NotFound("feature", id)
    return feature_of(row)


PAGE = f"""
SELECT {COLUMNS}
FROM feature
WHERE layer_id = $1 AND id > $2
  AND ($3::timestamptz IS NULL OR observed_at >= $3) AND ($4::timestamptz IS NULL OR observed_at <= $4)
ORDER BY id
LIMIT $5
"""  # noqa: S608 - of constants only

PAGE_IN_BOXES = f"""
WITH box AS (
    SELECT ST_MakeEnvelope(west, south, east, north, 4326) AS shape
    FROM unnest($6::float8[], $7::float8[], $8::float8[], $9::float8[]) AS t (west, south, east, north)
), candidate AS (
    SELECT id FROM feature WHERE layer_id = $1 AND cell = ANY($10::bigint[])
    UNION
    SELECT id FROM feature JOIN box ON geometry && shape WHERE layer_id = $1 AND cell IS NULL
)
SELECT {COLUMNS}
FROM feature JOIN candidate USING (id)
WHERE layer_id = $1 AND id > $2
  AND ($3::timestamptz IS NULL OR observed_at >= $3) AND ($4::timestamptz IS NULL OR observed_at <= $4)
  AND EXISTS (SELECT FROM box WHERE ST_Intersects(geometry, shape))
ORDER BY id
LIMIT $5
"""  # noqa: S608 - of constants only

PAGE_IN_WIDE_BOXES = PAGE_IN_BOXES.replace(
    "cell = ANY($10::bigint[])", "cell IS NOT NULL AND $10::bigint[] IS NULL"
)


async def read_page(
    connection: AsyncConnection,
    layer: LayerId,
    *,
    bbox: BBox | None = None,
    observed_from: datetime | None = None,
    observed_to: datetime | None = None,
    after: str = "",
    limit: int = 100,
) -> list[Feature]:
    """Up to *limit* features in the order of their ids, those after *after*, that touch *bbox*.

    Points are found by their coarse cell, everything else by its GiST index; the box is then tested exactly.
    """
    raw = await driver(connection)
    paging = (layer, after, observed_from, observed_to, limit)
    if bbox is None:
        return [feature_of(row) for row in await raw.fetch(PAGE, *paging)]
    boxes = [_with_area(box) for box in split(bbox)]
    sides = [list(side) for side in zip(*boxes, strict=True)]
    cells = cells_of(boxes)
    statement = PAGE_IN_WIDE_BOXES if cells is None else PAGE_IN_BOXES
    return [feature_of(row) for row in await raw.fetch(statement, *paging, *sides, cells)]


def split(bbox: BBox) -> list[BBox]:
    """*bbox* as boxes that do not cross the antimeridian."""
    west, south, east, north = bbox
    return [bbox] if west <= east else [(west, south, 180.0, north), (-180.0, south, east, north)]


def _with_area(box: BBox) -> BBox:
    """*box*, a hair wider: GEOS finds nothing in a box without area, and stored coordinates are 1e-7 apart."""
    west, south, east, north = box
    return (west - 1e-9, south - 1e-9, east + 1e-9, north + 1e-9)


def cells_of(boxes: list[BBox]) -> list[int] | None:
    """The cells in which a point inside *boxes* may lie; None when there would be more than `MAX_CELLS`."""
    cells: set[int] = set()
    margin = 1e-4  # A cell's edge is an arc: a point beside it may lie a few metres beyond the straight line.
    for west, south, east, north in boxes:
        if (east - west) * (north - south) > 2.0:
            return None  # About 25,000 km² at the equator, and no fewer cells elsewhere than the limit.
        if max(-south, north) > 89.0:
            return None  # Around a pole a straight line between two corners cuts across cells; few things are there.
        low, high = max(south - margin, -90.0), min(north + margin, 90.0)
        left, right = max(west - margin, -180.0), min(east + margin, 180.0)
        shape = h3.LatLngPoly([(low, left), (low, right), (high, right), (high, left)])
        cells.update(h3.h3shape_to_cells_experimental(shape, POINT_RESOLUTION, contain="overlap"))
        if len(cells) > MAX_CELLS:
            return None
    return list(cells)


class Fix(NamedTuple):
    """One point of a track."""

    lng: float
    lat: float
    observed_at: datetime
    received_at: datetime
    revision: int


async def read_track(
    connection: AsyncConnection, layer: LayerId, id: str, *, limit: int = 1_000
) -> list[Fix]:
    """Where a feature was, oldest first: its newest *limit* observations, the late ones in their place.

    Raises `NotFound` when the layer has no such feature now: what has left the picture is history's affair.
    """
    raw = await driver(connection)
    if not await raw.fetchval("SELECT true FROM feature WHERE layer_id = $1 AND id = $2", layer, id):
        raise NotFound("feature", id)
    rows = await raw.fetch(
        """
        SELECT ST_X(geometry) AS lng, ST_Y(geometry) AS lat, observed_at, received_at, revision
        FROM change
        WHERE layer_id = $1 AND feature_id = $2 AND op <> 'gone' AND ST_GeometryType(geometry) = 'ST_Point'
        ORDER BY observed_at DESC, revision DESC
        LIMIT $3
        """,
        layer,
        id,
        limit,
    )
    return [Fix(*row) for row in reversed(rows)]
