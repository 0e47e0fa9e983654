"""Disks on the sphere as sets of cells: what a unit or a station reaches in a straight line."""

from __future__ import annotations

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import ArrayLike, NDArray

from layers.hexes import ranges as rg
from layers.hexes.errors import HexesError
from layers.hexes.ranks import Ranks, check_resolution, exists, pentagons, rank_count, to_ranks
from layers.hexes.sets import Hexes
from layers.hexes.sphere import EARTH_RADIUS_M, angle, centers_deg, hull, on_sphere
from layers.hexes.starts import cells_about, start_levels

# Points at once: bounds the memory, and the ranks of all side by side stay below 2^63 (10,000 · 122 · 7^15).
_BATCH = 10_000


def disk(lng: float, lat: float, radius_m: float, resolution: int) -> Hexes:
    """Cells whose centre lies within *radius_m* of the point along the great circle, and the cell of the point.

    Degrees, longitude first; holds at the poles, across the antimeridian and around pentagons. `HexesError` with
    code `h3.disk` for a position or a radius that is none.
    """
    return disks([(lng, lat)], [radius_m], resolution)[0]


def disks(points: ArrayLike, radii_m: ArrayLike, resolution: int) -> list[Hexes]:
    """A `disk` for each of *points*, (n, 2) longitude and latitude in degrees, with its own radius in metres.

    All of them at once cost far less than one by one. Work follows the rims: cells wholly inside are taken at
    the coarsest resolution that tells.
    """
    lng_lat, reach = _checked(points, radii_m, check_resolution(resolution))
    batches = range(0, len(reach), _BATCH)
    return [
        found
        for first in batches
        for found in _disks(lng_lat[first : first + _BATCH], reach[first : first + _BATCH], resolution)
    ]


def _disks(lng_lat: NDArray[np.float64], reach: NDArray[np.float64], resolution: int) -> list[Hexes]:
    middle = on_sphere(lng_lat[:, ::-1])
    start = start_levels(reach, resolution)
    own = [np.empty(0, np.int64)]
    found = [np.empty((0, 2), np.int64)]
    owner, ranks = own[0], own[0]
    for level in range(int(start.min(initial=resolution)), resolution + 1):
        starting = np.flatnonzero(start == level)
        numbers, seeds = cells_about(lng_lat[starting, ::-1], level)
        owner, ranks = np.concatenate((owner, starting[numbers])), np.concatenate((ranks, seeds))
        away = angle(_centers(ranks, level), middle[owner])
        slack = hull(level, resolution)
        inside = away <= reach[owner] - slack
        if level < resolution:
            # Below a pentagon are ranks that no cell has, so its children are looked at one by one.
            inside &= ~np.isin(ranks, pentagons(level))
        size = 7 ** (resolution - level)
        own.append(owner[inside])
        found.append(np.column_stack((ranks[inside], ranks[inside] + 1)) * size)
        open_ = ~inside & (away <= reach[owner] + slack)
        owner, ranks = _children(owner[open_], ranks[open_], level)
    cells = [h3.latlng_to_cell(lat, lng, resolution) for lng, lat in lng_lat.tolist()]
    ranks = to_ranks(np.array(cells, dtype=np.uint64), resolution)
    own.append(np.arange(len(ranks)))
    found.append(np.column_stack((ranks, ranks + 1)))
    parts = rg.by_owner(np.concatenate(own), np.concatenate(found), len(ranks), rank_count(resolution))
    return [Hexes(resolution, part) for part in parts]


def _checked(
    points: ArrayLike, radii_m: ArrayLike, resolution: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lng_lat = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    reach = np.asarray(radii_m, dtype=np.float64) / EARTH_RADIUS_M
    if not (np.isfinite(lng_lat).all() and (abs(lng_lat) <= (180.0, 90.0)).all()):
        raise HexesError("A disk is round a longitude of ±180 and a latitude of ±90 degrees.", code="h3.disk")
    if not (np.isfinite(reach).all() and (reach >= 0).all()) or len(reach) != len(lng_lat):
        raise HexesError("A disk has a radius of 0 m or more.", code="h3.disk")
    return lng_lat, reach


def _centers(ranks: Ranks, level: int) -> NDArray[np.float64]:
    # Disks overlap, so each centre is asked of the library once.
    different, back = np.unique(ranks, return_inverse=True)
    return on_sphere(centers_deg(different, level))[back]


def _children(owner: NDArray[np.int64], ranks: Ranks, level: int) -> tuple[NDArray[np.int64], Ranks]:
    children = (ranks[:, None] * 7 + np.arange(7)).ravel()
    real = exists(children, level + 1)
    return np.repeat(owner, 7)[real], children[real]
