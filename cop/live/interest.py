"""What a viewer's view of the map takes in: the check of a view, and the cells that stand for it.

A view is rounded outwards to square cells in degrees, so that viewers of the same place share their
frames and a small pan changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, log2

from layers.errors import Invalid
from layers.model import BBox

Cell = int
"""One cell of one level: row and column in one number."""
Span = tuple[int, int, int, int]
"""First column, first row, last column, last row of a rectangle of cells; all inclusive."""

ACROSS = 4
"""A view is two to four cells wide: 4 to 25 cells, so a frame is a join of a few strings."""
FINEST_LEVEL = 20
"""Cells of 0.00034 degrees, about 38 m: a view smaller than that is rounded up to a few of them."""
PER_DEGREE = 2**FINEST_LEVEL / 360.0
LAST_COLUMN = 2**FINEST_LEVEL - 1
COLUMN_BITS = FINEST_LEVEL + 1
LNG_LIMIT = 540.0
"""How far a map that has been panned around the world may count on; beyond that it is a mistake."""


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer's map shows, in degrees; `west > east` crosses the antimeridian."""

    bbox: BBox
    zoom: float | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """The cells of one level that a viewer sees, as one rectangle, or two across the antimeridian."""

    level: int
    spans: tuple[Span, ...]
    """The rectangles in cells of the finest level, as features have them."""
    cells: frozenset[Cell] = field(compare=False, repr=False)

    def sees(self, span: Span | None) -> bool:
        """Whether a feature that touches these finest cells is in view; one without a place always is."""
        if span is None:
            return True
        west, south, east, north = span
        for first_column, first_row, last_column, last_row in self.spans:
            if west <= last_column and east >= first_column and south <= last_row and north >= first_row:
                return True
        return False


def cell_at(column: int, row: int) -> Cell:
    """The number of a cell."""
    return row << COLUMN_BITS | column


def around(a: Span, b: Span) -> Span:
    """The smallest rectangle of cells that holds both."""
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def span_of(bbox: BBox | None) -> Span | None:
    """The finest cells that a bounding box touches; across the antimeridian it counts as all longitudes.

    Shifted right by n bits they are the cells that it touches n levels above.
    """
    if bbox is None:
        return None
    west, south, east, north = bbox
    if west > east:
        west, east = -180.0, 180.0
    return (
        min(int((west + 180.0) * PER_DEGREE), LAST_COLUMN),
        int((south + 90.0) * PER_DEGREE),
        min(int((east + 180.0) * PER_DEGREE), LAST_COLUMN),
        int((north + 90.0) * PER_DEGREE),
    )


def sight_over(level: int, *boxes: BBox) -> Sight:
    """The sight that takes in these boxes, none of which crosses the antimeridian."""
    shift = FINEST_LEVEL - level
    spans, cells = [], set()
    for west, south, east, north in filter(None, map(span_of, boxes)):
        columns = range(west >> shift, (east >> shift) + 1)
        rows = range(south >> shift, (north >> shift) + 1)
        cells |= {cell_at(column, row) for column in columns for row in rows}
        spans.append(
            (
                columns[0] << shift,
                rows[0] << shift,
                (columns[-1] + 1 << shift) - 1,
                (rows[-1] + 1 << shift) - 1,
            )
        )
    return Sight(level, tuple(spans), frozenset(cells))


EVERYTHING = sight_over(0, (-180.0, -90.0, 180.0, 90.0))
"""A sight without limit: at level 0 one cell is the world."""


def sight_of(view: View | None) -> Sight:
    """The cells that stand for *view*; None is a view without limit."""
    if view is None:
        return EVERYTHING
    west, south, east, north = view.bbox
    width = east - west if west <= east else east - west + 360.0
    if width >= 360.0:
        west, width = -180.0, 360.0
    widest = max(width, north - south, 360.0 * ACROSS / 2**FINEST_LEVEL)
    level = floor(log2(360.0 * ACROSS / widest))
    west = (west + 180.0) % 360.0 - 180.0
    east = west + width
    boxes = [(west, south, min(east, 180.0), north)]
    # 180 and -180 are one meridian: a view that touches it from either side sees what stands on it.
    if east >= 180.0:
        boxes.append((-180.0, south, east - 360.0, north))
    elif west == -180.0:
        boxes.append((180.0, south, 180.0, north))
    return sight_over(level, *boxes)


def view_from(value: object) -> View | None:
    """Check a view as a client sends it: `{"bbox": [west, south, east, north], "zoom": number}` or null.

    Raises `Invalid` with code `live.view`.
    """
    match value:
        case None:
            return None
        case {"bbox": [west, south, east, north], **rest}:
            bbox = (_number(west), _number(south), _number(east), _number(north))
        case _:
            raise _invalid("A view is {bbox: [west, south, east, north], zoom} or null.")
    if not -90.0 <= bbox[1] <= bbox[3] <= 90.0:
        raise _invalid(f"Expected -90 ≤ south ≤ north ≤ 90, got {bbox[1]} and {bbox[3]}.")
    if max(abs(bbox[0]), abs(bbox[2])) > LNG_LIMIT:
        raise _invalid(f"Expected longitudes within ±{LNG_LIMIT:.0f}, got {bbox[0]} and {bbox[2]}.")
    zoom = rest.get("zoom")
    return View(bbox, None if zoom is None else _number(zoom))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        raise _invalid("Expected finite numbers in the view.")
    return float(value)


def _invalid(detail: str) -> Invalid:
    return Invalid(detail, code="live.view", pointer="/view")
