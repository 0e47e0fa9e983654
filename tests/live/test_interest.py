"""Views and cells: what is refused, and that a sight takes in all of its view and nothing far from it."""

from __future__ import annotations

import math
import random
from dataclasses import astuple
from datetime import UTC, datetime

import pytest
from h3.api import basic_int as h3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cop.live.held import Held
from cop.live.interest import (
    EVERYTHING,
    FILL,
    KEEP,
    NEAREST,
    Cell,
    Sight,
    View,
    finest_cell,
    sight_of,
    view_from,
)
from layers.errors import Invalid
from layers.model import BBox, Feature, FeatureId

LNGS, LATS = st.floats(-180, 180), st.floats(-90, 90)


@pytest.mark.parametrize(
    "value",
    [
        "everything",
        [],
        {},
        {"bbox": [0, 0, 1]},
        {"bbox": [0, 0, 1, 1, 1, 1]},
        {"bbox": [0, 0, 1, None]},
        {"bbox": [0, 0, 1, "1"]},
        {"bbox": [0, 0, 1, True]},
        {"bbox": [0, 0, 1, math.nan]},
        {"bbox": [0, 0, math.inf, 1]},
        {"bbox": [0, 1, 1, 0]},
        {"bbox": [0, -91, 1, 0]},
        {"bbox": [0, 0, 1, 90.5]},
        {"bbox": [0, 0, 541, 1]},
        {"bbox": [0, 0, 10**400, 1]},
        {"bbox": [0, 0, 1, 1], "zoom": "12"},
    ],
)
def test_a_view_that_is_none_is_refused(value):
    with pytest.raises(Invalid) as caught:
        view_from(value)
    assert caught.value.code == "live.view"


def test_no_view_is_a_view_of_everything():
    assert view_from(None) is None
    assert sight_of(None) is EVERYTHING


def sees(sight: Sight, bbox: BBox | None) -> bool:
    """Whether a viewer of *sight* is told of a feature of that extent."""
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    return Held(Feature(FeatureId("a"), None, bbox, "{}", noon, noon, None, 1), FeatureId("a")).seen_by(sight)


def place(lng: float, lat: float) -> BBox:
    return lng, lat, lng, lat


@settings(deadline=None)
@given(LNGS, LATS)
def test_everything_sees_every_place(lng, lat):
    assert sees(EVERYTHING, place(lng, lat))


def test_what_has_no_place_is_in_every_view():
    assert sees(sight_of(View((0, 0, 1, 1))), None)


@settings(deadline=None, max_examples=400)
@given(LNGS, LATS, st.floats(0, 360), st.floats(0, 180), st.floats(0, 1), st.floats(0, 1), st.floats(0, 6))
def test_every_place_in_a_view_is_seen_also_across_the_antimeridian(west, south, width, height, x, y, closer):
    width, height = width / 10**closer, height / 10**closer
    north = min(south + height, 90.0)
    lng, lat = west + x * width, min(south + y * (north - south), north)
    lng = lng - 360.0 if lng > 180.0 else lng
    sight = sight_of(View((west, south, west + width, north)))
    assert sees(sight, place(lng, lat))
    assert sight.takes_in(View((west, south, west + width, north)))


@settings(deadline=None)
@given(LNGS, st.floats(-80, 80), st.floats(1e-3, 60), st.floats(1e-3, 60), LNGS, LATS)
def test_a_place_further_from_a_view_than_three_of_its_cells_is_not_seen(
    west, south, width, height, lng, lat
):
    view = View((west, south, west + width, min(south + height, 80.0)))
    sight = sight_of(view)
    nearest_lng = min(max(lng, west), west + width, key=lambda edge: abs(edge - lng))
    nearest = (min(max(lat, south), view.bbox[3]), (nearest_lng + 180) % 360 - 180)
    if sight.resolution is not None and lng <= west + width - 180 + 360 and west <= lng:
        away = h3.great_circle_distance((lat, lng), nearest, "km")
        if away > 6 * h3.average_hexagon_edge_length(sight.resolution, "km"):
            assert not sees(sight, place(lng, lat))


def touched(view: View, resolution: int, *, steps: int = 60) -> set[Cell]:
    """The cells of so many by so many places in *view*, its border included."""
    west, south, east, north = view.bbox
    return {
        h3.latlng_to_cell(south + (north - south) * y / steps, west + (east - west) * x / steps, resolution)
        for x in range(steps + 1)
        for y in range(steps + 1)
    }


@settings(deadline=None)
@given(LNGS, st.floats(-75, 75), st.floats(-4, 1.6), st.floats(-0.5, 0.5))
@example(0.0, 0.0, 1.5, 0.5)
@example(118.0, 35.0, 1.5, 0.5)
@example(0.0, 38.0, 1.5, 0.5)
def test_a_view_touches_six_to_forty_cells_and_a_ring_around_them_is_seen(west, south, width, shape):
    """In degrees and as height by width, each as a power of ten. The nearest views may touch fewer cells."""
    height = 10 ** (width + shape) * math.cos(math.radians(south))
    view = View((west, south, west + 10**width, min(south + height, 85.0)))
    sight = sight_of(view)
    if sight.resolution is not None:
        inner = touched(view, sight.resolution)
        assert (6 if sight.resolution < NEAREST else 1) <= len(inner) <= 40
        ring = {cell for each in inner for cell in h3.grid_disk(each, 1)}
        assert ring <= sight.cells
        # Who sees as far as a pole sees whole parallels.
        if all(box[1] > -90 and box[3] < 90 for box in sight.boxes):
            assert sight.cells <= {cell for each in ring for cell in h3.grid_disk(each, 1)}


