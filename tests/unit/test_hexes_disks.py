"""Disks: refusals, then every cell of the neighbourhood measured with the library's own distance."""

from __future__ import annotations

import math

import h3.api.basic_int as h3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.hexes import Hexes, HexesError, disk, disks
from layers.hexes.sphere import hull, mean_spacing, narrowest_spacing, widest_spacing
from tests.unit.hexes_shapes import ODD_PLACES, places


def measured(lng: float, lat: float, radius_m: float, resolution: int) -> set[int]:
    """By brute force: every cell of the world."""
    near = {
        cell
        for cell in h3.uncompact_cells(h3.get_res0_cells(), resolution)
        if h3.great_circle_distance((lat, lng), h3.cell_to_latlng(cell), "m") <= radius_m
    }
    return near | {h3.latlng_to_cell(lat, lng, resolution)}


@pytest.mark.parametrize(
    ("lng", "lat", "radius_m"),
    [(181, 0, 1), (0, 91, 1), (math.nan, 0, 1), (0, 0, -1), (0, 0, math.nan), (0, 0, math.inf)],
)
def test_what_is_no_disk_is_refused(lng: float, lat: float, radius_m: float) -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.disk"):
        disk(lng, lat, radius_m, 9)


def test_a_radius_too_few_is_refused() -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.disk"):
        disks([(0, 0), (1, 1)], [5], 9)


def test_no_points_have_no_disks() -> None:
    assert disks([], [], 9) == []


@pytest.mark.parametrize("place", ODD_PLACES)
@pytest.mark.parametrize("radius_m", [0, 50_000, 900_000])
def test_cells_within_the_distance_where_h3_is_odd(place: tuple[float, float], radius_m: float) -> None:
    assert set(disk(*place, radius_m, 3)) == measured(*place, radius_m, 3)


@given(places, st.floats(0, 20_100_000))
def test_cells_within_the_distance_anywhere(place: tuple[float, float], radius_m: float) -> None:
    assert set(disk(*place, radius_m, 2)) == measured(*place, radius_m, 2)


@given(places, st.floats(0, 6_000))
def test_a_reach_in_a_city_is_every_near_cell_within_the_distance(
    place: tuple[float, float], radius_m: float
) -> None:
    lng, lat = place
    middle = h3.latlng_to_cell(lat, lng, 9)
    near = {
        cell
        for cell in h3.grid_disk(middle, int(radius_m / 200) + 4)
        if h3.great_circle_distance((lat, lng), h3.cell_to_latlng(cell), "m") <= radius_m
    }
    assert set(disk(lng, lat, radius_m, 9)) == near | {middle}


@given(st.lists(st.tuples(places, st.floats(0, 300_000)), max_size=8))
def test_many_at_once_are_the_same_as_one_by_one(wanted: list[tuple[tuple[float, float], float]]) -> None:
    together = disks([place for place, _ in wanted], [radius_m for _, radius_m in wanted], 5)
    assert together == [disk(*place, radius_m, 5) for place, radius_m in wanted]


def test_half_the_circumference_holds_the_world() -> None:
    assert disk(12, 34, 20_100_000, 4) == Hexes.world(4)


@pytest.mark.parametrize("resolution", [0, 1, 2, 3])
def test_bounds_on_spacing_and_hull_hold_for_every_cell(resolution: int) -> None:
    cells = h3.uncompact_cells(h3.get_res0_cells(), resolution)
    for cell in cells[:: max(len(cells) // 2_000, 1)] + h3.get_pentagons(resolution):
        middle = h3.cell_to_latlng(cell)
        for near in set(h3.grid_disk(cell, 1)) - {cell}:
            apart = h3.great_circle_distance(middle, h3.cell_to_latlng(near), "rads")
            assert narrowest_spacing(resolution) < apart < widest_spacing(resolution)
        for below in h3.cell_to_children(cell, resolution + 2):
            assert h3.great_circle_distance(middle, h3.cell_to_latlng(below), "rads") < hull(
                resolution, resolution + 2
            )


def test_the_mean_spacing_of_resolution_9_is_about_350_m() -> None:
    assert mean_spacing(9) * 6371007 == pytest.approx(350, abs=5)
