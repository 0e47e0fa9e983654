"""Polygons to cells: refusals, then cell for cell what the library's own fill yields."""

from __future__ import annotations

import math
from typing import Any

import h3.api.basic_int as h3
import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from layers.hexes import Hexes, HexesError, TooManyCells, estimate_cells, fill
from layers.hexes.borders import Border
from layers.hexes.filling import border_fills, plain_fill
from layers.hexes.polygons import read_polygons
from tests.unit.hexes_shapes import box, stars

CHICAGO = box(-87.9, 41.6, -87.5, 42.05)


def by_border(geometry: dict[str, Any], resolution: int) -> Hexes:
    """The coarse inside and fine edge, however small the polygon."""
    return border_fills(read_polygons(geometry), resolution)[0]


def by_library(geometry: dict[str, Any], resolution: int) -> Hexes:
    return plain_fill(read_polygons(geometry)[0], resolution)


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"type": "Point", "coordinates": [0, 0]},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": 5},
        {"type": "Polygon", "coordinates": [5]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, "x"], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, math.nan], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [181, 1], [0, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 91], [0, 1], [0, 0]]]},
    ],
)
def test_what_is_no_polygon_is_refused(geometry: dict[str, Any]) -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.geometry"):
        fill(geometry, 9)


def test_more_cells_than_the_limit_are_refused_before_any_work() -> None:
    with pytest.raises(TooManyCells, match=r"about .* cells at resolution 15"):
        fill(CHICAGO, 15)
    with pytest.raises(TooManyCells):
        fill(CHICAGO, 9, limit=1_000)


def test_a_polygon_without_parts_has_no_cells() -> None:
    assert not fill({"type": "MultiPolygon", "coordinates": []}, 9)


@given(stars(), st.integers(2, 5))
@example(box(-180, 80, 180, 90), 3)
@example(box(-180, -90, 180, 90), 3)
@example(box(-170, -80, 170, 80), 3)
@example(box(170, -10, 180, 10), 4)
def test_coarse_inside_and_fine_edge_equal_the_plain_fill(geometry: dict[str, Any], resolution: int) -> None:
    assert by_border(geometry, resolution) == by_library(geometry, resolution)


@given(stars(largest_deg=0.2), st.integers(7, 8))
def test_coarse_inside_and_fine_edge_equal_the_plain_fill_of_a_city(
    geometry: dict[str, Any], resolution: int
) -> None:
    assert by_border(geometry, resolution) == by_library(geometry, resolution)


@pytest.mark.parametrize("lat", [-60.0, 0.0, 41.88, 75.0])
def test_corners_on_centres_of_cells_are_told_as_the_library_tells_them(lat: float) -> None:
    ring = [h3.cell_to_latlng(cell) for cell in h3.grid_ring(h3.latlng_to_cell(lat, 10, 5), 9)]
    corners = sorted(ring, key=lambda place: math.atan2(place[0] - lat, place[1] - 10))
    geometry = {"type": "Polygon", "coordinates": [[(lng, lat) for lat, lng in [*corners, corners[0]]]]}
    assert by_border(geometry, 5) == by_library(geometry, 5)


def test_a_point_on_an_edge_or_a_corner_is_not_sure_and_one_level_with_a_corner_is() -> None:
    border = Border.of([read_polygons(box(0, 0, 2, 1))[0].outer])
    points = np.array([(0.5, 1.0), (1.0, -1.0), (1.0, 1.0), (0.5, 2.0), (0.0, 0.0)])
    inside, sure = border.hold(points, np.zeros(5, np.int64))
    assert inside[:2].tolist() == [True, False]
    assert sure.tolist() == [True, True, False, False, False]


@given(stars())
def test_cells_are_those_whose_centre_shapely_finds_inside(geometry: dict[str, Any]) -> None:
    filled = fill(geometry, 4, at_least_one=False)
    shape = shapely.geometry.shape(geometry)
    lngs, lats = np.array([h3.cell_to_latlng(cell)[::-1] for cell in filled]).reshape(-1, 2).T
    assert shapely.contains_xy(shape.buffer(1e-9), lngs, lats).all()
    missed = set(h3.grid_disk(h3.latlng_to_cell(*shape.centroid.coords[0][::-1], 4), 2)) - set(filled)
    assert not any(
        shapely.contains_xy(shape.buffer(-1e-9), *h3.cell_to_latlng(cell)[::-1]) for cell in missed
    )


@given(stars(largest_deg=0.001))
def test_a_polygon_smaller_than_a_cell_gets_one_cell(geometry: dict[str, Any]) -> None:
    assert fill(geometry, 5).count >= 1
    assert fill(geometry, 5).count <= max(by_library(geometry, 5).count, 1)


def test_each_small_part_gets_its_cell_unless_told_otherwise() -> None:
    parts = [box(lng, 10, lng + 1e-4, 10 + 1e-4)["coordinates"] for lng in (1, 2, 3)]
    geometry = {"type": "MultiPolygon", "coordinates": parts}
    assert fill(geometry, 6).count == 3
    assert not fill(geometry, 6, at_least_one=False)


def test_a_part_on_each_side_of_the_antimeridian_make_one_area() -> None:
    halves = [box(179, 10, 180, 12), box(-180, 10, -179, 12)]
    whole = {"type": "MultiPolygon", "coordinates": [half["coordinates"] for half in halves]}
    wrapped = h3.LatLngPoly([(10, 179), (10, -179), (12, -179), (12, 179)])
    assert set(fill(whole, 6)) == set(h3.h3shape_to_cells_experimental(wrapped, 6, contain="center"))


@pytest.mark.parametrize("resolution", [0, 3, 5])
def test_a_whole_world_box_is_the_whole_world(resolution: int) -> None:
    assert fill(box(-180, -90, 180, 90), resolution) == Hexes.world(resolution)


def test_a_box_wider_than_half_the_world_goes_the_long_way() -> None:
    centers = {cell: h3.cell_to_latlng(cell) for cell in Hexes.world(3)}
    inside = {cell for cell, (lat, lng) in centers.items() if abs(lat) < 60 and abs(lng) < 100}
    assert set(fill(box(-100, -60, 100, 60), 3)) == inside


def test_memory_follows_the_border() -> None:
    filled = fill(box(-100, 32, -84, 44), 8)
    assert filled.count > 2_000_000
    assert len(filled.ranges) < 10_000


@pytest.mark.parametrize(
    ("geometry", "resolution", "within"),
    [
        (CHICAGO, 8, 0.05),
        (box(-100, 32, -84, 44), 6, 0.05),
        (box(0, 60, 90, 90), 5, 0.4),
        (box(-180, -90, 180, 90), 3, 0.4),
    ],
)
def test_the_estimate_is_near(geometry: dict[str, Any], resolution: int, within: float) -> None:
    assert estimate_cells(geometry, resolution) == pytest.approx(fill(geometry, resolution).count, rel=within)


def test_a_hole_is_not_estimated() -> None:
    holed = {
        "type": "Polygon",
        "coordinates": [*CHICAGO["coordinates"], *box(-87.8, 41.7, -87.6, 42)["coordinates"]],
    }
    assert estimate_cells(holed, 9) == pytest.approx(fill(holed, 9).count, rel=0.02)
