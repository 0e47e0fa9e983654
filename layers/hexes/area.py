"""True areas of H3 cells: over the globe they differ by a factor of 2.4, so counting cells does not measure ground."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes.ranks import Ids

# The ground of a cell's descendants is not quite the cell's own. Measured against the sum over all of them, a cell
# is off by up to 1.4e-3 at resolution 1, 2e-4 at 3, and at 4 by 5e-5 (pentagons), 2e-5 (across an edge of the
# icosahedron) or 5e-6 (all others); less below. So nothing coarser than this is measured for its descendants.
COARSEST = 4


def cell_areas_km2(cells: Ids) -> NDArray[np.float64]:
    """Area of each cell on H3's sphere (radius 6,371.007 km), in km²."""
    return np.fromiter(map(_area_km2, cells.tolist()), dtype=np.float64, count=len(cells))


@lru_cache(maxsize=1 << 17)
def _area_km2(cell: int) -> float:
    # Cached (some 15 MB when full), because an analysis asks for the same ground of many sets.
    return float(h3.cell_area(cell))
