"""Which H3 cells may hold the points within a box, as few ranges of numbers: what a btree on (layer, cell) can seek."""

from __future__ import annotations

import math
from itertools import pairwise

import h3.api.basic_int as h3

from layers.geometry import POINT_RESOLUTION
from layers.model import BBox

MAX_CELLS = 60
"""Cells a box is filled with at most; a coarser resolution is taken, or none at all, rather than more."""

MAX_RANGES = 16
"""Ranges that are told apart; the statement has room for that many."""

_KM_PER_DEGREE = 111.2
_DIGIT_BITS = 3
_RESOLUTION_SHIFT = 52


def cell_ranges(box: BBox) -> list[tuple[int, int]] | None:
    """Inclusive ranges of cells at POINT_RESOLUTION, among them that of every point in *box*; None: too many to tell.

    *box* does not cross the antimeridian. A cell's descendants have consecutive numbers, so one coarse cell is
    one range. They stick out of its outline, by less than a cell, so coarse cells are taken with their neighbours.
    """
    west, south, east, north = box
    resolution = _resolution(box)
    if resolution is None:
        return None
    outline = h3.LatLngPoly([(south, west), (south, east), (north, east), (north, west)])
    cells = set(h3.h3shape_to_cells_experimental(outline, resolution, contain="overlap"))
    if resolution < POINT_RESOLUTION:
        cells = {near for cell in cells for near in h3.grid_disk(cell, 1)}
    return _joined(sorted(_descendants(cell, resolution) for cell in cells))


def _resolution(box: BBox) -> int | None:
    """The finest at which about MAX_CELLS fill *box*; cells vary in size, so it may be somewhat more."""
    west, south, east, north = box
    if east - west > 20:
        return None
    width_km = (east - west) * _KM_PER_DEGREE * math.cos(math.radians(min(abs(south), abs(north))))
    area_km2 = width_km * (north - south) * _KM_PER_DEGREE
    for resolution in range(POINT_RESOLUTION, 1, -1):
        if area_km2 <= MAX_CELLS * h3.average_hexagon_area(resolution, unit="km^2"):
            return resolution
    return None


def _descendants(cell: int, resolution: int) -> tuple[int, int]:
    """The lowest and the highest number that a descendant of *cell* has at POINT_RESOLUTION.

    An index holds its resolution in bits 52 to 55 and three bits for each digit; digits that it does not use are 7.
    """
    cell += (POINT_RESOLUTION - resolution) << _RESOLUTION_SHIFT
    finer = 1 << (_DIGIT_BITS * (POINT_RESOLUTION - resolution))
    return cell & ~((finer - 1) << (_DIGIT_BITS * (15 - POINT_RESOLUTION))), cell


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """*ranges*, in order, as at most MAX_RANGES, over the narrowest gaps: cells too many the box sorts out."""
    order = range(1, len(ranges))
    widest = sorted(order, key=lambda i: ranges[i][0] - ranges[i - 1][1], reverse=True)[: MAX_RANGES - 1]
    cuts = [0, *sorted(widest), len(ranges)]
    return [(ranges[first][0], ranges[end - 1][1]) for first, end in pairwise(cuts)]
