"""Polygons as sets of cells: those whose centre the polygon holds, the same ones as the library's plain fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.hexes.area import COARSEST, cell_areas_km2
from layers.hexes.depth import union
from layers.hexes.errors import TooManyCells
from layers.hexes.polygons import Polygon, Ring, along, ground_m2, held, read_polygons
from layers.hexes.ranks import Ids, Ranks, check_resolution, to_ranks
from layers.hexes.sets import Hexes
from layers.hexes.sphere import EARTH_RADIUS_M, centers_deg, narrowest_spacing

MAX_CELLS = 100_000_000
"""Cells that one fill may yield unless its caller says otherwise; by estimate, before any work."""

# The library's own fill asks every corner of every cell in the bounding box, some 10 ns each, unless it is coarse and
# wholly inside. Measured from 4 to 4,000 corners, following the border is quicker beyond this much work, but for
# no fewer cells than these.
_PLAIN_WORK = 2_000_000
_PLAIN_CELLS = 5_000
# A centre within micrometres of an edge sends the whole polygon to the library, up to this many cells (160 MB).
_PLAIN_LIMIT = 20_000_000


def fill(
    geometry: Mapping[str, Any], resolution: int, *, limit: int = MAX_CELLS, at_least_one: bool = True
) -> Hexes:
    """The cells whose centre a GeoJSON Polygon or MultiPolygon holds; a part too small for any gets one cell,
    unless *at_least_one* is False.

    Cell for cell what `h3.h3shape_to_cells_experimental(shape, resolution, contain="center")` yields, while work
    and memory follow the border. Edges are straight in longitude and latitude and never wrap: an area across the
    antimeridian is given as two polygons (RFC 7946 §3.1.9), and the whole world is a box like any other.
    Beyond 20 million cells, a centre within 6 µm of an edge may fall to either side.

    Raises `TooManyCells` (`h3.too_many_cells`) if more than *limit* cells are to be expected, before any work;
    `HexesError` (`h3.geometry`, `h3.resolution`) for what is no polygon or no resolution.
    """
    polygons = read_polygons(geometry)
    expected = sum(_estimate(polygon, check_resolution(resolution)) for polygon in polygons)
    if expected > limit:
        detail = (
            f"This area needs about {expected:,} cells at resolution {resolution}, and the limit is {limit:,}. "
            "Take a smaller area or a coarser resolution."
        )
        raise TooManyCells(detail)
    return union([_fill_or_one(polygon, resolution, at_least_one) for polygon in polygons], resolution)


def estimate_cells(geometry: Mapping[str, Any], resolution: int) -> int:
    """How many cells `fill` will yield, from the area alone: within 5 % for areas of 1,000 cells up to a country,
    within 40 % for continents, and at least 1 for each part.
    """
    check_resolution(resolution)
    return sum(_estimate(polygon, resolution) for polygon in read_polygons(geometry))


def plain_fill(polygon: Polygon, resolution: int) -> Ids:
    """The library's own fill: every cell, in ascending order."""
    return np.sort(h3.h3shape_to_cells_experimental(polygon.for_h3(), resolution, contain="center"))


def _fill_or_one(polygon: Polygon, resolution: int, at_least_one: bool) -> Hexes:
    corners = sum(len(ring) for ring in polygon.rings)
    filled = _fill(polygon, resolution, plain_cells=max(_PLAIN_WORK // corners, _PLAIN_CELLS))
    if filled or not at_least_one:
        return filled
    lat, lng = polygon.outer.mean(axis=0).tolist()
    return Hexes.from_cells([int(h3.latlng_to_cell(lat, lng, resolution))])


def _fill(polygon: Polygon, resolution: int, *, plain_cells: int) -> Hexes:
    """Coarse inside, fine edge: cells away from the border hand their children what they are themselves.

    A child's centre lies well inside its parent. So where the border does not cross a cell of the next coarser
    resolution, its children are all in or all out; only those of crossed cells need to be looked at.
    """
    if resolution == 0 or _estimate(_box_of(polygon), resolution) <= plain_cells:
        return _as_hexes(plain_fill(polygon, resolution), resolution)
    coarse = _fill(polygon, resolution - 1, plain_cells=plain_cells)
    edge = _crossed(polygon, resolution - 1)
    ranks = rg.integers(edge.to_resolution(resolution).ranges)
    inside, sure = held(polygon, centers_deg(ranks, resolution))
    if not sure and _estimate(polygon, resolution) <= _PLAIN_LIMIT:
        return _as_hexes(plain_fill(polygon, resolution), resolution)
    return (coarse - edge).to_resolution(resolution) | Hexes(resolution, rg.of_integers(ranks[inside]))


def _crossed(polygon: Polygon, resolution: int) -> Hexes:
    """Cells that the border crosses, and some of their neighbours."""
    # Half the narrowest spacing is the narrowest inradius: a crossed cell is at most one ring from a point.
    step = narrowest_spacing(resolution) / 2
    on_border = np.unique(
        np.concatenate([_cells_at(along(ring, step), resolution) for ring in polygon.rings])
    )
    near = np.unique(np.concatenate([h3.grid_disk(cell, 1) for cell in on_border.tolist()]))
    return _as_hexes(near, resolution)


def _cells_at(points_deg: Ring, resolution: int) -> Ids:
    cells = [h3.latlng_to_cell(lat, lng, resolution) for lat, lng in points_deg.tolist()]
    return np.array(cells, dtype=np.uint64)


def _as_hexes(ids: Ids, resolution: int) -> Hexes:
    """From ascending distinct ids that need no check."""
    ranks: Ranks = to_ranks(ids, resolution)
    return Hexes(resolution, rg.of_integers(ranks))


def _estimate(polygon: Polygon, resolution: int) -> int:
    cell_m2 = _cell_m2_near(polygon, resolution)
    return max(round(ground_m2(polygon, EARTH_RADIUS_M) / cell_m2), 1)


def _cell_m2_near(polygon: Polygon, resolution: int) -> float:
    """Mean area of a cell of *resolution* at up to eight corners of *polygon* and at its middle."""
    corners = polygon.outer[:: max(len(polygon.outer) // 8, 1)]
    points: NDArray[np.float64] = np.vstack((corners, polygon.outer.mean(axis=0)))
    level = min(resolution, COARSEST + 2)
    return float(cell_areas_km2(_cells_at(points, level)).mean() * 1e6 / 7 ** (resolution - level))


def _box_of(polygon: Polygon) -> Polygon:
    (south, west), (north, east) = polygon.outer.min(axis=0), polygon.outer.max(axis=0)
    return Polygon(np.array([(south, west), (south, east), (north, east), (north, west)]))
