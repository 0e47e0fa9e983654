"""The live rules by example: what a viewer is sent, when, and in what words."""

from __future__ import annotations

import pytest
from h3.api import basic_int as h3

from cop.live import picture as picture_module
from cop.live import session as session_module
from cop.live.interest import sight_of, view_from
from layers.model import Why
from tests.live.world import AUSTIN, CHICAGO, IN_AUSTIN, IN_CHICAGO, TILES, UNITS, Viewing, point, watching


def test_the_first_frame_of_a_layer_is_a_reset_with_everything_in_view(world):
    world.logs[UNITS].put("e1", IN_CHICAGO, callsign="E1")
    world.logs[UNITS].put("a1", IN_AUSTIN)
    viewing = Viewing(world, world.hubs[0])
    viewing.say("subscribe", layers=["one.units"], view=CHICAGO)
    assert viewing.ticked().layers["one.units"].keys() == {"e1"}
    assert viewing.model.resets == 1


def test_an_empty_layer_is_reset_too_so_that_the_viewer_knows_it_is_empty(world):
    viewing = watching(world, layers=["one.units"])
    assert viewing.model.layers == {"one.units": {}}


def test_a_feature_of_which_only_the_place_changed_is_moved(world):
    viewing = watching(world)
    world.logs[UNITS].put("e1", IN_CHICAGO, callsign="E1", expires_s=60)
    viewing.ticked()
    world.logs[UNITS].put("e1", point(-87.61, 41.9), seconds=5, callsign="E1", expires_s=60, heading_deg=90)
    viewing.ticked()
    assert viewing.model.rows == [("put", "e1"), ("move", "e1")]


@pytest.mark.parametrize(
    "change",
    [
        {"callsign": "E2"},
        {"expires_s": 61},
        {"heading_deg": None},
        {"geometry": {"type": "Point", "coordinates": [-87.6, 41.9, 180.0]}},
    ],
)
def test_what_a_move_cannot_say_is_put_whole(world, change):
    viewing = watching(world)
    world.logs[UNITS].put("e1", IN_CHICAGO, callsign="E1", expires_s=60)
    viewing.ticked()
    world.logs[UNITS].put(
        "e1", **{"geometry": IN_CHICAGO, "seconds": 5, "callsign": "E1", "expires_s": 60} | change
    )
    viewing.ticked()
    assert viewing.model.rows == [("put", "e1"), ("put", "e1")]


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_happens_within_and_between_cells_that_are_told_as_one_is_told_once(world, packing, elsewhere):
    sight = sight_of(view_from(CHICAGO))
    parent = next(cell for cell in sight.compact if h3.get_resolution(cell) < sight.resolution)
    middles = [h3.cell_to_latlng(cell) for cell in h3.cell_to_children(parent, sight.resolution)]
    here = [point(round(lng, 6), round(lat, 6)) for lat, lng in middles]
    units = world.logs[UNITS]
    for unit, place in zip(("stays", "crosses", "ends"), here, strict=False):
        units.put(unit, place)
    viewing = Viewing(world, world.hubs[0], packing=packing)
    viewing.say("subscribe", layers=["one.units"], view=CHICAGO)
    viewing.ticked()
    viewing.model.rows.clear()
    if elsewhere:
        units.put("a1", IN_AUSTIN)
    lng, lat = here[0]["coordinates"]
    units.put("stays", point(lng, round(lat + 1e-6, 6)), seconds=1)
    units.put("crosses", here[4], seconds=1)
    units.gone("ends")
    units.put("begins", here[5], seconds=1)
    moved = "packed" if packing else "move"
    told = [(moved, "stays"), (moved, "crosses"), ("deleted", "ends"), ("put", "begins")]
    assert sorted(viewing.ticked().rows) == sorted(told)


@pytest.mark.parametrize("why", list(Why))
def test_what_is_gone_says_why(world, why):
    viewing = watching(world)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing.ticked()
    world.logs[UNITS].gone("e1", why)
    assert viewing.ticked().rows == [("put", "e1"), (why, "e1")]


def test_a_feature_that_moves_out_of_view_is_gone(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, view=CHICAGO)
    world.logs[UNITS].put("e1", IN_AUSTIN, seconds=1)
    assert viewing.ticked().rows == [("view", "e1")]
    assert viewing.model.layers["one.units"] == {}


def test_a_unit_in_distress_is_in_every_view_until_it_is_in_distress_no_more(world):
    units = world.logs[UNITS]
    units.put("e1", IN_AUSTIN, status="available")
    viewing = watching(world, view=CHICAGO)
    units.put("e1", IN_AUSTIN, seconds=1, status="distress")
    assert viewing.ticked().layers["one.units"].keys() == {"e1"}
    assert watching(world, view=CHICAGO).model.layers["one.units"].keys() == {"e1"}
    units.put("e1", IN_AUSTIN, seconds=2, status="available")
    assert viewing.ticked().layers["one.units"] == {}


def test_a_feature_that_moves_into_view_is_put(world):
    world.logs[UNITS].put("e1", IN_AUSTIN)
    viewing = watching(world, view=CHICAGO)
    world.logs[UNITS].put("e1", IN_CHICAGO, seconds=1)
    assert viewing.ticked().rows == [("put", "e1")]


