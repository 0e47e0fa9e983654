"""Viewers who read slowly or come back, by example: what they are owed, how much of it, and when it is too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from cop.live import follow as follow_module
from cop.live import inbox as inbox_module
from cop.live import session as session_module
from cop.live.session import TOO_SLOW
from layers.model import Why
from tests.live.world import (
    CHICAGO,
    IN_AUSTIN,
    IN_CHICAGO,
    UNITS,
    ZONES,
    Log,
    Viewing,
    World,
    point,
    watching,
)


def test_slow_viewer_gets_only_the_latest_position(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world)
    for second in range(1, 50):
        world.logs[UNITS].put("e1", point(-87.6, 41.9 + second / 1000), seconds=second)
        world.catch_up(world.hubs[0])
        world.tick(world.hubs[0])
    viewing.ticked()
    assert viewing.model.rows == [("move", "e1"), ("move", "e1")]


def test_what_a_slow_viewer_is_owed_does_not_grow_with_features_that_came_and_went(world):
    viewing = watching(world)
    for number in range(200):
        world.logs[UNITS].put(f"u{number}", IN_CHICAGO)
        world.catch_up(world.hubs[0])
        world.tick(world.hubs[0])
        world.logs[UNITS].gone(f"u{number}")
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    (debt,) = [follow.debt.held for follow in viewing.session._follows.values() if follow.layer == UNITS]
    assert len(debt) <= 1  # What the frame that it has not read yet has put.


def behind(world: World, viewing: Viewing, *steps) -> list[tuple[str, str]]:
    """What a viewer is told, besides a first frame, who reads nothing while each step is a tick, and then all."""
    for step in (lambda: world.logs[UNITS].put("first", IN_CHICAGO), *steps):
        step()
        world.catch_up(world.hubs[0])
        world.tick(world.hubs[0])
    viewing.ticked()
    assert viewing.model.rows.pop(0) == ("put", "first")
    return viewing.model.rows


def test_a_viewer_behind_is_told_the_newest_of_a_zone_of_an_incident_and_what_is_gone(world):
    zones = world.logs[ZONES]
    zones.put("closed", IN_CHICAGO, status="minor")
    zones.put("lifted", IN_CHICAGO)
    viewing = watching(world)
    told = behind(
        world,
        viewing,
        lambda: zones.put("closed", IN_CHICAGO, seconds=1, status="severe"),
        lambda: zones.gone("lifted", Why.EXPIRED),
        lambda: zones.put("closed", IN_CHICAGO, seconds=2, status="critical"),
        lambda: zones.put("fire", IN_CHICAGO, status="new"),
    )
    assert sorted(told) == [("expired", "lifted"), ("put", "closed"), ("put", "fire")]
    held = viewing.model.layers["one.zones"]
    assert held.keys() == {"closed", "fire"}
    assert "critical" in held["closed"][1]


def came_and_went(
    log: Log, feature_id: str = "fire", place: dict[str, Any] = IN_CHICAGO
) -> tuple[list[Callable[[], object]], list[Callable[[], object]]]:
    """As two ticks, and as one."""

    def come() -> None:
        log.put(feature_id, place)

    def go() -> None:
        log.gone(feature_id, Why.DELETED)

    def pass_by() -> None:
        come()
        go()

    return [come, go], [pass_by]


@pytest.mark.parametrize("ticks", [0, 1])
def test_that_an_incident_is_gone_is_told_though_it_came_and_went_unread(world, ticks):
    viewing = watching(world, view=CHICAGO)
    assert behind(world, viewing, *came_and_went(world.logs[ZONES])[ticks]) == [("deleted", "fire")]
    assert viewing.model.layers["one.zones"] == {}


@pytest.mark.parametrize("ticks", [0, 1])
def test_that_an_incident_came_and_went_elsewhere_is_not_told(world, ticks):
    viewing = watching(world, view=CHICAGO)
    assert behind(world, viewing, *came_and_went(world.logs[ZONES], place=IN_AUSTIN)[ticks]) == []


def test_who_keeps_up_is_told_too_that_an_incident_came_and_went_within_a_tick(world):
    viewing = watching(world, view=CHICAGO)
    (together,) = came_and_went(world.logs[ZONES])[1]
    together()
    viewing.ticked()
    assert viewing.model.rows == [("deleted", "fire")]


def test_a_unit_that_came_and_went_unread_is_not_told(world):
    viewing = watching(world, view=CHICAGO)
    assert behind(world, viewing, *came_and_went(world.logs[UNITS])[0]) == []


def test_what_came_and_went_and_came_again_is_put_whole(world):
    """Nobody who was not told of it could follow a move."""
    log, viewing = world.logs[ZONES], watching(world, view=CHICAGO)
    (together,) = came_and_went(log)[1]
    told = behind(world, viewing, together, lambda: log.put("fire", point(-87.61, 41.9), seconds=5))
    assert told == [("put", "fire")]


def test_what_a_slow_viewer_is_owed_of_incidents_that_came_and_went_is_bounded(world, monkeypatch):
    monkeypatch.setattr(inbox_module, "MOST_GONE", 10)
    log, viewing = world.logs[ZONES], watching(world)
    steps = [step for number in range(100) for step in came_and_went(log, f"z{number}")[0]]
    assert len(behind(world, viewing, *steps)) == 10


def test_a_viewer_who_never_reads_is_cut_off(world):
    viewing = watching(world)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    viewing.session.next_message()
    world.now += session_module.SEND_DEADLINE_MS
    world.tick(world.hubs[0])
    assert viewing.session.closing[0] == 1013


def test_who_does_not_read_what_it_is_told_is_cut_off(world):
    viewing = watching(world)
    for turn in range(5):
        since = {f"one.x{turn}-{number}": f"{uuid4()}:1" for number in range(250)}
        viewing.say("subscribe", since=since)
        world.tick(world.hubs[0])
    assert viewing.session.closing == TOO_SLOW


# --- back after a while


def test_one_who_comes_back_gets_exactly_what_it_missed(world):
    for name in ("stays", "moves", "goes"):
        world.logs[UNITS].put(name, IN_CHICAGO)
    viewing = watching(world, layers=["one.units"])
    viewing.leave()
    world.logs[UNITS].put("moves", point(-87.7, 41.9), seconds=1)
    world.logs[UNITS].gone("goes")
    viewing.connect(world.hubs[0])
    viewing.say("subscribe", layers=["one.units"], since=viewing.model.cursors)
    assert sorted(viewing.ticked().rows) == [("deleted", "goes"), ("put", "moves")]
    assert viewing.model.resets == 0


@pytest.mark.parametrize("since", ["00000000-0000-0000-0000-000000000000:1", "{epoch}:0"])
def test_a_cursor_of_another_epoch_or_from_before_what_is_remembered_is_a_reset(world, since):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    world.load(world.hubs[0], UNITS)
    viewing = Viewing(world, world.hubs[0])
    cursor = since.format(epoch=world.logs[UNITS].epoch)
    viewing.say("subscribe", layers=["one.units"], since={"one.units": cursor})
    assert viewing.ticked().resets == 1


def test_a_cursor_ahead_of_this_process_waits_for_it(world):
    viewing = watching(world, layers=["one.units"])
    world.logs[UNITS].put("e1", IN_CHICAGO)
    ahead = f"{world.logs[UNITS].epoch}:1"
    viewing.say("subscribe", layers=["one.units"], since={"one.units": ahead})
    world.tick(world.hubs[0])
    viewing.read()
    viewing.model.cursors["one.units"] = ahead  # As if told by a faster process.
    assert viewing.ticked().rows == []
    assert viewing.model.resets == 0


def test_a_cursor_that_stays_ahead_is_answered_by_a_reset(world):
    viewing = Viewing(world, world.hubs[0])
    ahead = f"{world.logs[UNITS].epoch}:99"
    viewing.say("subscribe", layers=["one.units"], since={"one.units": ahead})
    assert viewing.ticked().resets == 0
    world.now += follow_module.AHEAD_MS
    assert viewing.ticked().resets == 1


def test_a_cursor_on_an_open_socket_goes_on_whatever_was_under_way(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, layers=["one.units"])
    cursors = dict(viewing.model.cursors)
    world.logs[UNITS].put("e2", IN_CHICAGO)
    viewing.ticked()
    viewing.say("subscribe", layers=["one.units", "one.zones"], since=cursors)
    world.logs[UNITS].put("e3", IN_CHICAGO)
    assert viewing.ticked().layers["one.units"].keys() == {"e1", "e2", "e3"}
    assert viewing.model.resets == 1  # one.zones


def test_a_layer_read_anew_resets_its_viewers_and_no_others(world):
    viewing = watching(world)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    world.load(world.hubs[0], UNITS)
    assert viewing.ticked().resets == 1
    assert viewing.model.layers["one.units"].keys() == {"e1"}
