"""Which ground the features of the picture cover, and the analysis of what was read of them. Pure, and heavy.

`layers.commit` stores what `coverage_of` says; `layers.coverage` reads a `Case`, and another process works it out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import shapely

from layers.errors import Invalid, TooLarge
from layers.gaps import Analysis, Cover, analyse
from layers.hexes import Hexes, HexesError, TooManyCells, disk, disks, estimate_cells, fill
from layers.model import BBox, LayerName, LayerRules

COVERING = frozenset({"assets", "coverage"})
"""Kinds whose features' hexes are stored at write. Units cover ground too, but move: theirs are made when asked for."""
ANALYSED = COVERING | {"units"}
"""Kinds whose features can cover ground."""
MAX_STORED_CELLS = 1_000_000
"""Cells that one feature may cover: a fill of some 20 ms. About a hundred thousand km² at resolution 9."""
MAX_AREA_CELLS = 5_000_000
"""Cells of the area of one analysis: half a million km² at resolution 9."""

Geometry = Mapping[str, Any]


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
    with _hexes_errors():
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


@dataclass(frozen=True, slots=True)
class Source:
    """What one layer brings to an analysis, as it was read: nothing of it is worked out yet."""

    layer: LayerName
    agency: str
    kind: str
    epoch: UUID
    revision: int
    stored: tuple[bytes, ...]
    """Packed hexes of the resolution asked for."""
    points: tuple[tuple[float, float, float], ...]
    """Longitude, latitude and reach in metres of what has no stored hexes."""
    shapes: tuple[tuple[str, float | None], ...]
    """GeoJSON polygons without stored hexes, with their reach."""
    held: int = 0
    """Features of the layer, wherever they are."""
    found: int = 0
    """Those near the area that meet `where`."""
    reachless: int = 0
    """Those found that cover nothing, for neither they nor their layer state `reach_m`."""


@dataclass(frozen=True, slots=True)
class Case:
    """One analysis, ready to be worked out in another process."""

    area: Geometry
    resolution: int
    at_least: int
    sources: tuple[Source, ...]


def notes(sources: Sequence[Source], covering: Mapping[LayerName, int]) -> list[str]:
    """What a planner should know before believing a gap: which layers, or how much of them, counted for nothing.

    *covering* is how many features of each layer cover any of the area.
    """
    silent = [source for source in sources if source.held and not covering.get(source.layer)]
    empty = [source.layer for source in silent if not source.found]
    mute = [source.layer for source in silent if source.found and source.reachless == source.found]
    found = []
    if mute:
        found.append(
            f"Without any reach_m, of a feature or of the layer, and so without cover: {', '.join(mute)}."
        )
    if empty:
        found.append(f"Without any feature near the area that meets “where”: {', '.join(empty)}.")
    for source in sources:
        if source.layer in empty or source.layer in mute:
            continue
        if source.reachless:
            found.append(
                f"{source.layer}: {source.reachless} of {source.found} features near the area state no reach_m."
            )
        elif source in silent:
            found.append(f"{source.layer}: its {source.found} features near the area reach none of it.")
    return found


class Input(NamedTuple):
    """A layer that an analysis rests on: as of which revision, and how many of its features cover any of the area."""

    layer: LayerName
    epoch: UUID
    revision: int
    features: int


def check_area(area: Geometry, resolution: int, *, limit: int = MAX_AREA_CELLS) -> int:
    """The number of cells to expect of *area*, by estimate; `TooLarge` (`h3.too_many_cells`) beyond *limit*."""
    with _hexes_errors():
        expected = estimate_cells(area, resolution)
    if expected > limit:
        detail = (
            f"The area has about {expected:,} cells at resolution {resolution}, and the limit is {limit:,}: "
            "take a smaller area or a coarser resolution."
        )
        raise TooLarge(detail, pointer="/area", code="h3.too_many_cells")
    return expected


def work_out(case: Case) -> tuple[Analysis, list[Input]]:
    """The analysis of *case* and what it rests on. Pure, and heavy: not for an event loop."""
    covers: list[Cover] = []
    inputs: list[Input] = []
    with _hexes_errors():
        area = fill(case.area, case.resolution)
        boxes = boxes_near(case.area, 0.0, case.resolution)
        for source in case.sources:
            near = [ground for ground in _grounds(source, boxes, case.resolution) if ground.touches(area)]
            covers += [Cover(source.agency, ground) for ground in near]
            inputs.append(Input(source.layer, source.epoch, source.revision, len(near)))
    return analyse(area, covers, case.at_least), inputs


def _grounds(source: Source, boxes: Sequence[BBox], resolution: int) -> Iterator[Hexes]:
    yield from map(Hexes.unpack, source.stored)
    if source.points:
        places = [(lng, lat) for lng, lat, _ in source.points]
        yield from disks(places, [reach_m for *_, reach_m in source.points], resolution)
    for shape, reach_m in source.shapes:
        if source.kind == "coverage":
            yield _fill_within(shape, boxes, resolution)
        elif reach_m is not None:
            yield _site(json.loads(shape), reach_m, resolution)


def _fill_within(shape: str, boxes: Sequence[BBox], resolution: int) -> Hexes:
    """The hexes of a polygon as far as they matter: a county is not filled for the sake of a block."""
    polygon = shapely.from_geojson(shape)
    found = Hexes.empty(resolution)
    for box in boxes:
        clipped = shapely.clip_by_rect(polygon, *box)
        if shapely.contains(shapely.box(*box), polygon):
            return fill(json.loads(shape), resolution)
        for part in shapely.get_parts(clipped):
            if part.geom_type == "Polygon" and not part.is_empty:
                found |= fill(json.loads(shapely.to_geojson(part)), resolution, at_least_one=False)
    return found


def boxes_near(area: Geometry, margin_m: float, resolution: int) -> list[BBox]:
    """Boxes that hold all ground within *margin_m* of the cells of *area*, none across the antimeridian."""
    boxes: list[BBox] = []
    parts = [area["coordinates"]] if area["type"] == "Polygon" else area["coordinates"]
    for west, south, east, north in (shapely.Polygon(part[0]).bounds for part in parts):
        # A cell's centre is at most its longest edge beyond an area smaller than itself.
        rise = math.degrees((margin_m + 1.5 * _edge_m(resolution)) / 6_371_000)
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


def _edge_m(resolution: int) -> float:
    """Mean edge of a cell: 1,281 km at resolution 0, a √7th with each finer one."""
    return 1_281_256.0 / 7 ** (resolution / 2)


@contextmanager
def _hexes_errors() -> Iterator[None]:
    """What `hexes` refuses, as errors of the domain: it knows none, so that it can stand alone."""
    try:
        yield
    except TooManyCells as error:
        raise TooLarge(str(error), code=error.code) from None
    except HexesError as error:
        raise Invalid(str(error), code=error.code) from None
