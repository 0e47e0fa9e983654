"""What a viewer's view of the map takes in: the check of a view, and the H3 cells that stand for it.

A view of any size touches 6 to 40 cells of the resolution that fits it, and takes in one ring of cells around. What
is within the ring is there before the map is panned to it, and a small pan changes nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, cos, pi, radians, sin, sqrt
from weakref import WeakValueDictionary

from h3.api import basic_int as h3

from layers.errors import Invalid
from layers.model import BBox

Cell = int
"""An H3 cell as a number."""

FINEST = 12
"""The resolution at which places are noted: cells of 20 m."""
NEAREST = 11
"""The finest resolution of a sight: cells of 50 m, of which the nearest view of a map takes in a few."""
MOST_CELLS = 36
"""In a view, on average over where it lies, so that it is never more than 40; a step of resolution makes seven of
one, so the fewest are about six."""
SAMPLING = 0.5
"""Distance of the samples of a box, in edges of a cell: the cell of any place in the box is that of a sample, or
one beside it, even where cells are smallest."""
MARGIN = 0.5
"""How far beyond the view everything is certain to be seen, in edges of a cell, east and west measured where the view
is widest: so far it may be panned for nothing."""
SHARED_CELLS = 32_768
"""Of so many cells, the last that were seen anew, sights share the number; some 6 MB."""
LNG_LIMIT = 540.0
"""How far a map that has been panned around the world may count on; beyond that it is a mistake."""
EARTH_KM = 6371.0072
KM_PER_DEGREE = pi * EARTH_KM / 180.0

EDGE_KM = [h3.average_hexagon_edge_length(resolution, "km") for resolution in range(NEAREST + 1)]
FINEST_KM2: float = h3.average_hexagon_area(FINEST, "km^2")
AREA_KM2 = [h3.average_hexagon_area(resolution, "km^2") for resolution in range(NEAREST + 1)]

# In a cell's number, bits 52 to 55 are its resolution; its digits follow, three bits each, all set where it has none.
_DIGIT_BITS = [3 * (15 - resolution) for resolution in range(16)]
KEEP = [~(0xF << 52 | (1 << bits) - 1) for bits in _DIGIT_BITS]
FILL = [resolution << 52 | (1 << bits) - 1 for resolution, bits in enumerate(_DIGIT_BITS)]


def finest_cell(lng: float, lat: float) -> Cell:
    """The finest cell at a place; a coarser one that holds it is `cell & KEEP[resolution] | FILL[resolution]`."""
    cell: Cell = h3.latlng_to_cell(lat, lng, FINEST)
    return cell


@dataclass(frozen=True, slots=True)
class View:
    """What a viewer's map shows, in degrees; `west > east` crosses the antimeridian."""

    bbox: BBox
    zoom: float | None = None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Sight:
    """What a viewer is told of: the places within some cells, the shapes that touch some boxes, of some statuses.

    A box has one sight for all who come to look at it (`sight_of`), which is quicker to tell than an equal one.
    """

    resolution: int | None = None
    """Of the cells; None: it takes in the world."""
    cells: frozenset[Cell] = frozenset()
    boxes: tuple[BBox, ...] = ()
    """Everything within these is seen; none crosses the antimeridian."""
    statuses: frozenset[str | None] | None = None
    """The values of a feature's `status` that are wanted, None for a feature without one; None: all are."""
    compact: tuple[Cell, ...] = ()
    """The cells, and in the place of all children of one cell that cell: about half as many."""

    def holds(self, cell: Cell) -> bool:
        """Whether a place in that finest cell is within the cells."""
        resolution = self.resolution
        return resolution is None or (cell & KEEP[resolution] | FILL[resolution]) in self.cells

    def touches(self, bbox: BBox | None) -> bool:
        """Whether a shape of that extent touches the boxes; one without a place always does."""
        if bbox is None or self.resolution is None:
            return True
        west, south, east, north = bbox
        if west > east:  # It crosses the antimeridian, and is taken to be as wide as the world.
            west, east = -180.0, 180.0
        return any(
            west <= box[2] and east >= box[0] and south <= box[3] and north >= box[1] for box in self.boxes
        )

    def takes_in(self, view: View | None) -> bool:
        """Whether everything in *view* is certain to be seen."""
        if self.resolution is None or view is None:
            return self.resolution is None
        return all(
            any(
                box[0] <= west and box[1] <= south and box[2] >= east and box[3] >= north
                for box in self.boxes
            )
            for west, south, east, north in _unwrapped(*view.bbox)
        )

    def turned_to(self, view: View | None) -> Sight:
        """The sight for *view*: this one for as long as it takes that in and its cells are not too coarse."""
        resolution = None if view is None else resolution_for(view)
        if self.resolution is None or resolution is None:
            fits = self.resolution is resolution
        else:
            fits = resolution <= self.resolution and self.takes_in(view)
        return self if fits else sight_of(view, self.statuses)


EVERYTHING = Sight()
"""A sight without limit."""
_SIGHTS: WeakValueDictionary[tuple[BBox | None, frozenset[str | None] | None], Sight] = WeakValueDictionary()
"""The sights that somebody has now, by what they were made out for."""
_SIGHTS[None, None] = EVERYTHING


