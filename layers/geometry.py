"""Says whether a GeoJSON geometry can be placed on the earth, and gives it the form in which it is stored.

`layers.admission` hands it the geometry of each feature pushed; the coverage analysis hands it the area asked about.
Our own checks come first, so that GEOS and PostGIS only ever see finite numbers in range and bounded sizes.
"""

from __future__ import annotations

import math
from itertools import pairwise
from struct import Struct
from typing import Any, NamedTuple

import h3.api.basic_int as h3
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from layers.antimeridian import beside, cut_line, cut_polygon, parts_of, shifted, turn_home
from layers.errors import InvalidGeometry, TooLarge
from layers.model import BBox
from layers.rounding import DECIMALS, Position
from layers.validity import valid

POINT_RESOLUTION = 7
"""H3 resolution of a point's `cell`. About 5 km² each: coarse enough that a moving unit rarely changes cell (so that
updates stay in place), fine enough that a city falls into a hundred."""
MAX_VERTICES = 10_000
MAX_AREA_KM2 = 10_000_000.0
"""Larger than the United States; beyond it a polygon is taken for a mistake (a whole-world box)."""

_EARTH_RADIUS_KM = 6371.0088
_BBOX_TOLERANCE = 1e-4
_CRS84 = frozenset(
    {
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:OGC::CRS84",
        "OGC:CRS84",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        "https://www.opengis.net/def/crs/OGC/1.3/CRS84",
    }
)
_GEOJSON_TYPES = frozenset(
    {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}
)
# Byte order 1 (little endian), type Point with the SRID flag, SRID 4326.
_POINT_EWKB = Struct("<BIIdd")
_POINT_TYPE, _SRID = 0x20000001, 4326


class Placed(NamedTuple):
    """A geometry ready to be stored: 2D, in range, rounded, wound as RFC 7946 has it, split at the antimeridian."""

    ewkb: bytes
    """Little-endian EWKB with SRID 4326."""
    cell: int | None
    """The H3 cell of a point at POINT_RESOLUTION; None for everything else."""
    type: str
    repaired: bool
    """True if an invalid polygon was mended."""
    bounds: BBox
    """west > east if it crosses the antimeridian."""


def place(
    geometry: object,
    *,
    pointer: str,
    allowed: frozenset[str],
    repair: bool = False,
    max_vertices: int = MAX_VERTICES,
) -> Placed:
    """Place the GeoJSON *geometry* that stands at *pointer*, if its type is one of *allowed*.

    A third ordinate is dropped, a fourth refused. Lines and polygons may cross the antimeridian in any of three forms
    (split, 170 to -170, 170 to 190) and all are stored split; so `allowed` must hold the Multi form for them to be
    taken. An edge longer than 180 degrees of longitude is read as crossing. With *repair*, an invalid polygon is
    mended and what is left of it as an area is kept.

    Raises InvalidGeometry with the pointer of the bad coordinate, or TooLarge (`geo.vertices`).
    """
    if type(geometry) is not dict:
        raise InvalidGeometry("Expected a geometry object.", pointer=pointer, code="geo.type")
    kind = geometry.get("type")
    if type(kind) is not str or kind not in allowed:
        raise _wrong_type(kind, pointer, allowed)
    if "coordinates" not in geometry:
        raise InvalidGeometry("The geometry has no coordinates.", pointer=pointer, code="geo.empty")
    coordinates = geometry["coordinates"]
    if kind == "Point":
        placed = _place_point(coordinates, pointer)
    else:
        _check_size(coordinates, f"{pointer}/coordinates", max_vertices)
        placed = _place_extended(kind, coordinates, f"{pointer}/coordinates", repair)
        if placed.type not in allowed:
            detail = (
                f"Split at the antimeridian or mended it is a {placed.type}, which this layer does not take."
            )
            raise InvalidGeometry(detail, pointer=pointer, code="geo.kind")
    if len(geometry) > 2:
        check_crs(geometry, pointer)
        check_bbox(geometry, placed.bounds, pointer)
    return placed


def check_crs(holder: dict[str, Any], pointer: str) -> None:
    """Refuse a legacy `crs` member, unless it says what GeoJSON is anyway (CRS84)."""
    if "crs" not in holder:
        return
    crs = holder["crs"]
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str) or name not in _CRS84:
        detail = "GeoJSON is in CRS84 (longitude, latitude in degrees); reproject and leave out “crs”."
        raise InvalidGeometry(detail, pointer=f"{pointer}/crs", code="geo.crs")


