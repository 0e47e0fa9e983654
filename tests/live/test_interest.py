"""Views and cells: what is refused, and that a sight takes in all of its view and nothing far from it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cop.live.interest import EVERYTHING, FINEST_LEVEL, Sight, View, sight_of, span_of, view_from
from layers.errors import Invalid

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


@settings(deadline=None)
@given(LNGS, LATS)
def test_everything_sees_every_place(lng, lat):
    assert EVERYTHING.sees(span_of((lng, lat, lng, lat)))


def test_what_has_no_place_is_in_every_view():
    assert sight_of(View((0, 0, 1, 1))).sees(None)


@settings(deadline=None)
@given(LNGS, LATS, st.floats(0, 360), st.floats(0, 180), st.floats(0, 1), st.floats(0, 1))
def test_every_place_in_a_view_is_seen_also_across_the_antimeridian(west, south, width, height, x, y):
    north = min(south + height, 90.0)
    lng, lat = west + x * width, min(south + y * (north - south), north)
    lng = lng - 360.0 if lng > 180.0 else lng
    assert sight_of(View((west, south, west + width, north))).sees(span_of((lng, lat, lng, lat)))


@settings(deadline=None)
@given(LNGS, LATS, st.floats(1e-3, 90), st.floats(1e-3, 90), LNGS, LATS)
def test_a_place_further_from_a_view_than_the_view_is_wide_is_not_seen(west, south, width, height, lng, lat):
    north, width = min(south + height, 90.0), min(width, 90.0)
    widest = max(width, north - south)
    east_by, west_by = (lng - west - width) % 360.0, (west - lng) % 360.0
    if min(east_by, west_by) > widest and max(east_by, west_by) < 360.0 - width:
        assert not sight_of(View((west, south, west + width, north))).sees(span_of((lng, lat, lng, lat)))


@settings(deadline=None)
@given(LNGS, LATS, st.floats(0, 360), st.floats(0, 180))
def test_a_sight_is_never_more_than_a_few_cells(west, south, width, height):
    sight = sight_of(View((west, south, west + width, min(south + height, 90.0))))
    assert 1 <= len(sight.cells) <= 36


@settings(deadline=None)
@given(LNGS, LATS, st.integers(0, FINEST_LEVEL))
def test_the_cell_of_a_place_and_the_test_of_its_span_agree(lng, lat, level):
    west, south, east, north = span_of((lng, lat, lng, lat))
    shift = FINEST_LEVEL - level
    per_degree = 2**level / 360.0
    assert west >> shift == min(int((lng + 180.0) * per_degree), 2**level - 1)
    assert south >> shift == int((lat + 90.0) * per_degree)
    assert (west, south) == (east, north)


@settings(deadline=None)
@given(
    st.lists(st.tuples(LNGS, LATS), min_size=2, max_size=2),
    st.integers(0, 8),
    st.integers(0, 300),
    st.integers(0, 150),
)
def test_a_shape_is_seen_if_any_of_its_cells_is(corners, level, column, row):
    (a, b), (c, d) = corners
    span = span_of((min(a, c), min(b, d), max(a, c), max(b, d)))
    shift = FINEST_LEVEL - level
    sight = Sight(
        level,
        ((column << shift, row << shift, (column + 1 << shift) - 1, (row + 1 << shift) - 1),),
        frozenset(),
    )
    west, south, east, north = (number >> shift for number in span)
    assert sight.sees(span) == (west <= column <= east and south <= row <= north)


def test_a_small_pan_is_the_same_sight():
    assert sight_of(View((-87.70, 41.80, -87.60, 41.90))) == sight_of(View((-87.69, 41.81, -87.59, 41.91)))


def test_a_map_panned_around_the_world_sees_the_same():
    assert sight_of(View((170, 0, 190, 10))) == sight_of(View((170, 0, -170, 10)))
    assert sight_of(View((-190, 0, -170, 10))) == sight_of(View((170, 0, -170, 10)))
