"""Layers told as sums by cell, filters, and the sight that stays for a small pan: what a viewer is sent."""

from __future__ import annotations

import h3
import pytest

from cop.live import summary
from tests.live.world import CHICAGO, IN_AUSTIN, IN_CHICAGO, UNITS, ZONES, Viewing, World, point, watching

NEAR = {"bbox": [-87.62, 41.89, -87.58, 41.91], "zoom": 14}


def crowd(world: World, count: int, **properties) -> None:
    for number in range(count):
        world.logs[UNITS].put(f"u{number}", point(-88.0 + number / 100, 41.8), seconds=number, **properties)


def later(world: World, viewing: Viewing) -> Viewing:
    """After the sums that were good for a while are counted anew."""
    viewing.ticked()
    world.now += summary.GOOD_MS
    viewing.ticked()
    return viewing


def test_a_layer_with_more_features_in_sight_than_the_limit_comes_as_sums(world):
    crowd(world, 5)
    viewing = watching(world, view=CHICAGO, limit=4)
    assert viewing.model.layers["one.units"] == {}
    assert sum(count for count, _, _ in viewing.model.cells["one.units"].values()) == 5


def test_a_layer_at_the_limit_comes_feature_by_feature(world):
    crowd(world, 4)
    viewing = watching(world, view=CHICAGO, limit=4)
    assert len(viewing.model.layers["one.units"]) == 4
    assert viewing.model.cells["one.units"] == {}


def test_what_is_no_crowd_of_points_is_never_summed(world):
    for number in range(5):
        world.logs[ZONES].put(f"z{number}", IN_CHICAGO)
    assert len(watching(world, view=CHICAGO, limit=1).model.layers["one.zones"]) == 5


def test_a_sum_says_the_worst_status_and_the_oldest_report(world):
    world.logs[UNITS].put("old", IN_CHICAGO, seconds=1, status="available")
    world.logs[UNITS].put("bad", IN_CHICAGO, seconds=9, status="distress")
    world.logs[UNITS].put("odd", IN_CHICAGO, seconds=5, status="on_break")
    (row,) = watching(world, view=CHICAGO, limit=1).model.cells["one.units"].values()
    assert row == (3, "distress", 1_780_315_201_000)


def test_a_sum_with_somebody_in_distress_is_told_whatever_is_in_view(world):
    crowd(world, 5)
    world.logs[UNITS].put("bad", IN_AUSTIN, seconds=1, status="distress")
    viewing = watching(world, view=CHICAGO, limit=4)
    assert [worst for _, worst, _ in viewing.model.cells["one.units"].values()].count("distress") == 1
    world.logs[UNITS].put("bad", IN_AUSTIN, seconds=2, status="available")
    rows = later(world, viewing).model.cells["one.units"].values()
    assert sum(count for count, _, _ in rows) == 5


def test_zooming_in_splits_the_sums_into_features(world):
    crowd(world, 5)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, view=CHICAGO, limit=4)
    viewing.say("view", view=NEAR, n=7)
    assert viewing.ticked().layers["one.units"].keys() == {"e1"}
    assert (viewing.model.cells["one.units"], viewing.model.view) == ({}, 7)


def test_sums_follow_their_features_and_an_empty_cell_goes(world):
    crowd(world, 5)
    viewing = watching(world, view=CHICAGO, limit=2)
    for number in range(5):
        world.logs[UNITS].put(f"u{number}", IN_CHICAGO)
    (row,) = later(world, viewing).model.cells["one.units"].values()
    assert row[0] == 5


def test_a_layer_that_shrinks_well_below_the_limit_comes_feature_by_feature_again(world):
    crowd(world, 6)
    viewing = watching(world, view=CHICAGO, limit=5)
    world.logs[UNITS].gone("u5")
    assert later(world, viewing).model.layers["one.units"] == {}
    world.logs[UNITS].gone("u4")
    world.logs[UNITS].gone("u3")
    assert len(later(world, viewing).model.layers["one.units"]) == 3