def test_what_happens_elsewhere_costs_a_viewer_no_frame(world):
    world.logs[UNITS].put("a1", IN_AUSTIN)
    viewing = watching(world, view=CHICAGO)
    frames = viewing.model.frames
    world.logs[UNITS].put("a1", point(-97.71, 30.3), seconds=1)
    assert viewing.ticked().frames == frames


def test_a_late_change_is_no_frame_but_the_cursor_moves_on(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world)
    world.logs[UNITS].late("e1")
    viewing.ticked()
    world.now += session_module.SILENCE_MS
    viewing.ticked()
    assert viewing.model.rows == []
    assert viewing.model.cursors["one.units"].endswith(":2")


def test_silence_is_broken_by_an_empty_frame(world):
    viewing = watching(world)
    frames = viewing.model.frames
    world.now += session_module.SILENCE_MS
    assert viewing.ticked().frames == frames + 1


def test_panning_puts_what_is_new_and_takes_what_is_left_behind(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    world.logs[UNITS].put("a1", IN_AUSTIN)
    viewing = watching(world, view=CHICAGO)
    viewing.say("view", view=AUSTIN, n=7)
    assert sorted(viewing.ticked().rows) == [("put", "a1"), ("view", "e1")]
    assert viewing.model.view == 7


def test_a_feature_without_a_place_is_in_every_view(world):
    world.logs[UNITS].put("task", None, title="Sandbags")
    viewing = watching(world, view=CHICAGO)
    viewing.say("view", view=AUSTIN)
    assert viewing.ticked().layers["one.units"].keys() == {"task"}
    assert viewing.model.rows == []


def test_a_feature_across_the_antimeridian_is_seen_from_both_sides(world):
    line = {"type": "LineString", "coordinates": [[-180.0, 0.0], [180.0, 1.0]]}
    world.logs[UNITS].put("z", line)
    for bbox in ([178, -1, 180, 1], [-180, -1, -179, 1], [179, -1, -179, 1], [179, -1, 181, 1]):
        viewing = watching(world, view={"bbox": bbox})
        assert viewing.model.layers["one.units"].keys() == {"z"}


def test_a_view_across_the_antimeridian_sees_both_sides_and_nothing_between(world):
    world.logs[UNITS].put("fiji", point(179.5, -17))
    world.logs[UNITS].put("samoa", point(-179.5, -17))
    world.logs[UNITS].put("ghana", point(0, -17))
    viewing = watching(world, view={"bbox": [179, -18, -179, -16]})
    assert viewing.model.layers["one.units"].keys() == {"fiji", "samoa"}


def test_a_tiled_layer_sends_no_features_only_where_it_stands(world):
    world.logs[TILES].put("t1", IN_CHICAGO)
    viewing = watching(world, layers=["one.tiles"])
    assert viewing.model.layers == {"one.tiles": {}}
    world.logs[TILES].put("t2", IN_CHICAGO)
    viewing.ticked()
    assert viewing.model.cursors["one.tiles"].endswith(":2")
    assert viewing.model.resets == 1


def test_a_large_layer_comes_in_several_frames_and_the_cursor_waits_for_the_last(world, monkeypatch):
    monkeypatch.setattr(session_module, "FRAME_BYTES", 500)
    monkeypatch.setattr(picture_module, "CHUNK_BYTES", 100)
    for number in range(50):
        world.logs[UNITS].put(f"u{number}", IN_CHICAGO)
    viewing = Viewing(world, world.hubs[0])
    viewing.say("subscribe", layers=["one.units"])
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    viewing.read()
    assert 0 < len(viewing.model.layers["one.units"]) < 50
    assert viewing.model.cursors["one.units"].endswith(":0")
    assert len(viewing.ticked().layers["one.units"]) == 50
    assert viewing.model.resets == 1


def test_unsubscribed_means_silence(world):
    viewing = watching(world)
    viewing.say("unsubscribe")
    world.logs[UNITS].put("e1", IN_CHICAGO)
    assert viewing.ticked().rows == []


def test_a_ping_is_answered_with_its_own_number(world):
    viewing = watching(world)
    viewing.say("ping", sent=12.5)
    viewing.read()
    assert viewing.model.pongs == [12.5]


def test_a_feed_that_falls_silent_is_told_to_its_followers_and_so_is_its_return(world):
    viewing, elsewhere = watching(world, layers=["one.units"]), watching(world, layers=["one.zones"])
    world.hubs[0].hear({UNITS: 1_000})
    viewing.read()
    elsewhere.read()
    assert (viewing.model.silent, elsewhere.model.silent) == ({"one.units": 1_000}, {})
    world.hubs[0].hear({})
    viewing.read()
    assert viewing.model.silent == {"one.units": None}


def test_who_comes_while_a_feed_is_silent_is_told_so(world):
    world.hubs[0].hear({UNITS: 1_000})
    assert watching(world).model.silent == {"one.units": 1_000}


def test_what_is_missing_is_told_and_that_it_is_whole_again_only_after_the_frame_that_makes_it_so(world):
    viewing = watching(world)
    world.hubs[0].miss(1_000)
    assert viewing.ticked().missing == 1_000
    world.logs[UNITS].put("e1", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    world.hubs[0].miss(None)
    viewing.read(1)
    assert (viewing.model.missing, set(viewing.model.layers["one.units"])) == (1_000, {"e1"})
    assert viewing.ticked().missing is None
