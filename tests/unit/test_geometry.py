"""Geometries are placed as RFC 7946 reads them, or refused with the pointer of the bad coordinate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import antimeridian
import h3
import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from layers.errors import InvalidGeometry, LayersError, TooLarge
from layers.geometry import POINT_RESOLUTION, Placed, area_km2, contains, place

ALL = frozenset({"Point", "LineString", "MultiLineString", "Polygon", "MultiPolygon"})
Ring = list[list[float]]


def placed(kind: str, coordinates: object, *, repair: bool = False, **members: object) -> Placed:
    geometry = {"type": kind, "coordinates": coordinates} | members
    return place(geometry, pointer="/geometry", allowed=ALL, repair=repair)


def refused(kind: str, coordinates: object, **members: Any) -> tuple[str, str]:
    with pytest.raises(InvalidGeometry) as refusal:
        placed(kind, coordinates, **members)
    return refusal.value.code, refusal.value.pointer.removeprefix("/geometry")


def outcome(kind: str, coordinates: object, *, repair: bool = False) -> Any:
    """What was placed, or the refusal; any other error fails the test."""
    try:
        return placed(kind, coordinates, repair=repair)
    except LayersError as refusal:
        return refusal


def shape(result: Placed) -> Any:
    return shapely.from_wkb(result.ewkb)


def box(west: float, south: float, east: float, north: float) -> Ring:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


BOW_TIE = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("coordinates", "code", "pointer"),
    [
        ([None, 1], "geo.number", "/0"),
        ([1, None], "geo.number", "/1"),
        (["12.5", 1], "geo.number", "/0"),
        ([True, 1], "geo.number", "/0"),
        ([1, False], "geo.number", "/1"),
        ([[1]], "geo.number", "/0"),
        ([1, {}], "geo.number", "/1"),
        ([1, 2, "3"], "geo.number", "/2"),
        ([math.inf, 1], "geo.non_finite", "/0"),
        ([1, math.nan], "geo.non_finite", "/1"),
        ([1, 2, math.inf], "geo.non_finite", "/2"),
        ([], "geo.position", ""),
        ([1], "geo.position", ""),
        ([1, 2, 3, 4], "geo.position", ""),
        ([1, 2, 3, 4, 5], "geo.position", ""),
        (None, "geo.position", ""),
        ("1,2", "geo.position", ""),
        ([181, 0], "geo.range", "/0"),
        ([0, 91], "geo.range", "/1"),
        ([0, 500], "geo.range", "/1"),
        ([-9754000, 5143000], "geo.range", "/0"),
        ([10**400, 0], "geo.range", "/0"),
    ],
)
def test_refuses_points(coordinates: object, code: str, pointer: str) -> None:
    assert refused("Point", coordinates) == (code, f"/coordinates{pointer}")


@pytest.mark.parametrize(
    ("kind", "coordinates", "code", "pointer"),
    [
        ("Polygon", [box(0, 0, 1, 1)[:-1]], "geo.ring", "/coordinates/0/3"),
        ("Polygon", [[[0, 0], [1, 1], [0, 0]]], "geo.ring", "/coordinates/0"),
        ("Polygon", [[]], "geo.empty", "/coordinates/0"),
        ("Polygon", [], "geo.empty", "/coordinates"),
        ("Polygon", [[[0, 0], [1, 1], [2, 2], [0, 0]]], "geo.zero_area", "/coordinates/0"),
        ("Polygon", [[[1, 1]] * 5], "geo.zero_area", "/coordinates/0"),
        (
            "Polygon",
            [box(0, 0, 3, 3), [[1, 1], [2, None], [2, 2], [1, 1]]],
            "geo.number",
            "/coordinates/1/1/1",
        ),
        ("Polygon", [[[0, 0], 5, [1, 1], [0, 0]]], "geo.position", "/coordinates/0/1"),
        ("Polygon", [BOW_TIE], "geo.invalid", "/coordinates"),
        ("Polygon", [box(0, 0, 1, 1), box(5, 5, 6, 6)], "geo.invalid", "/coordinates"),
        ("Polygon", [box(0, 0, 1, 1), box(0, 0, 1, 1)], "geo.invalid", "/coordinates"),
        (
            "Polygon",
            [[[0, 0], [1, 0], [1, 1], [1, 5], [1, 1], [0, 1], [0, 0]]],
            "geo.invalid",
            "/coordinates",
        ),
        ("Polygon", [box(-180, -90, 180, 90)], "geo.area", "/coordinates/0"),
        ("Polygon", [box(-80, -60, 80, 60)], "geo.area", "/coordinates"),
        ("Polygon", [[[-150, 80], [-30, 80], [90, 80], [-150, 80]]], "geo.polar", "/coordinates/0"),
        ("Polygon", [[[-180, 80], [0, 80], [180, 80], [-180, 80]]], "geo.polar", "/coordinates/0"),
        ("Polygon", [box(200, 0, 210, 5)], "geo.range", "/coordinates/0/0/0"),
        ("Polygon", [box(-9754000, 5143000, -9753000, 5144000)], "geo.range", "/coordinates/0/0/0"),
        ("MultiPolygon", [[box(0, 0, 1, 1)], [BOW_TIE]], "geo.invalid", "/coordinates/1"),
        ("MultiPolygon", [[box(0, 0, 2, 2)], [box(1, 1, 3, 3)]], "geo.invalid", "/coordinates"),
        ("MultiPolygon", box(0, 0, 1, 1), "geo.position", "/coordinates/0/0"),
        ("LineString", [[0, 0]], "geo.empty", "/coordinates"),
        ("LineString", [[0, 0], [0, 99]], "geo.range", "/coordinates/1/1"),
        ("LineString", [[-180, 0], [180, 0]], "geo.area", "/coordinates"),
        ("LineString", {}, "geo.position", "/coordinates"),
    ],
)
def test_refuses_lines_and_polygons(kind: str, coordinates: object, code: str, pointer: str) -> None:
    assert refused(kind, coordinates) == (code, pointer)


@pytest.mark.parametrize(
    ("geometry", "code", "pointer"),
    [
        ({"type": "point", "coordinates": [1, 2]}, "geo.type", "/type"),
        ({"type": "Circle", "coordinates": [1, 2]}, "geo.type", "/type"),
        ({"coordinates": [1, 2]}, "geo.type", "/type"),
        ({"type": ["Point"], "coordinates": [1, 2]}, "geo.type", "/type"),
        ({"type": "GeometryCollection", "geometries": []}, "geo.kind", "/type"),
        ({"type": "MultiPoint", "coordinates": [[1, 2]]}, "geo.kind", "/type"),
        ({"type": "Point"}, "geo.empty", ""),
        ([1, 2], "geo.type", ""),
        (None, "geo.type", ""),
    ],
)
def test_refuses_types(geometry: object, code: str, pointer: str) -> None:
    with pytest.raises(InvalidGeometry) as refusal:
        place(geometry, pointer="", allowed=ALL)
    assert (refusal.value.code, refusal.value.pointer) == (code, pointer)


@pytest.mark.parametrize(
    "bbox", [[1, 2, 1], [1, 2, 1, 2, 3], ["1", 2, 1, 2], [True, 2, 1, 2], None, [5, 5, 6, 6], []]
)
def test_refuses_a_bbox_that_is_none_or_contradicts(bbox: object) -> None:
    assert refused("Point", [1, 2], bbox=bbox) == ("geo.bbox", "/bbox")


@pytest.mark.parametrize("bbox", [[1, 2, 1, 2], [0, 0, 5, 5], [1, 2, 0, 1, 2, 9], [170, 0, 5, 3]])
def test_takes_a_bbox_that_holds_the_geometry(bbox: list[float]) -> None:
    assert placed("Point", [1, 2], bbox=bbox).bounds == (1, 2, 1, 2)


def test_refuses_every_crs_but_the_one_geojson_has_anyway() -> None:
    crs = {"type": "name", "properties": {"name": "EPSG:3857"}}
    assert refused("Point", [1, 2], crs=crs) == ("geo.crs", "/crs")
    assert refused("Point", [1, 2], crs=None) == ("geo.crs", "/crs")
    crs["properties"] = {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}
    assert placed("Point", [1, 2], crs=crs)


def test_names_the_place_of_a_self_intersection() -> None:
    with pytest.raises(InvalidGeometry, match=r"Self-intersection at longitude 0\.5, latitude 0\.5"):
        placed("Polygon", [BOW_TIE])


def test_mends_a_bow_tie_where_the_layer_says_so() -> None:
    result = placed("Polygon", [BOW_TIE], repair=True)
    assert result.repaired
    assert shape(result).is_valid
    assert shape(result).area == 0.5


def test_a_polygon_that_mends_to_nothing_is_refused() -> None:
    with pytest.raises(InvalidGeometry) as refusal:
        placed("Polygon", [[[0, 0], [1, 0], [1, 1], [1, 0], [0, 0]]], repair=True)
    assert refusal.value.code == "geo.zero_area"


def test_winds_rings_as_rfc_7946_has_it() -> None:
    result = shape(placed("Polygon", [box(0, 0, 9, 9)[::-1], box(1, 1, 2, 2)]))
    assert result.exterior.is_ccw
    assert not result.interiors[0].is_ccw


def test_repeated_positions_go_and_a_line_of_no_length_stays() -> None:
    assert len(shape(placed("LineString", [[0, 0], [0, 0], [1, 1], [1, 1]])).coords) == 2
    assert list(shape(placed("LineString", [[1, 1], [1, 1]])).coords) == [(1, 1), (1, 1)]


def test_coordinates_are_rounded_and_heights_dropped() -> None:
    result = shape(placed("Point", [-87.12345678901234, 41.99999999999, 200]))
    assert (result.x, result.y, result.has_z) == (-87.1234568, 42.0, False)
    assert math.copysign(1, shape(placed("Point", [-1e-9, 0])).x) == 1


ACROSS = [
    [[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]],
    [[-170, 10], [170, 10], [170, 0], [-170, 0], [-170, 10]],
    box(170, 0, 190, 10),
    box(-190, 0, -170, 10)[::-1],
]


@pytest.mark.parametrize("ring", ACROSS)
def test_every_form_across_the_antimeridian_is_stored_as_the_same_split(ring: Ring) -> None:
    split = placed("MultiPolygon", [[box(170, 0, 180, 10)], [box(-180, 0, -170, 10)]])
    result = placed("Polygon", [ring])
    assert (result.type, result.bounds) == ("MultiPolygon", (170, 0, -170, 10))
    assert shape(result).equals(shape(split))
    assert shape(result).bounds[0] == -180
    assert placed("MultiPolygon", _lists(result)) == result


def _lists(result: Placed) -> list[list[Ring]]:
    polygons = shape(result).geoms
    return [[[list(xy) for xy in ring.coords] for ring in (p.exterior, *p.interiors)] for p in polygons]


def test_a_hole_across_the_antimeridian_stays_a_hole() -> None:
    result = placed("Polygon", [ACROSS[0], box(179, 4, 181, 6)])
    assert shape(result).area == pytest.approx(200 - 4)
    assert not shape(result).contains(shapely.Point(179.5, 5))


def test_a_line_across_the_antimeridian_is_split_where_it_crosses() -> None:
    result = placed("LineString", [[170, 0], [-170, 10], [170, 20]])
    assert shape(result).wkt == (
        "MULTILINESTRING ((170 0, 180 5), (-180 5, -170 10, -180 15), (180 15, 170 20))"
    )


def test_a_split_that_the_layer_does_not_take_is_refused() -> None:
    with pytest.raises(InvalidGeometry) as refusal:
        place({"type": "Polygon", "coordinates": [ACROSS[0]]}, pointer="", allowed=frozenset({"Polygon"}))
    assert refusal.value.code == "geo.kind"


def test_too_many_vertices_are_refused_before_anything_is_built() -> None:
    begun = time.process_time()
    coordinates: list[Any]
    for coordinates in ([[[0.0, 0.0]] * 10_001], [[[[0.0, 0.0]] * 4]] * 100_000, [[]] * 100_000):
        with pytest.raises(TooLarge) as refusal:
            placed("MultiPolygon" if len(coordinates) > 1 else "Polygon", coordinates)
        assert (refusal.value.code, refusal.value.pointer) == ("geo.vertices", "/geometry/coordinates")
    assert time.process_time() - begun < 1


def circle(count: int) -> Ring:
    return [[math.cos(i * math.tau / count), math.sin(i * math.tau / count)] for i in [*range(count), 0]]


def star(count: int) -> Ring:
    turns = (count // 2 - 1) * math.tau / count
    return [[math.cos(i * turns), math.sin(i * turns)] for i in [*range(count), 0]]


def comb(count: int) -> Ring:
    """Lines that all lie beside one another: what makes GEOS slow."""
    teeth = [[[i * 4e-5, 0.0], [1 + i * 4e-5 + 2e-5, 1.0]] for i in range(count // 2)]
    points = [point for tooth in teeth for point in tooth]
    return [*points, [2.0, -0.5], [-1.0, -0.5], points[0]]


@pytest.mark.parametrize("ring", [circle, star, comb])
@pytest.mark.parametrize("repair", [False, True])
def test_rings_of_ten_thousand_vertices_are_answered_in_time(
    ring: Callable[[int], Ring], repair: bool
) -> None:
    coordinates = [ring(9_990)]
    begun = time.process_time()
    result = outcome("Polygon", coordinates, repair=repair)
    assert isinstance(result, Placed) or result.code in ("geo.timeout", "geo.invalid")
    assert time.process_time() - begun < 1  # 0.1 s on an idle machine; GEOS alone takes a second and more


def test_what_is_tangled_beyond_mending_is_refused() -> None:
    with pytest.raises(InvalidGeometry, match="too tangled"):
        placed("Polygon", [star(401)], repair=True)


def test_area_is_that_of_the_sphere() -> None:
    one_degree_at_the_equator = area_km2(shapely.box(0, 0, 1, 1))
    assert one_degree_at_the_equator == pytest.approx(12_364, rel=0.001)
    assert area_km2(shapely.box(0, 60, 1, 61)) == pytest.approx(one_degree_at_the_equator / 2, rel=0.02)


@pytest.mark.parametrize(
    ("area", "bounds", "inside"),
    [
        ((0, 0, 10, 10), (1, 1, 2, 2), True),
        ((0, 0, 10, 10), (1, 1, 12, 2), False),
        ((0, 0, 10, 10), (1, 1, 2, 11), False),
        ((170, 0, -170, 10), (175, 1, -175, 2), True),
        ((170, 0, -170, 10), (-175, 1, -172, 2), True),
        ((170, 0, -170, 10), (0, 1, 0, 2), False),
        ((-170, 0, 170, 10), (175, 1, -175, 2), False),
        ((-180, -90, 180, 90), (175, 1, -175, 2), True),
    ],
)
def test_bounds_within_an_area(area: Any, bounds: Any, inside: bool) -> None:
    assert contains(area, bounds) is inside


# --- Random shapes -----------------------------------------------------------------------------------------------

LNG = st.floats(-180, 180)
LAT = st.floats(-90, 90)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["type", "coordinates", "bbox", "crs"]), inner, max_size=3)
    ),
    max_leaves=30,
)
ORDINATE = (
    st.integers(-200, 400) | st.floats(-400, 400) | st.sampled_from([None, "1", True, math.inf, 180, -180])
)


@given(LNG, LAT)
def test_points_are_what_shapely_writes(lng: float, lat: float) -> None:
    result = placed("Point", [lng, lat])
    expected = shapely.set_srid(shapely.Point(round(lng, 7) + 0.0, round(lat, 7) + 0.0), 4326)
    assert result.ewkb == shapely.to_wkb(expected, byte_order=1, include_srid=True)
    assert result.cell == h3.str_to_int(h3.latlng_to_cell(expected.y, expected.x, POINT_RESOLUTION))


@given(st.sampled_from(sorted(ALL)), JSON)
def test_any_json_is_placed_or_refused(kind: str, value: object) -> None:
    result = outcome(kind, value, repair=True)
    assert isinstance(result, Placed) or result.code.startswith("geo.")
    with suppress(InvalidGeometry, TooLarge):
        place(value, pointer="", allowed=ALL)


@given(
    st.sampled_from([("LineString", 1), ("Polygon", 2), ("MultiPolygon", 3)]),
    st.lists(st.lists(ORDINATE, min_size=2, max_size=2), min_size=2, max_size=8),
)
def test_any_ring_is_placed_within_the_world_or_refused(form: tuple[str, int], points: list[Any]) -> None:
    kind, depth = form
    value: Any = points if depth == 1 else [*points, points[0]]
    for _ in range(depth - 1):
        value = [value]
    result = outcome(kind, value, repair=True)
    if isinstance(result, LayersError):
        return
    west, south, east, north = shape(result).bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    assert shape(result).is_valid or kind == "LineString"


@st.composite
def polygons(draw: st.DrawFn) -> shapely.Polygon:
    """Valid polygons of any place and size, on the grid of the rounding."""
    lng, lat = draw(st.floats(-150, 150)), draw(st.floats(-60, 60))
    size = draw(st.floats(0.001, 5))
    count = draw(st.integers(3, 30))
    radii = draw(st.lists(st.floats(0.3, 1), min_size=count, max_size=count))
    angles = np.arange(count) * math.tau / count
    points = np.c_[
        lng + size * np.array(radii) * np.cos(angles), lat + size * np.array(radii) * np.sin(angles)
    ]
    polygon = shapely.Polygon(np.round(points, 7))
    assume(polygon.is_valid and polygon.area > 0)
    return polygon


@given(polygons())
def test_valid_polygons_round_trip(polygon: shapely.Polygon) -> None:
    ring = [list(point) for point in polygon.exterior.coords]
    result = placed("Polygon", [ring])
    assert shape(result).equals(polygon)
    assert result.bounds == polygon.bounds
    again = placed("Polygon", [[list(point) for point in shape(result).exterior.coords]])
    assert again == result


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=12))
def test_what_geos_calls_invalid_is_refused_and_its_mending_valid(points: list[tuple[float, float]]) -> None:
    ring = [list(point) for point in [*points, points[0]]]
    rounded = shapely.Polygon(np.round(np.array(ring), 7))
    result = outcome("Polygon", [ring])
    if isinstance(result, Placed):
        assert rounded.is_valid
        assert shape(result).equals(rounded)
    else:
        assert not rounded.is_valid or rounded.area == 0
    mended = outcome("Polygon", [ring], repair=True)
    assert shape(mended).is_valid if isinstance(mended, Placed) else mended.code == "geo.zero_area"


@given(polygons(), st.sampled_from([180, -180]))
def test_the_cut_at_the_antimeridian_agrees_with_the_antimeridian_package(polygon: Any, seam: int) -> None:
    moved = shapely.transform(polygon, lambda xy: np.round(xy - [polygon.centroid.x - seam, 0], 7))
    folded = [[(lng + 180) % 360 - 180, lat] for lng, lat in moved.exterior.coords]
    assume(not any(abs(lng) == 180 for lng, _ in folded) and shapely.Polygon(moved).is_valid)
    expected = antimeridian.fix_polygon(shapely.Polygon(folded), fix_winding=True, great_circle=False)
    result = shape(placed("Polygon", [folded]))
    assert result.is_valid
    assert shapely.symmetric_difference(result, expected).area < 1e-6 * expected.area + 1e-9
