"""Lines and polygons that cross 180 degrees of longitude, turned to where they begin and cut there.

`layers.geometry` hands over what runs on beyond 180 degrees without a leap, and gets parts within ±180.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from layers.rounding import DECIMALS, Position, rounded


def turn_home(points: list[Position]) -> int:
    """The multiple of 360 that brings the westernmost of *points* into [-180, 180)."""
    return -360 * math.floor((min(lng for lng, _ in points) + 180) / 360)


def beside(hole: list[Position], shell: list[Position]) -> list[Position]:
    """*hole* on the same turn around the world as the middle of *shell*."""
    middle = max(lng for lng, _ in shell) + min(lng for lng, _ in shell)
    own = max(lng for lng, _ in hole) + min(lng for lng, _ in hole)
    return shifted(hole, 360 * round((middle - own) / 720))


def shifted(points: list[Position], degrees: int) -> list[Position]:
    """*points* so many *degrees* of longitude further east."""
    return [(round(lng + degrees, DECIMALS), lat) for lng, lat in points] if degrees else points


def cut_line(points: list[Position]) -> list[list[Position]]:
    """*points*, from [-180, 180) eastwards, cut where they cross 180 degrees; what lies beyond comes back by 360."""
    parts: list[list[Position]] = [[]]
    beyond = False
    for (lng, lat), (next_lng, next_lat) in pairwise(points):
        parts[-1].append((lng - 360 if beyond else lng, lat))
        if (next_lng > 180 and not beyond) or (next_lng < 180 and beyond):
            at = round(lat + (next_lat - lat) * (180 - lng) / (next_lng - lng), DECIMALS)
            parts[-1].append((-180.0 if beyond else 180.0, at))
            beyond = not beyond
            parts.append([(-180.0 if beyond else 180.0, at)])
    parts[-1].append((points[-1][0] - 360 if beyond else points[-1][0], points[-1][1]))
    return [_without_repeats(part) for part in parts if len(set(part)) > 1 or len(parts) == 1]


def _without_repeats(points: list[Position]) -> list[Position]:
    on_grid = [(round(lng, DECIMALS), lat) for lng, lat in points]
    kept = on_grid[:1] + [after for before, after in pairwise(on_grid) if after != before]
    return kept if len(kept) > 1 else on_grid[:2]


def cut_polygon(polygon: BaseGeometry) -> list[BaseGeometry]:
    """*polygon*, from [-180, 180) eastwards, as polygons within ±180, the same whatever ring it was drawn with."""
    if polygon.bounds[2] <= 180:
        return [polygon]
    here = shapely.intersection(polygon, shapely.box(-180, -90, 180, 90))
    beyond = shapely.intersection(polygon, shapely.box(180, -90, 540, 90))
    beyond = shapely.transform(beyond, lambda xy: xy - np.array([360.0, 0.0]))
    return [part for half in (here, beyond) for part in parts_of(rounded(half))]


def parts_of(geometry: BaseGeometry) -> list[BaseGeometry]:
    """The polygons of *geometry* that hold something; lines and points among them are left out."""
    return [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon) and not part.is_empty]