def check_bbox(holder: dict[str, Any], bounds: BBox | None, pointer: str) -> None:
    """Refuse a `bbox` member that is none, or that does not hold what is in *bounds* (to 1e-4 degrees)."""
    if "bbox" not in holder:
        return
    bbox = holder["bbox"]
    if type(bbox) is not list or len(bbox) not in (4, 6) or not all(_is_finite(n) for n in bbox):
        detail = "A bbox is four finite numbers: west, south, east, north (six with heights)."
        raise InvalidGeometry(detail, pointer=f"{pointer}/bbox", code="geo.bbox")
    half = len(bbox) // 2
    west, south, east, north = bbox[0], bbox[1], bbox[half], bbox[half + 1]
    in_range = abs(west) <= 360 and abs(east) <= 360 and -90 <= south <= north <= 90
    if not in_range or (
        bounds is not None and not contains((west, south, east, north), bounds, _BBOX_TOLERANCE)
    ):
        detail = "The bbox contradicts the geometry; correct it or leave it out."
        raise InvalidGeometry(detail, pointer=f"{pointer}/bbox", code="geo.bbox")


def contains(area: BBox, bounds: BBox, tolerance: float = 0.0) -> bool:
    """Whether *bounds* lie within *area*, to *tolerance* degrees; both may cross the antimeridian (west > east)."""
    west, south, east, north = area
    left, low, right, high = bounds
    if low < south - tolerance or high > north + tolerance:
        return False
    width = east - west if east >= west else east - west + 360
    if width + 2 * tolerance >= 360:
        return True
    start = (left - west + tolerance) % 360
    return start + (right - left if right >= left else right - left + 360) <= width + 2 * tolerance


def area_km2(polygon: BaseGeometry) -> float:
    """Area on the sphere of one polygon in degrees whose edges are straight in longitude and latitude.

    Exact on the authalic cylinder: each edge contributes its span of longitude times the mean of the sine of its
    latitude, which is off by less than 1 % for edges shorter than ten degrees.
    """
    rings = [polygon.exterior, *polygon.interiors]
    outer, *holes = [_ring_area_km2(np.radians(shapely.get_coordinates(ring))) for ring in rings]
    return outer - sum(holes)


def _ring_area_km2(ring: NDArray[np.float64]) -> float:
    sines = np.sin(ring[:, 1])
    return abs(float(np.sum(np.diff(ring[:, 0]) * (sines[1:] + sines[:-1]) / 2))) * _EARTH_RADIUS_KM**2


# --- Points: the hot path, without shapely ---------------------------------------------------------------------


