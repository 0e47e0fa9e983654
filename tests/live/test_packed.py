"""`cop.live.v1+bin`: what is packed, what is told in words instead, and that both say the same."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from cop.live import session as session_module
from tests.live.client_model import ClientModel
from tests.live.world import IN_CHICAGO, OWN, UNITS, Viewing, World, point


def watching(world: World) -> Viewing:
    viewing = Viewing(world, world.hubs[0], OWN, packing=True)
    viewing.say("subscribe")
    viewing.ticked()
    viewing.model.rows.clear()
    return viewing


def moved(world: World, viewing: Viewing, **properties) -> ClientModel:
    world.logs[UNITS].put("e1", point(-87.61, 41.9), seconds=5, callsign="E1", **properties)
    return viewing.ticked()


def test_a_move_is_packed_and_says_what_a_row_would(world):
    world.logs[UNITS].put("e1", IN_CHICAGO, callsign="E1", expires_s=60)
    packed, plain = watching(world), Viewing(world, world.hubs[0])
    plain.say("subscribe")
    plain.ticked()
    moved(world, packed, heading_deg=271.5, speed_mps=12.25, expires_s=60)
    plain.read()
    assert packed.model.rows == [("packed", "e1")]
    assert packed.model.layers == plain.model.layers


def test_a_thousand_moved_units_take_twenty_bytes_each_and_a_head(world):
    for number in range(1_000):
        world.logs[UNITS].put(f"u{number}", IN_CHICAGO)
    viewing = watching(world)
    for number in range(1_000):
        world.logs[UNITS].put(f"u{number}", point(-87.61, 41.9), seconds=1)
    viewing.ticked()
    frame = next(each for each in viewing.model.messages if isinstance(each, bytes))
    assert 20_000 < len(frame) < 20_300


@pytest.mark.parametrize("course", [{"heading_deg": 12.345}, {"speed_mps": 655.35}, {"speed_mps": 1e6}])
def test_what_a_record_cannot_say_exactly_is_told_in_words(world, course):
    world.logs[UNITS].put("e1", IN_CHICAGO, callsign="E1")
    viewing = watching(world)
    moved(world, viewing, **course)
    assert viewing.model.rows == [("move", "e1")]


def test_an_observation_of_long_ago_is_told_in_words(world):
    world.logs[UNITS].put("e1", IN_CHICAGO, callsign="E1", seconds=-10)
    viewing = watching(world)
    world.logs[UNITS].put("e1", point(-87.61, 41.9), callsign="E1", seconds=-3_000_000)
    assert viewing.ticked().rows == [("move", "e1")]


def test_features_with_one_checksum_are_told_in_words_until_one_is_gone(world):
    for name in ("plumless", "buckeroo"):
        world.logs[UNITS].put(name, IN_CHICAGO)
    viewing = watching(world)
    world.logs[UNITS].put("plumless", point(-87.61, 41.9), seconds=1)
    viewing.ticked()
    world.logs[UNITS].gone("buckeroo")
    world.logs[UNITS].put("plumless", point(-87.62, 41.9), seconds=2)
    assert viewing.ticked().rows == [("move", "plumless"), ("deleted", "buckeroo"), ("packed", "plumless")]


def test_a_frame_that_leaves_something_owed_packs_nothing(world, monkeypatch):
    for number in range(40):
        world.logs[UNITS].put(f"u{number}", IN_CHICAGO)
    viewing = watching(world)
    monkeypatch.setattr(session_module, "FRAME_BYTES", 300)
    for number in range(40):
        world.logs[UNITS].put(f"u{number}", point(-87.61, 41.9), seconds=1)
    world.tick(world.hubs[0])
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    viewing.read()
    assert {how for how, _ in viewing.model.rows} == {"move"}
    assert {how for how, _ in viewing.ticked().rows} == {"move", "packed"}


COURSES = st.one_of(
    st.none(), st.integers(0, 359), st.floats(0, 359.9), st.decimals(0, 359, places=2).map(float)
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.decimals(-180, 180, places=7), st.decimals(-90, 90, places=7), COURSES, COURSES),
        min_size=1,
        max_size=20,
    )
)
def test_however_a_unit_moves_records_and_rows_leave_the_same_state(moves):
    world = World()
    world.logs[UNITS].put("e1", IN_CHICAGO)
    packed, plain = watching(world), Viewing(world, world.hubs[0])
    plain.say("subscribe")
    plain.ticked()
    for seconds, (lng, lat, heading, speed) in enumerate(moves):
        course = {"heading_deg": heading, "speed_mps": speed}
        known = {name: value for name, value in course.items() if value is not None}
        world.logs[UNITS].put("e1", point(float(lng), float(lat)), seconds=seconds, **known)
        packed.ticked()
        plain.read()
        assert packed.model.layers == plain.model.layers
