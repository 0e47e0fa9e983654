"""Says whether a polygon is valid, and mends one that is not, in a time that no input can stretch."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from layers.errors import InvalidGeometry
from layers.rounding import Position, rounded

# GEOS compares the segments of a ring whose boxes overlap, about 20 ns a pair: 3 million keep below 100 ms.
_MAX_PAIRS = 3_000_000
# Mending builds every crossing; rings of 20,000 crossings took 0.1 s, those of 100,000 over a second.
_MAX_PAIRS_TO_MEND = 20_000


def valid(
    polygon: BaseGeometry, rings: list[list[Position]], pointer: str, repair: bool
) -> tuple[BaseGeometry, bool]:
    """*polygon* if it is valid, or mended if *repair*; and whether it was mended.

    GEOS takes quadratic time over rings whose segments all lie beside one another (1 s at 10,000 vertices), so such
    rings are refused as `geo.timeout` from a count of their segments' boxes, before GEOS starts.

    Raises InvalidGeometry with *pointer*: `geo.timeout`, or `geo.invalid` with the reason and the place.
    """
    if sum(map(len, rings)) ** 2 > _MAX_PAIRS and _is_dense(_segment_boxes(rings)):
        detail = "Its lines lie too densely beside one another to be checked in time; simplify it."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.timeout")
    if shapely.is_valid(polygon):
        return polygon, False
    if not repair:
        raise InvalidGeometry(_reason(polygon), pointer=pointer, code="geo.invalid")
    boxes = _segment_boxes(rings)
    limit = _MAX_PAIRS_TO_MEND + 3 * len(boxes)  # every segment meets itself and its two neighbours
    if _overlaps(boxes, limit) > limit:
        detail = f"It is too tangled to be mended. {_reason(polygon)}"
        raise InvalidGeometry(detail, pointer=pointer, code="geo.invalid")
    return rounded(shapely.make_valid(polygon, method="structure", keep_collapsed=False)), True


def _reason(polygon: BaseGeometry) -> str:
    reason, _, place = shapely.is_valid_reason(polygon).rstrip("]").partition("[")
    lng, _, lat = place.partition(" ")
    return f"{reason} at longitude {lng}, latitude {lat}." if lat else f"{reason}."


def _segment_boxes(rings: list[list[Position]]) -> NDArray[np.float64]:
    """west, south, east, north of every segment, one a row."""
    boxes = []
    for ring in rings:
        points = np.array(ring)
        boxes.append(np.hstack([np.minimum(points[:-1], points[1:]), np.maximum(points[:-1], points[1:])]))
    return np.concatenate(boxes)


def _is_dense(boxes: NDArray[np.float64]) -> bool:
    """Whether more than _MAX_PAIRS ordered pairs of *boxes* overlap; no more can than do in one dimension alone."""
    bound = min(_overlaps_along(boxes[:, 0], boxes[:, 2]), _overlaps_along(boxes[:, 1], boxes[:, 3]))
    return bound > _MAX_PAIRS and _overlaps(boxes, _MAX_PAIRS) > _MAX_PAIRS


def _overlaps_along(low: NDArray[np.float64], high: NDArray[np.float64]) -> int:
    begun = np.searchsorted(np.sort(low), high, side="right")
    ended = np.searchsorted(np.sort(high), low, side="left")
    return int(begun.sum() - ended.sum())


def _overlaps(boxes: NDArray[np.float64], limit: int) -> int:
    """How many ordered pairs of *boxes* overlap, counted no further than just past *limit*."""
    shapes = shapely.box(*boxes.T)
    tree = shapely.STRtree(shapes)
    count = 0
    for start in range(0, len(shapes), 64):
        count += tree.query(shapes[start : start + 64]).shape[1]
        if count > limit:
            break
    return count
