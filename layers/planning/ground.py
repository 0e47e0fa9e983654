"""Which ground a feature covers: stored when it is written, or made when it is asked for. Pure, and heavy.

`layers.commit` stores what `coverage_of` says; `loading` asks `grounds` for the rest, all of a layer at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import shapely

from layers.errors import Invalid, TooLarge
from layers.hexes import (
    Hexes,
    HexesError,
    TooManyCells,
    disk,
    disks,
    estimate_cells,
    fill,
    fills,
    union_by,
)
from layers.kinds import COVERING
from layers.model import BBox, LayerRules
from layers.planning.model import Along, Geometry, Row, Rule, Source, Straight
from layers.planning.streets import Streets

MAX_STORED_CELLS = 1_000_000
"""Cells that one feature may cover: a fill of some 20 ms. About a hundred thousand km² at resolution 9."""
MAX_AREA_CELLS = 5_000_000
"""Cells of the area of one analysis: half a million km² at resolution 9."""


def coverage_of(
    kind: str, geometry: Geometry, properties: Mapping[str, Any], rules: LayerRules
) -> bytes | None:
    """The hexes that a feature covers, packed, at the layer's resolution; None if it covers no ground.

    *geometry* is the GeoJSON geometry as it is placed (in range, split at the antimeridian). Raises `TooLarge`
    (`h3.too_many_cells`) for more than MAX_STORED_CELLS.
    """
    if kind not in COVERING:
        return None
    reach_m = properties.get("reach_m")
    reach_m = rules.reach_m if reach_m is None else float(reach_m)
    with hexes_errors():
        if kind == "coverage":
            return fill(geometry, rules.resolution, limit=MAX_STORED_CELLS).pack()
        return None if reach_m is None else _site(geometry, reach_m, rules.resolution).pack()


def _site(geometry: Geometry, reach_m: float, resolution: int) -> Hexes:
    """What an asset covers: the disk round its middle, and the ground it stands on."""
    middle = shapely.geometry.shape(geometry).envelope.centroid
    around = disk(middle.x, middle.y, reach_m, resolution)
    return (
        around if geometry["type"] == "Point" else around | fill(geometry, resolution, limit=MAX_STORED_CELLS)
    )


def check_area(area: Geometry, resolution: int, *, limit: int = MAX_AREA_CELLS) -> int:
    """The number of cells to expect of *area*, by estimate; `TooLarge` (`h3.too_many_cells`) beyond *limit*."""
    with hexes_errors():
        expected = estimate_cells(area, resolution)
    if expected > limit:
        detail = (
            f"The area has about {expected:,} cells at resolution {resolution}, and the limit is {limit:,}: "
            "take a smaller area or a coarser resolution."
        )
        raise TooLarge(detail, pointer="/area", code="h3.too_many_cells")
    return expected


class Ground:
    """What one feature covers: `hexes`, where it is, and how far it reaches (None where its ground is no disk)."""

    __slots__ = ("hexes", "place", "reach_m")

    def __init__(self, hexes: Hexes, place: tuple[float, float], reach_m: float | None) -> None:
        self.hexes, self.place, self.reach_m = hexes, place, reach_m


class _Start(NamedTuple):
    """A feature whose ground is still to be made: its row by number, its middle, and its reach, if it has any."""

    number: int
    place: tuple[float, float]
    reach_m: float | None


def grounds(
    source: Source,
    rows: Sequence[Row],
    properties: Sequence[Mapping[str, Any]],
    boxes: Sequence[BBox],
    resolution: int,
    rule: Rule,
    streets: Streets | None = None,
) -> list[Ground | None]:
    """What each of *rows* of *source* covers; None for what states no reach. Ground beyond *boxes* may be left out."""
    found: list[Ground | None] = [None] * len(rows)
    points: list[_Start] = []
    shapes: list[_Start] = []
    for number, (row, stated) in enumerate(zip(rows, properties, strict=True)):
        place = _place_of(row)
        if place is None:
            continue
        polygon = _is_polygon(source, row)
        reach_m = None if polygon else _reach_m(source, stated, rule)
        if row.stored is not None and (polygon or rule.reach is None):
            found[number] = Ground(Hexes.unpack(row.stored), place, reach_m)
        elif polygon or reach_m is not None:
            (points if row.shape is None else shapes).append(_Start(number, place, reach_m))
    made = [
        *_reached(points, resolution, rule, streets),
        *_of_shapes(source, rows, shapes, boxes, resolution),
    ]
    for start, hexes in zip([*points, *shapes], made, strict=True):
        found[start.number] = Ground(hexes, start.place, start.reach_m)
    return found


def _place_of(row: Row) -> tuple[float, float] | None:
    if row.shape is not None:
        middle = shapely.from_geojson(row.shape).envelope.centroid
        return middle.x, middle.y
    return None if row.lng is None or row.lat is None else (row.lng, row.lat)


def _is_polygon(source: Source, row: Row) -> bool:
    """Whether it covers its polygon, and nothing round it."""
    return source.kind == "coverage" and row.shape is not None


def _reached(starts: Sequence[_Start], resolution: int, rule: Rule, streets: Streets | None) -> list[Hexes]:
    """What is reached from each of *starts*: along streets, or all around."""
    if not starts:
        return []
    if streets is None or not isinstance(rule.reach, Along):
        return _disks(starts, resolution)
    found = streets.reach([each.place for each in starts], rule.reach.minutes)
    # A cell counts as reached when its centre is, at whatever resolution the streets are kept.
    return [each.by_center(resolution) for each in found]


def _reach_m(source: Source, stated: Mapping[str, Any], rule: Rule) -> float | None:
    match rule.reach:
        case Straight(metres):
            return metres
        case Along(minutes, speed_kmh):
            return minutes * speed_kmh * 1000 / 60
        case None:
            reach_m = stated.get("reach_m")
            return source.reach_m if reach_m is None else float(reach_m)


def _disks(starts: Sequence[_Start], resolution: int) -> list[Hexes]:
    return disks([each.place for each in starts], [each.reach_m or 0.0 for each in starts], resolution)


def _of_shapes(
    source: Source, rows: Sequence[Row], starts: Sequence[_Start], boxes: Sequence[BBox], resolution: int
) -> list[Hexes]:
    """Of coverage its polygon; of a site the disk round its middle, and the ground it stands on."""
    shapes = [rows[each.number].shape or "" for each in starts]
    if source.kind == "coverage":
        return _fills_within(shapes, boxes, resolution)
    grown = fills([json.loads(shape) for shape in shapes], resolution, limit=MAX_STORED_CELLS)
    return [own | around for own, around in zip(grown, _disks(starts, resolution), strict=True)]


def _fills_within(shapes: Sequence[str], boxes: Sequence[BBox], resolution: int) -> list[Hexes]:
    """The hexes of polygons as far as they matter: a county is not filled for the sake of a block."""
    whole: list[int] = []
    parts: list[Geometry] = []
    owners: list[int] = []
    for number, polygon in enumerate(shapely.from_geojson(shapes)):
        if any(shapely.contains(shapely.box(*box), polygon) for box in boxes):
            whole.append(number)
            continue
        for part in (
            each for box in boxes for each in shapely.get_parts(shapely.clip_by_rect(polygon, *box))
        ):
            if part.geom_type == "Polygon" and not part.is_empty:
                parts.append(json.loads(shapely.to_geojson(part)))
                owners.append(number)
    filled = union_by(fills(parts, resolution, at_least_one=False), resolution, owners)
    filled |= zip(whole, fills([json.loads(shapes[number]) for number in whole], resolution), strict=True)
    return [filled.get(number, Hexes.empty(resolution)) for number in range(len(shapes))]


def boxes_near(area: Geometry, margin_m: float, resolution: int) -> list[BBox]:
    """Boxes that hold all ground within *margin_m* of the cells of *area*, none across the antimeridian."""
    boxes: list[BBox] = []
    parts = [area["coordinates"]] if area["type"] == "Polygon" else area["coordinates"]
    for west, south, east, north in (shapely.Polygon(part[0]).bounds for part in parts):
        # A cell's centre is at most its longest edge beyond an area smaller than itself.
        rise = math.degrees((margin_m + 1.5 * edge_m(resolution)) / 6_371_000)
        top = max(abs(south), abs(north)) + rise
        run = 360.0 if top > 89 else rise / math.cos(math.radians(top))
        low, high = max(south - rise, -90.0), min(north + rise, 90.0)
        boxes += [(left, low, right, high) for left, right in _spans(west - run, east + run)]
    return boxes


def _spans(west: float, east: float) -> list[tuple[float, float]]:
    """The longitudes from *west* to *east*, which may lie beyond ±180, as spans within."""
    if east - west >= 360:
        return [(-180.0, 180.0)]
    spans = [(max(west, -180.0), min(east, 180.0))]
    if west < -180:
        spans.append((west + 360, 180.0))
    if east > 180:
        spans.append((-180.0, east - 360))
    return spans


def edge_m(resolution: int) -> float:
    """Mean edge of a cell: 1,281 km at resolution 0, a √7th with each finer one."""
    return 1_281_256.0 / 7 ** (resolution / 2)


@contextmanager
def hexes_errors() -> Iterator[None]:
    """What `hexes` refuses, as errors of the domain: it knows none, so that it can stand alone."""
    try:
        yield
    except TooManyCells as error:
        raise TooLarge(str(error), code=error.code) from None
    except HexesError as error:
        raise Invalid(str(error), code=error.code) from None
