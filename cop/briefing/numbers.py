"""Where the numbers of gaps stand on a briefing's map: well inside of a large gap, beside a small one. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from layers.model import BBox, JsonObject

METRES_A_DEGREE = 111_195.0
"""Of latitude, on the sphere whose surface is the earth's."""
AROUND = (45, 135, 315, 225, 90, 0, 180, 270)
"""Degrees counterclockwise from east: where a number goes that has no room in its gap, all else alike the first."""
Place = tuple[float, float]
"""Right and up, in what numbers are measured in."""


@dataclass(frozen=True, slots=True)
class Spot:
    """The point of a gap that is the furthest from its border, and how far that is."""

    lng: float
    lat: float
    room_m: float


@dataclass(frozen=True, slots=True)
class Size:
    """How large a number is drawn, and how many of the same units a metre of ground is."""

    width: float
    height: float
    each_m: float


def spots(middles: Sequence[tuple[float, float]], pieces: Sequence[JsonObject]) -> list[Spot]:
    """A spot in each of the gaps that hold *middles*; *pieces* are GeoJSON features with `role`.

    Exact to a thousandth of a gap's extent; a middle that no gap holds stays where it is, without room.
    """
    gaps = [
        shapely.geometry.shape(each["geometry"]) for each in pieces if each["properties"]["role"] == "gap"
    ]
    tree = shapely.STRtree(gaps)
    found = []
    for lng, lat in middles:
        at = tree.query(shapely.Point(lng, lat), predicate="intersects")
        found.append(_spot(gaps[at[0]]) if len(at) else Spot(lng, lat, 0.0))
    return found


def _spot(gap: Any) -> Spot:
    _, south, _, north = gap.bounds
    narrower = math.cos(math.radians((south + north) / 2))
    flat = shapely.transform(gap, lambda xy: xy * (narrower * METRES_A_DEGREE, METRES_A_DEGREE))
    radius = shapely.maximum_inscribed_circle(flat)
    (x, y), _ = shapely.get_coordinates(radius).tolist()
    return Spot(x / narrower / METRES_A_DEGREE, y / METRES_A_DEGREE, float(radius.length))


def asides(found: Sequence[Spot], size: Size) -> list[Place]:
    """How far right of its spot, and above it, the middle of each number stands: (0, 0) where the gap has room for it.

    A number beside its gap covers no other number nor any spot without room, as long as one of eight places is free.
    """
    at = [_drawn(each, size) for each in found]
    cramped = [each.room_m * size.each_m < math.hypot(size.width, size.height) / 2 for each in found]
    taken = [_box(*place, size) for place, small in zip(at, cramped, strict=True) if not small]
    taken += [shapely.Point(place) for place, small in zip(at, cramped, strict=True) if small]
    moved = []
    for index, (place, small) in enumerate(zip(at, cramped, strict=True)):
        others = [each for other, each in enumerate(at) if other != index and cramped[other]]
        aside = _free(place, size, taken, others) if small else (0.0, 0.0)
        if small:
            taken.append(_box(place[0] + aside[0], place[1] + aside[1], size))
        moved.append(aside)
    return moved


def _free(place: Place, size: Size, taken: Sequence[Any], others: Sequence[Place]) -> Place:
    """The place around *place* that is free and leads away from *others*, so that no two lines cross without need."""
    far = math.hypot(size.width, size.height)
    places = [(far * math.cos(math.radians(turn)), far * math.sin(math.radians(turn))) for turn in AROUND]

    def away(aside: Place) -> float:
        here = (place[0] + aside[0], place[1] + aside[1])
        return min([3 * far, *(math.dist(here, each) for each in others)])

    def is_free(aside: Place) -> bool:
        box = _box(place[0] + aside[0], place[1] + aside[1], size)
        return not shapely.intersects(box, taken).any()

    return max(filter(is_free, places), key=away, default=places[0])


def _drawn(spot: Spot, size: Size) -> Place:
    each_degree = METRES_A_DEGREE * size.each_m
    return spot.lng * math.cos(math.radians(spot.lat)) * each_degree, spot.lat * each_degree


def _box(x: float, y: float, size: Size) -> Any:
    return shapely.box(x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)


def each_metre(box: BBox, width: float, height: float) -> float:
    """How long a metre is drawn where all of *box* (west ≤ east) fits into *width* by *height*."""
    west, south, east, north = box
    narrower = max(math.cos(math.radians((south + north) / 2)), 0.05)
    across, up = (east - west) * narrower * METRES_A_DEGREE, (north - south) * METRES_A_DEGREE
    return min(width / max(across, 1.0), height / max(up, 1.0))