def test_a_layer_that_grows_beyond_the_limit_turns_into_sums(world):
    viewing = watching(world, view=CHICAGO, limit=3)
    crowd(world, 4)
    assert later(world, viewing).model.layers["one.units"] == {}
    assert viewing.model.cells["one.units"]


def test_sums_leave_no_cursor_so_whoever_comes_back_gets_them_anew(world):
    crowd(world, 5)
    viewing = watching(world, view=CHICAGO, limit=4)
    assert viewing.model.cursors["one.units"].endswith(":0")
    viewing.leave()
    viewing.connect(world.hubs[0])
    viewing.say("subscribe", view=CHICAGO, since=viewing.model.cursors)
    assert len(viewing.ticked().layers["one.units"]) == 5


def test_the_world_is_summed_in_cells_of_resolution_one(world):
    crowd(world, 3)
    cells = watching(world, limit=2).model.cells["one.units"]
    assert {h3.get_resolution(cell) for cell in cells} == {1}


def test_a_filter_by_status_hides_others_and_says_when_one_leaves_it(world):
    world.logs[UNITS].put("e1", IN_CHICAGO, status="available")
    world.logs[UNITS].put("e2", IN_CHICAGO, status="on_scene")
    viewing = watching(world, view=CHICAGO, where={"status": ["available"]})
    assert viewing.model.layers["one.units"].keys() == {"e1"}
    world.logs[UNITS].put("e1", IN_CHICAGO, seconds=1, status="on_scene")
    world.logs[UNITS].put("e2", IN_CHICAGO, seconds=1, status="available")
    assert viewing.ticked().layers["one.units"].keys() == {"e2"}
    assert sorted(viewing.model.rows) == [("filter", "e1"), ("put", "e2")]


def test_sums_count_only_what_the_filter_lets_through(world):
    crowd(world, 4, status="available")
    world.logs[UNITS].put("e1", IN_CHICAGO, status="distress")
    viewing = watching(world, view=CHICAGO, where={"status": ["available"]}, limit=3)
    assert sum(row[0] for row in viewing.model.cells["one.units"].values()) == 4


def test_a_filter_by_kind_or_agency_chooses_layers(world):
    assert watching(world, where={"kind": ["units"]}).model.layers.keys() >= {"one.units"}
    assert watching(world, where={"kind": ["incidents"]}).model.layers == {}
    assert watching(world, where={"agency": ["two"]}).model.layers == {}


@pytest.mark.parametrize(
    "where",
    [
        [],
        "units",
        {"kind": "units"},
        {"kind": [1]},
        {"kind": [None]},
        {"colour": ["red"]},
        {"status": [True]},
    ],
)
def test_a_filter_that_is_none_is_an_error_and_the_socket_goes_on(world, where):
    viewing = watching(world, where=where)
    assert viewing.model.errors == ["live.where"]


@pytest.mark.parametrize("limit", [0, -1, 50_001, 1.5, True, "10"])
def test_a_limit_that_is_none_is_an_error(world, limit):
    assert watching(world, limit=limit).model.errors == ["live.limit"]


def test_a_small_pan_is_answered_at_once_and_moves_nothing(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, view=CHICAGO, n=1)
    viewing.say("view", view={"bbox": [-87.99, 41.61, -87.39, 42.11], "zoom": 10}, n=2)
    assert (viewing.ticked().view, viewing.model.anchor) == (2, 1)
    assert viewing.model.rows == []


def test_who_comes_back_under_the_view_that_its_cursors_are_of_misses_nothing(world):
    panned = {"bbox": [-87.99, 41.61, -87.39, 42.11], "zoom": 10}
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, view=CHICAGO, n=1)
    viewing.say("view", view=panned, n=2)
    viewing.ticked()
    viewing.leave()
    world.logs[UNITS].put("e1", IN_AUSTIN, seconds=1)
    world.logs[UNITS].put("e2", IN_CHICAGO)
    viewing.connect(world.hubs[0])
    viewing.say("subscribe", view=panned, held=CHICAGO, n=3, since=viewing.model.cursors)
    assert viewing.ticked().layers["one.units"].keys() == {"e2"}
    assert (viewing.model.resets, sorted(viewing.model.rows)) == (0, [("put", "e2"), ("view", "e1")])
