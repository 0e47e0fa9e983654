"""Where a walk from coarse cells to fine ones begins: at the few cells that hold all of a circle below them."""

from __future__ import annotations

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes.ranks import Ranks, to_ranks
from layers.hexes.sphere import narrowest_spacing

# The cells up to two away hold every centre within one narrowest spacing: those three away are 2.6 spacings off, and
# a centre lies within 0.61 of its ancestor's, a point within 0.58 of its cell's.
_RINGS = 2


def start_levels(radius: NDArray[np.float64], resolution: int) -> NDArray[np.int64]:
    """For each *radius*, in radians, the finest level up to *resolution* at which `cells_about` hold all it reaches."""
    spacings = np.array([narrowest_spacing(level) for level in range(resolution + 1)])
    levels: NDArray[np.int64] = np.maximum((spacings[:, None] >= radius).sum(axis=0) - 1, 0)
    return levels


def cells_about(points: NDArray[np.float64], level: int) -> tuple[NDArray[np.int64], Ranks]:
    """For each of *points*, degrees, latitude first, the cells of *level* that have below them every centre within one
    narrowest spacing, and at level 0 all there are: the numbers of the points, ascending, and the ranks.
    """
    near = [
        h3.grid_disk(h3.latlng_to_cell(lat, lng, level), _RINGS) if level else h3.get_res0_cells()
        for lat, lng in points.tolist()
    ]
    if not near:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    numbers = np.repeat(np.arange(len(near)), [len(cells) for cells in near])
    return numbers, to_ranks(np.concatenate(near), level)