def _place_point(coordinates: object, pointer: str) -> Placed:
    if type(coordinates) is list and len(coordinates) == 2:
        lng, lat = coordinates
        lng_type, lat_type = type(lng), type(lat)
        if not (
            (lng_type is float or lng_type is int)
            and (lat_type is float or lat_type is int)
            and -180 <= lng <= 180
            and -90 <= lat <= 90
        ):
            lng, lat = _position(coordinates, f"{pointer}/coordinates", 180)
    else:
        lng, lat = _position(coordinates, f"{pointer}/coordinates", 180)
    lng = round(lng, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    lat = round(lat, DECIMALS) + 0.0
    ewkb = _POINT_EWKB.pack(1, _POINT_TYPE, _SRID, lng, lat)
    return Placed(ewkb, h3.latlng_to_cell(lat, lng, POINT_RESOLUTION), "Point", False, (lng, lat, lng, lat))


def _position(position: object, pointer: str, max_lng: int) -> Position:
    """The longitude and latitude of one position, or the reason why it is none."""
    if type(position) is not list:
        detail = f"Expected a position [longitude, latitude], got {_named(position)}."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.position")
    for i, ordinate in enumerate(position):
        if type(ordinate) is not float and type(ordinate) is not int:
            detail = f"Expected a number, got {_named(ordinate)}."
            raise InvalidGeometry(detail, pointer=f"{pointer}/{i}", code="geo.number")
        if not _is_finite(ordinate):
            raise InvalidGeometry(
                "The number is not finite.", pointer=f"{pointer}/{i}", code="geo.non_finite"
            )
    if len(position) not in (2, 3):
        detail = f"A position has 2 or 3 numbers, this one has {len(position)}."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.position")
    lng, lat = position[0], position[1]
    if not -max_lng <= lng <= max_lng:
        detail = "Longitude comes first and is within ±180 degrees; are these projected metres?"
        raise InvalidGeometry(detail, pointer=f"{pointer}/0", code="geo.range")
    if not -90 <= lat <= 90:
        detail = "Latitude comes second and is within ±90 degrees; are longitude and latitude swapped?"
        raise InvalidGeometry(detail, pointer=f"{pointer}/1", code="geo.range")
    return lng, lat


def _named(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a string"
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
        case _:
            return "a number"


def _is_finite(value: object) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _wrong_type(kind: object, pointer: str, allowed: frozenset[str]) -> InvalidGeometry:
    wanted = ", ".join(sorted(allowed))
    if isinstance(kind, str) and kind in _GEOJSON_TYPES:
        detail = f"This layer takes {wanted}; not {kind}."
        return InvalidGeometry(detail, pointer=f"{pointer}/type", code="geo.kind")
    detail = f"Expected a geometry type as GeoJSON spells it ({wanted})."
    return InvalidGeometry(detail, pointer=f"{pointer}/type", code="geo.type")


# --- Lines and polygons ----------------------------------------------------------------------------------------


def _check_size(coordinates: object, pointer: str, max_vertices: int) -> None:
    """Refuse more than *max_vertices* positions, before anything is built from them."""
    count, level = 0, [coordinates]
    while level:
        below: list[object] = []
        for value in level:
            if type(value) is list:
                if value and type(value[0]) is not list:
                    count += 1
                else:
                    below.extend(value)
        if count + len(below) > max_vertices:
            detail = f"The geometry has more than {max_vertices} vertices; simplify it."
            raise TooLarge(detail, pointer=pointer, code="geo.vertices")
        level = below


def _place_extended(kind: str, coordinates: object, pointer: str, repair: bool) -> Placed:
    repaired = False
    match kind:
        case "LineString":
            parts = _line(coordinates, pointer)
        case "MultiLineString":
            parts = [part for line, at in _array(coordinates, pointer) for part in _line(line, at)]
        case "Polygon":
            parts, repaired = _polygon(coordinates, pointer, repair)
        case "MultiPolygon":
            parts, repaired = _multipolygon(coordinates, pointer, repair)
        case _:
            detail = f"{kind} is not taken; send its parts as features of their own."
            raise InvalidGeometry(
                detail, pointer=pointer.removesuffix("/coordinates") + "/type", code="geo.kind"
            )
    whole = _joined(parts)
    ewkb = shapely.to_wkb(shapely.set_srid(whole, _SRID), byte_order=1, include_srid=True)
    return Placed(ewkb, None, whole.geom_type, repaired, _bounds(parts))


def _joined(parts: list[BaseGeometry]) -> BaseGeometry:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], Polygon):
        return MultiPolygon(parts)
    return shapely.MultiLineString(parts)


def _bounds(parts: list[BaseGeometry]) -> BBox:
    boxes = [part.bounds for part in parts]
    wests, easts = [box[0] for box in boxes], [box[2] for box in boxes]
    south, north = min(box[1] for box in boxes), max(box[3] for box in boxes)
    if max(easts) == 180 and min(wests) == -180:
        # Parts that meet at the antimeridian: what is bounded is everything but the widest gap between them.
        spans = sorted(zip(wests, easts, strict=True))
        gap, reach = (0.0, 0.0, 0.0), spans[0][1]
        for west, east in spans[1:]:
            gap = max(gap, (west - reach, reach, west))
            reach = max(reach, east)
        if gap[0] > 0:
            return gap[2], south, gap[1], north
    return min(wests), south, max(easts), north


def _array(value: object, pointer: str) -> list[tuple[object, str]]:
    if type(value) is not list or not value:
        detail = "Expected an array that is not empty."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.empty" if value == [] else "geo.position")
    return [(item, f"{pointer}/{i}") for i, item in enumerate(value)]


def _positions(value: object, pointer: str) -> list[Position]:
    """The positions of a line or ring: checked, rounded, without repeats, each near its predecessor in longitude.

    So a line that crosses the antimeridian runs on beyond 180 degrees, whichever form it was sent in.
    """
    if type(value) is not list:
        detail = f"Expected an array of positions, got {_named(value)}."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.position")
    raw = [_position(position, f"{pointer}/{i}", 360) for i, position in enumerate(value)]
    if raw and not any(-180 <= lng <= 180 for lng, _ in raw):
        detail = "Longitude comes first and is within ±180 degrees."
        raise InvalidGeometry(detail, pointer=f"{pointer}/0/0", code="geo.range")
    clean: list[Position] = []
    shift = 0
    for i, (lng, lat) in enumerate(raw):
        x, y = round(lng, DECIMALS) + 0.0, round(lat, DECIMALS) + 0.0
        if i and abs(lng - raw[i - 1][0]) > 180:
            shift += 360 if lng < raw[i - 1][0] else -360
        x = x + shift if shift == 0 else round(x + shift, DECIMALS)
        if not clean or clean[-1] != (x, y):
            clean.append((x, y))
    return clean


