"""The grid of 1e-7 degrees on which every stored coordinate lies."""

from __future__ import annotations

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

DECIMALS = 7
"""Coordinates are rounded to 1e-7 degrees, about 1 cm."""

Position = tuple[float, float]
"""Longitude and latitude, degrees."""


def rounded(geometry: BaseGeometry) -> BaseGeometry:
    """*geometry* on the grid of the rounding, still valid, in normal order."""
    snapped = shapely.set_precision(geometry, 10.0**-DECIMALS)
    return shapely.normalize(shapely.transform(snapped, lambda xy: np.round(xy, DECIMALS) + 0.0))