def resolution_for(view: View) -> int | None:
    """The finest resolution at which *view* touches `MOST_CELLS` cells or fewer; None: even the coarsest has more."""
    west, south, east, north = view.bbox
    width_deg = east - west if west <= east else east - west + 360.0
    height_km = (north - south) * KM_PER_DEGREE
    area_km2 = EARTH_KM**2 * radians(min(width_deg, 360.0)) * (sin(radians(north)) - sin(radians(south)))
    # Half of what its two parallels are long: near a pole one of them is far shorter than the other.
    width_km = min(width_deg, 360.0) * KM_PER_DEGREE * (cos(radians(south)) + cos(radians(north))) / 2
    share = _share_of_average(view.bbox, width_deg)
    for resolution in range(NEAREST, -1, -1):
        # How many cells a box touches on average, wherever it lies (Santaló, Integral Geometry, on convex sets).
        around_km2 = 6 * EDGE_KM[resolution] * sqrt(share) / pi * (width_km + height_km)
        if 1 + (area_km2 + around_km2) / (AREA_KM2[resolution] * share) <= MOST_CELLS:
            return resolution
    return None


def _share_of_average(bbox: BBox, width_deg: float) -> float:
    """How large cells are in that box, where they are smallest, by the average of the world's: 0.6 to 1.2 or so."""
    west, south, _, north = bbox
    middle = (west + width_deg / 2, (south + north) / 2)
    corners = [(west + lng, lat) for lng in (0.0, width_deg) for lat in (south, north)]
    smallest: float = min(h3.cell_area(finest_cell(lng, lat), "km^2") for lng, lat in (middle, *corners))
    return smallest / FINEST_KM2


def sight_of(view: View | None, statuses: frozenset[str | None] | None = None) -> Sight:
    """The sight that stands for *view*; None is a view without limit."""
    resolution = None if view is None else resolution_for(view)
    bbox = None if view is None or resolution is None else view.bbox
    sight = _SIGHTS.get((bbox, statuses))
    if sight is None:
        sight = _SIGHTS[bbox, statuses] = _made_out(bbox, resolution, statuses)
    return sight


def _made_out(bbox: BBox | None, resolution: int | None, statuses: frozenset[str | None] | None) -> Sight:
    if bbox is None or resolution is None:
        return Sight(statuses=statuses)
    boxes = tuple(_widened(bbox, MARGIN * EDGE_KM[resolution]))
    touched = {
        h3.cell_to_parent(finest_cell(lng, lat), resolution)
        for box in boxes
        for lng, lat in _samples(box, SAMPLING * EDGE_KM[resolution])
    }
    cells = frozenset(cell for each in touched for cell in h3.grid_disk(each, 1))
    return Sight(resolution, cells, boxes, statuses, _compact(cells, resolution))


def _compact(cells: frozenset[Cell], resolution: int) -> tuple[Cell, ...]:
    """*cells*, of that resolution, told one resolution coarser where that says the same."""
    if resolution == 0:
        return tuple(cells)
    parents = {h3.cell_to_parent(cell, resolution - 1) for cell in cells}
    families = {parent: h3.cell_to_children(parent, resolution) for parent in parents}
    whole = {parent: children for parent, children in families.items() if cells.issuperset(children)}
    return tuple(map(_shared, cells.difference(*whole.values()).union(whole)))


@lru_cache(SHARED_CELLS)
def _shared(cell: Cell) -> Cell:
    """One object for all sights that hold the cell, so that what a tick looks up stays in the processor's cache."""
    return cell


def _unwrapped(west: float, south: float, east: float, north: float) -> Iterator[BBox]:
    """The box within ±180 degrees, in two parts where it crosses the antimeridian."""
    width = east - west if west <= east else east - west + 360.0
    if width >= 360.0:
        yield (-180.0, south, 180.0, north)
        return
    west = (west + 180.0) % 360.0 - 180.0
    east = west + width
    yield (west, south, min(east, 180.0), north)
    # 180 and -180 are one meridian: a view that touches it from either side sees what stands on it.
    if east >= 180.0:
        yield (-180.0, south, east - 360.0, north)
    elif west == -180.0:
        yield (180.0, south, 180.0, north)


def _widened(bbox: BBox, margin_km: float) -> Iterator[BBox]:
    west, south, east, north = bbox
    margin_deg = margin_km / KM_PER_DEGREE
    south, north = south - margin_deg, north + margin_deg
    width = east - west if west <= east else east - west + 360.0
    beside = margin_deg / cos(radians(0.0 if south <= 0.0 <= north else min(abs(south), abs(north))))
    if south <= -90.0 or north >= 90.0 or width + 2 * beside >= 360.0:
        yield (-180.0, max(south, -90.0), 180.0, min(north, 90.0))
        return
    yield from _unwrapped(west - beside, south, west + width + beside, north)


def _samples(box: BBox, step_km: float) -> Iterator[tuple[float, float]]:
    """Places in *box*, its border included, such that none of its places is further than √½ *step_km* from one."""
    west, south, east, north = box
    rows = ceil((north - south) * KM_PER_DEGREE / step_km)
    for row in range(rows + 1):
        lat = south + (north - south) * (row / rows if rows else 0.0)
        columns = ceil((east - west) * KM_PER_DEGREE * cos(radians(lat)) / step_km)
        for column in range(columns + 1):
            yield west + (east - west) * (column / columns if columns else 0.0), lat


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