PENTAGONS = [h3.cell_to_latlng(cell) for resolution in (3, 6) for cell in h3.get_pentagons(resolution)]


@settings(deadline=None)
@given(
    st.tuples(LATS, LNGS) | st.sampled_from(PENTAGONS),
    st.floats(-4, 1.6),
    st.floats(-0.5, 0.5),
)
@example(PENTAGONS[0], -1.0, 0.0)
def test_a_sight_told_one_size_coarser_holds_the_same_cells(middle, width, shape):
    (lat, lng), beside, above = middle, 10**width / 2, 10 ** (width + shape) / 2
    sight = sight_of(View((lng - beside, max(lat - above, -90.0), lng + beside, min(lat + above, 90.0))))
    resolution = sight.resolution
    if resolution is None:
        assert sight.compact == ()
    else:
        assert {h3.get_resolution(cell) for cell in sight.compact} <= {resolution - 1, resolution}
        told = [child for cell in sight.compact for child in h3.cell_to_children(cell, resolution)]
        assert sorted(told) == sorted(sight.cells)
        for parent in {h3.cell_to_parent(cell, resolution - 1) for cell in sight.cells if resolution}:
            assert not set(h3.cell_to_children(parent, resolution)) <= set(sight.compact)


def test_views_of_every_zoom_of_a_map_touch_six_to_forty_cells_wherever_it_is():
    chance = random.Random(5)
    for zoom in [step / 2 for step in range(8, 33)]:
        degrees = 1280 * 360 / (512 * 2**zoom)
        lng, lat = chance.uniform(-180, 180 - degrees), chance.uniform(-60, 60)
        view = View((lng, lat, lng + degrees, lat + degrees * 0.6 * math.cos(math.radians(lat))), zoom)
        assert 6 <= len(touched(view, sight_of(view).resolution, steps=30)) <= 40, zoom


@settings(deadline=None)
@given(LNGS, LATS, st.integers(0, 11))
def test_a_coarse_cell_is_the_parent_of_the_finest_one(lng, lat, resolution):
    cell = finest_cell(lng, lat)
    assert cell & KEEP[resolution] | FILL[resolution] == h3.cell_to_parent(cell, resolution)


@settings(deadline=None)
@given(LNGS, LATS, st.floats(0, 30), st.floats(0, 30), st.floats(-1, 1), st.floats(-1, 1))
def test_a_shape_that_touches_a_view_is_seen(west, south, width, height, x, y):
    view = View((0.0, 0.0, 5.0, 5.0))
    shape = (x * 6, y * 6, x * 6 + width, y * 6 + height)
    if shape[0] <= 5 and shape[2] >= 0 and shape[1] <= 5 and shape[3] >= 0:
        assert sees(sight_of(view), shape)


def test_a_shape_across_the_antimeridian_is_seen_from_either_side():
    assert sees(sight_of(View((170.0, 0.0, 175.0, 5.0))), (160.0, 1.0, -160.0, 2.0))
    assert sees(sight_of(View((-175.0, 0.0, -170.0, 5.0))), (160.0, 1.0, -160.0, 2.0))


CITY = View((-87.70, 41.80, -87.60, 41.90), 12)


def test_a_small_pan_and_back_is_the_same_sight():
    sight = sight_of(CITY)
    assert sight.turned_to(View((-87.697, 41.803, -87.597, 41.903), 12)) is sight


def test_a_pan_beyond_the_ring_is_another_sight_that_takes_it_in():
    panned = View((-87.60, 41.80, -87.50, 41.90), 12)
    turned = sight_of(CITY).turned_to(panned)
    assert turned is sight_of(panned)
    assert turned is not sight_of(CITY)


def test_a_map_that_is_zoomed_in_gets_finer_cells_and_keeps_them_for_a_small_step_back():
    near = View((-87.66, 41.84, -87.64, 41.86), 14)
    turned = sight_of(CITY).turned_to(near)
    assert (turned.resolution or 0) > (sight_of(CITY).resolution or 0)
    assert turned.turned_to(View((-87.6605, 41.8395, -87.6395, 41.8605), 13.9)) is turned


def test_a_view_without_limit_ends_a_limited_sight_and_begins_one():
    assert sight_of(CITY).turned_to(None) is EVERYTHING
    assert EVERYTHING.turned_to(None) is EVERYTHING
    assert EVERYTHING.turned_to(CITY) is sight_of(CITY)


def test_a_map_panned_around_the_world_sees_the_same():
    crossing, *panned = (
        astuple(sight_of(View((west, 0, east, 10)))) for west, east in ((170, -170), (170, 190), (-190, -170))
    )
    assert panned == [crossing, crossing]


@pytest.mark.parametrize("lat", [90.0, -90.0])
def test_a_pole_is_seen_from_every_side(lat):
    around = View((-10.0, 85.0, 10.0, 90.0) if lat > 0 else (-10.0, -90.0, 10.0, -85.0))
    assert all(sees(sight_of(around), place(lng, lat)) for lng in (-180.0, -90.0, 0.0, 90.0, 180.0))
