"""Polygons as sets of cells: those whose centre the polygon holds, the same ones as the library's plain fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.hexes.area import COARSEST, cell_areas_km2
from layers.hexes.borders import Border
from layers.hexes.depth import union
from layers.hexes.descent import cells_inside
from layers.hexes.errors import TooManyCells
from layers.hexes.polygons import Polygon, Ring, ground_m2, read_polygons
from layers.hexes.ranks import Ids, check_resolution, to_ranks
from layers.hexes.sets import Hexes
from layers.hexes.sphere import EARTH_RADIUS_M

MAX_CELLS = 100_000_000
"""Cells that one fill may yield unless its caller says otherwise; by estimate, before any work."""

# The library's own fill asks every corner of every cell in the bounding box, some 10 ns each, unless it is coarse and
# wholly inside. Up to this much work for each call it is quicker than following the borders of all polygons at once.
_PLAIN_WORK = 100_000
# A centre within micrometres of an edge sends the whole ring to the library, up to this many cells (160 MB).
_PLAIN_LIMIT = 20_000_000
# No cell is smaller than this part of the mean of its resolution (pentagons are, at 0.5 to 0.6 of it).
_SMALLEST = 0.4


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
    return fills([geometry], resolution, limit=limit, at_least_one=at_least_one)[0]


def fills(
    geometries: Sequence[Mapping[str, Any]],
    resolution: int,
    *,
    limit: int = MAX_CELLS,
    at_least_one: bool = True,
) -> list[Hexes]:
    """The `fill` of each of *geometries*, with *limit* for each. All at once cost far less than one by one."""
    check_resolution(resolution)
    parts = [read_polygons(geometry) for geometry in geometries]
    polygons = [polygon for part in parts for polygon in part]
    if not polygons:
        return [Hexes.empty(resolution) for _ in parts]
    in_box = _cells_in_boxes([polygon.outer for polygon in polygons], resolution)
    first = np.cumsum([0, *map(len, parts)])
    for number, part in enumerate(parts):
        if in_box[first[number] : first[number + 1]].sum() / _SMALLEST + len(part) > limit:
            _refuse_beyond(part, resolution, limit)
    filled = _filled(polygons, in_box, resolution)
    if at_least_one:
        filled = [
            hexes or _one_cell(polygon, resolution) for hexes, polygon in zip(filled, polygons, strict=True)
        ]
    return [
        filled[first[number]] if len(part) == 1
        else union(filled[first[number] : first[number + 1]], resolution)
        for number, part in enumerate(parts)
    ]  # fmt: skip


def estimate_cells(geometry: Mapping[str, Any], resolution: int) -> int:
    """How many cells `fill` will yield, from the area alone: within 5 % for areas of 1,000 cells up to a country,
    within 40 % for continents, and at least 1 for each part.
    """
    check_resolution(resolution)
    return sum(_estimate(polygon, resolution) for polygon in read_polygons(geometry))


def plain_fill(polygon: Polygon, resolution: int) -> Hexes:
    """The library's own fill, which lists every cell."""
    cells = np.sort(h3.h3shape_to_cells_experimental(polygon.for_h3(), resolution, contain="center"))
    return Hexes(resolution, rg.of_integers(to_ranks(cells, resolution)))


def border_fills(polygons: Sequence[Polygon], resolution: int) -> list[Hexes]:
    """The same cells by following borders: those in the outer ring and in no hole."""
    rings = [ring for polygon in polygons for ring in polygon.rings]
    ranges, sure = cells_inside(rings, resolution)
    held = [Hexes(resolution, each) for each in ranges]
    for unsure in np.flatnonzero(~sure).tolist():
        alone = Polygon(rings[unsure])
        if _estimate(alone, resolution) <= _PLAIN_LIMIT:
            held[unsure] = plain_fill(alone, resolution)
    outers = np.cumsum([0, *(len(polygon.rings) for polygon in polygons)]).tolist()
    return [
        held[outer] - union(held[outer + 1 : end], resolution) if end - outer > 1 else held[outer]
        for outer, end in pairwise(outers)
    ]


def _filled(polygons: Sequence[Polygon], in_box: NDArray[np.float64], resolution: int) -> list[Hexes]:
    corners = [sum(map(len, polygon.rings)) for polygon in polygons]
    if (in_box + 1) @ np.array(corners) <= _PLAIN_WORK:
        return [plain_fill(polygon, resolution) for polygon in polygons]
    return border_fills(polygons, resolution)


def _cells_in_boxes(rings: Sequence[Ring], resolution: int) -> NDArray[np.float64]:
    """How many cells of mean size the box of each ring has room for."""
    (south, west), (north, east) = Border.of(rings).boxes.transpose(1, 2, 0)
    cells: NDArray[np.float64] = (
        (np.sin(north) - np.sin(south)) * (east - west) / (4 * np.pi) * h3.get_num_cells(resolution)
    )
    return cells


def _refuse_beyond(polygons: Sequence[Polygon], resolution: int, limit: int) -> None:
    expected = sum(_estimate(polygon, resolution) for polygon in polygons)
    if expected > limit:
        detail = (
            f"This area needs about {expected:,} cells at resolution {resolution}, and the limit is {limit:,}. "
            "Take a smaller area or a coarser resolution."
        )
        raise TooManyCells(detail)


def _one_cell(polygon: Polygon, resolution: int) -> Hexes:
    lat, lng = polygon.outer.mean(axis=0).tolist()
    return Hexes.from_cells([int(h3.latlng_to_cell(lat, lng, resolution))])


def _estimate(polygon: Polygon, resolution: int) -> int:
    cell_m2 = _cell_m2_near(polygon, resolution)
    return max(round(ground_m2(polygon, EARTH_RADIUS_M) / cell_m2), 1)


def _cell_m2_near(polygon: Polygon, resolution: int) -> float:
    """Mean area of a cell of *resolution* at up to eight corners of *polygon* and at its middle."""
    corners = polygon.outer[:: max(len(polygon.outer) // 8, 1)]
    points: NDArray[np.float64] = np.vstack((corners, polygon.outer.mean(axis=0)))
    level = min(resolution, COARSEST + 2)
    cells: Ids = np.array([h3.latlng_to_cell(lat, lng, level) for lat, lng in points.tolist()], np.uint64)
    return float(cell_areas_km2(cells).mean() * 1e6 / 7 ** (resolution - level))
