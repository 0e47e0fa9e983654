"""One vector tile of one layer, encoded by PostGIS in one statement; `cop/api/tiles.py` asks for it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.model import LayerId
from tiles.cells import MAX_RANGES, cell_ranges
from tiles.grid import BUFFER, EXTENT, MAX_LAT, Tile, bounds

NAME = "features"
"""The one layer of features within a tile."""
MAX_FEATURES = 50_000
"""Features in one tile; more cannot be told apart on a screen, and would hold the page up. Which ones is not said."""

# Points are found by their cell (the btree), everything else by the GiST index that holds nothing but that. The box
# is tested again exactly. Mercator ends at 85 degrees: what reaches beyond is cut there, as it cannot be projected.
# Scalar subqueries are worked out once, where a join with them would be paid for each feature.
_TILE = """
SELECT ST_AsMVT(drawn, '{name}', {extent}, 'geometry')
FROM (
    SELECT id, (date_part('epoch', observed_at) * 1000)::bigint AS observed_at,
           CASE WHEN properties ? 'id' THEN properties - 'id' ELSE properties END AS properties,
           ST_AsMVTGeom(
               ST_Transform(geometry, 3857), (SELECT ST_TileEnvelope($2, $3, $4)), {extent}, {buffer}, true
           ) AS geometry
    FROM (
        {points}
        UNION ALL
        SELECT id, properties, observed_at,
               CASE WHEN ST_YMax(geometry) > $9 OR ST_YMin(geometry) < -$9
                    THEN ST_ClipByBox2D(geometry, ST_MakeEnvelope(-180, -$9, 180, $9, 4326)) ELSE geometry END
        FROM feature
        WHERE layer_id = $1 AND cell IS NULL AND geometry && {box}
    ) AS found
    LIMIT {limit}
) AS drawn
"""
_NOWHERE = (1, 0)
_BOX = "(SELECT ST_MakeEnvelope($5, $6, $7, $8, 4326))"
# Ranges side by side, and not joined from a list: so their bitmaps are united and the table is read in its own order,
# each page once. Where most of a layer is shown, that takes three quarters of the time.
_RANGES = " OR ".join(
    f"cell BETWEEN ($10::bigint[])[{2 * i + 1}] AND ($10::bigint[])[{2 * i + 2}]" for i in range(MAX_RANGES)
)
_POINTS_IN_CELLS = """
        SELECT id, properties, observed_at, geometry
        FROM feature
        WHERE layer_id = $1 AND ({ranges}) AND geometry && {box}
"""
_POINTS = """
        SELECT id, properties, observed_at, geometry
        FROM feature
        WHERE layer_id = $1 AND cell IS NOT NULL AND geometry && {box}
"""


def _statement(points: str) -> str:
    found = points.strip().format(box=_BOX, ranges=_RANGES)
    return _TILE.format(points=found, box=_BOX, name=NAME, extent=EXTENT, buffer=BUFFER, limit=MAX_FEATURES)


TILE_IN_CELLS = _statement(_POINTS_IN_CELLS)
TILE_OF_MANY = _statement(_POINTS)


def statement_of(layer: LayerId, tile: Tile) -> tuple[str, list[object]]:
    """The statement that encodes *tile* of *layer*, and its parameters."""
    box = bounds(tile, BUFFER)
    parameters: list[object] = [layer, tile.z, tile.x, tile.y, *box, MAX_LAT]
    ranges = cell_ranges(box)
    if ranges is None:
        return TILE_OF_MANY, parameters
    ranges += [_NOWHERE] * (MAX_RANGES - len(ranges))
    return TILE_IN_CELLS, [*parameters, [end for span in ranges for end in span]]


async def read_tile(connection: AsyncConnection, layer: LayerId, tile: Tile) -> bytes:
    """*tile* of *layer* as a Mapbox Vector Tile; no bytes if it shows nothing.

    Each feature has the attributes `id`, `observed_at` (ms since 1970) and its properties that are text, numbers
    or truth values; lists and objects are left out, as the format has none. At most MAX_FEATURES.
    """
    statement, parameters = statement_of(layer, tile)
    encoded: bytes = await (await driver(connection)).fetchval(statement, *parameters)
    return encoded
