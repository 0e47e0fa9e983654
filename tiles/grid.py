"""The WebMercatorQuad grid: which ground a tile z/x/y shows, and which tile shows a place. Pure arithmetic."""

from __future__ import annotations

import math
from typing import NamedTuple

from layers.errors import Invalid, NotFound
from layers.model import BBox

MAX_ZOOM = 22
EXTENT = 4096
"""Units along the side of a tile; at zoom 16 one is 15 cm on the ground."""
BUFFER = 64
"""Units that a tile shows beyond each side, so that lines and symbols on an edge are drawn whole."""
MAX_LAT = math.degrees(math.atan(math.sinh(math.pi)))
"""About 85.0511 degrees: where the square of the grid ends."""


class Tile(NamedTuple):
    """One tile: column *x* from the antimeridian eastwards, row *y* from the north, 2^z of each."""

    z: int
    x: int
    y: int


def tile_of(z: str, x: str, y: str) -> Tile:
    """The tile of that address. Raises `Invalid` for what is no number, `NotFound` for what the grid does not have."""
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in (z, x, y)):
        detail = "A tile's zoom, row and column are whole numbers from 0."
        raise Invalid(detail, code="query.tile")
    tile = Tile(int(z), int(x), int(y))
    if tile.z > MAX_ZOOM or max(tile.x, tile.y) >= 2**tile.z:
        raise NotFound("tile", f"{z}/{y}/{x}")
    return tile


def tile_at(lng: float, lat: float, z: int) -> Tile:
    """The tile that shows that place at zoom *z*; a place beyond the grid counts as on its edge."""
    side = 2**z
    sine = math.sin(math.radians(max(-MAX_LAT, min(MAX_LAT, lat))))
    x = (lng + 180) / 360 * side
    y = (0.5 - math.atanh(sine) / math.tau) * side
    return Tile(z, min(max(int(x), 0), side - 1), min(max(int(y), 0), side - 1))


def bounds(tile: Tile, buffer: int = 0) -> BBox:
    """West, south, east, north of *tile*, *buffer* units of its extent wider on each side, within the grid."""
    side = 2**tile.z
    margin = buffer / EXTENT
    west, east = max(tile.x - margin, 0), min(tile.x + 1 + margin, side)
    north, south = max(tile.y - margin, 0), min(tile.y + 1 + margin, side)
    return (west / side * 360 - 180, _lat(south / side), east / side * 360 - 180, _lat(north / side))


def _lat(part: float) -> float:
    """The latitude at that part of the way from the grid's north to its south."""
    return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * part))))
