"""Cell centres as points on the unit sphere, and how far the centres below a cell can lie from its own."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes.ranks import Ranks, to_ids

EARTH_RADIUS_M = 6_371_007.180918475
"""H3's sphere, so that distances here are those of `h3.great_circle_distance`."""

# Measured over every cell of resolutions 0 to 4, and at 5 and 6 over samples and all pentagons: neighbouring
# centres are 0.694 to 1.0985 times the mean apart. The bounds below leave 5 % and more.
_WIDEST = 1.16
_NARROWEST = 0.62


@lru_cache(maxsize=16)
def mean_spacing(resolution: int) -> float:
    """Mean distance of neighbouring centres in radians: that of hexagons of the mean area (√(2A/√3))."""
    area = 4 * np.pi / h3.get_num_cells(resolution)
    return float(np.sqrt(2 * area / np.sqrt(3)))


def widest_spacing(resolution: int) -> float:
    """Upper bound in radians on the distance of two neighbouring centres."""
    return _WIDEST * mean_spacing(resolution)


def narrowest_spacing(resolution: int) -> float:
    """Lower bound in radians on the distance of two neighbouring centres."""
    return _NARROWEST * mean_spacing(resolution)


def hull(resolution: int, finest: int) -> float:
    """Upper bound in radians on the distance from a cell's centre to that of any of its descendants up to *finest*.

    A child's centre lies one spacing of the children away, a √7th of the parents', and so on.
    """
    return widest_spacing(resolution) * descent(finest - resolution)


@lru_cache(maxsize=16)
def descent(levels: int) -> float:
    """How far from a cell's centre those of its descendants lie up to *levels* below, in spacings of its lattice."""
    return float(sum(7 ** (-below / 2) for below in range(1, levels + 1))) * (1 + 1e-9)


def centers_deg(ranks: Ranks, resolution: int) -> NDArray[np.float64]:
    """Centres as (n, 2) degrees, latitude first as H3 has it."""
    flat = [h3.cell_to_latlng(cell) for cell in to_ids(ranks, resolution).tolist()]
    return np.array(flat, dtype=np.float64).reshape(-1, 2)


def on_sphere(lat_lng_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors (n, 3) of (n, 2) degrees, latitude first."""
    lat, lng = np.radians(lat_lng_deg).T
    return np.column_stack((np.cos(lat) * np.cos(lng), np.cos(lat) * np.sin(lng), np.sin(lat)))


def angle(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Great-circle angle in radians between unit vectors, row by row; by the chord, exact also when small."""
    chord = np.sqrt(np.square(left - right).sum(axis=-1))
    angles: NDArray[np.float64] = 2 * np.arcsin(np.minimum(chord / 2, 1.0))
    return angles