def _line(value: object, pointer: str) -> list[BaseGeometry]:
    points = _positions(value, pointer)
    if len(_array(value, pointer)) < 2:
        detail = "A line has at least two positions."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.empty")
    if _leaps(value):
        raise _too_wide(pointer)
    _check_span(points, pointer)
    points = shifted(points, turn_home(points))
    if len(points) == 1:  # of no length: kept as a line from the place to itself
        points = points * 2
    return [shapely.LineString(part) for part in cut_line(points)]


def _polygon(value: object, pointer: str, repair: bool) -> tuple[list[BaseGeometry], bool]:
    """The parts of one polygon, after validation and the cut at the antimeridian; and whether it was mended."""
    rings = [_ring(ring, at) for ring, at in _array(value, pointer)]
    shell = shifted(rings[0], turn_home(rings[0]))
    rings = [shell, *(beside(hole, shell) for hole in rings[1:])]
    whole, mended = valid(shapely.Polygon(shell, rings[1:]), rings, pointer, repair)
    parts = [part for polygon in _polygons(whole, pointer) for part in cut_polygon(polygon)]
    _check_area(parts, pointer)
    return [shapely.orient_polygons(part, exterior_cw=False) for part in parts], mended


def _multipolygon(value: object, pointer: str, repair: bool) -> tuple[list[BaseGeometry], bool]:
    placed = [_polygon(polygon, at, repair) for polygon, at in _array(value, pointer)]
    parts = [part for some, _ in placed for part in some]
    mended = any(was for _, was in placed)
    if len(parts) > 1:
        rings = [list(ring.coords) for part in parts for ring in (part.exterior, *part.interiors)]
        whole, merged = valid(MultiPolygon(parts), rings, pointer, repair)
        if merged:
            mended = True
            parts = [shapely.orient_polygons(part, exterior_cw=False) for part in _polygons(whole, pointer)]
    _check_area(parts, pointer)
    return parts, mended


def _ring(value: object, pointer: str) -> list[Position]:
    points = _positions(value, pointer)
    given = len(_array(value, pointer))
    if given < 4:
        detail = f"A ring has at least four positions, this one has {given}."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.ring")
    first, last = points[0], points[-1]
    if last[1] == first[1] and abs(last[0] - first[0]) == 360:
        detail = "The ring runs around a pole; cut it at the antimeridian and close it along the pole."
        raise InvalidGeometry(detail, pointer=pointer, code="geo.polar")
    if first != last:
        detail = "The ring is not closed: its last position must be its first."
        raise InvalidGeometry(detail, pointer=f"{pointer}/{given - 1}", code="geo.ring")
    if _leaps(value):
        raise _too_wide(pointer)
    _check_span(points, pointer)
    if len(points) < 4 or _is_straight(points):
        raise InvalidGeometry("The ring encloses nothing.", pointer=pointer, code="geo.zero_area")
    return points


def _leaps(value: object) -> bool:
    """Whether an edge goes once around the world, as in a whole-world box. *value* holds checked positions."""
    assert type(value) is list
    return any(abs(after[0] - before[0]) >= 360 for before, after in pairwise(value))


def _is_straight(points: list[Position]) -> bool:
    """Whether all *points* are on one straight line, exactly: in whole steps of the rounding."""
    steps = 10**DECIMALS
    (x0, y0), (x1, y1) = [(round(x * steps), round(y * steps)) for x, y in points[:2]]
    # The first point off the line settles it, and in a sound ring that is the third.
    return all(
        (x1 - x0) * (round(y * steps) - y0) == (y1 - y0) * (round(x * steps) - x0) for x, y in points[2:]
    )


def _check_span(points: list[Position], pointer: str) -> None:
    if max(lng for lng, _ in points) - min(lng for lng, _ in points) >= 360:
        raise _too_wide(pointer)


def _check_area(parts: list[BaseGeometry], pointer: str) -> None:
    if sum(area_km2(part) for part in parts) > MAX_AREA_KM2:
        raise _too_wide(pointer)


def _too_wide(pointer: str) -> InvalidGeometry:
    detail = f"It spans the world, or more than {MAX_AREA_KM2:,.0f} km²; send smaller areas."
    return InvalidGeometry(detail, pointer=pointer, code="geo.area")


def _polygons(geometry: BaseGeometry, pointer: str) -> list[BaseGeometry]:
    if parts := parts_of(geometry):
        return parts
    raise InvalidGeometry("Mended, the polygon encloses nothing.", pointer=pointer, code="geo.zero_area")
