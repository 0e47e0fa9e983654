"""The live rules by example: what a viewer is sent, when, and in what words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from cop.live import follow as follow_module
from cop.live import hub as hub_module
from cop.live import inbox as inbox_module
from cop.live import picture as picture_module
from cop.live import session as session_module
from cop.live import wire
from cop.live.held import _WRITERS
from cop.live.inbox import News
from cop.live.session import DRAINED, TOO_SLOW, Pass
from layers.errors import Unavailable
from layers.model import AgencyId, LayerId, Sharing, Why
from tests.live.world import NOBODY, OTHER, OWN, Log, Viewing, World, point

UNITS, ZONES, TILES = LayerId(1), LayerId(2), LayerId(3)
CHICAGO = {"bbox": [-88.0, 41.6, -87.4, 42.1], "zoom": 10}
AUSTIN = {"bbox": [-98.0, 30.0, -97.5, 30.5], "zoom": 10}
IN_CHICAGO, IN_AUSTIN = point(-87.6, 41.9), point(-97.7, 30.3)


@pytest.fixture
def world() -> World:
    return World()


def watching(world: World, viewer=OWN, **subscription) -> Viewing:
    """A viewer who has subscribed and has been told everything."""
    viewing = Viewing(world, world.hubs[0], viewer)
    viewing.say("subscribe", **subscription)
    viewing.ticked()
    viewing.model.rows.clear()
    viewing.model.resets = 0
    return viewing


def test_a_viewer_is_told_only_of_layers_it_may_see(world):
    hello = watching(world, OTHER).model.hello
    assert (hello["layers"], hello["operations"]) == ([], [])
    assert [agency["id"] for agency in hello["agencies"]] == ["two"]


def test_a_hidden_layer_and_one_that_does_not_exist_answer_the_same(world):
    viewing = watching(world, OTHER, layers=["one.units", "one.nothing"])
    assert viewing.model.errors == ["live.layer", "live.layer"]
    assert viewing.model.layers == {}


def test_a_hidden_operation_and_one_that_does_not_exist_answer_the_same(world):
    assert watching(world, OTHER, operation="flood").model.errors == ["live.operation"]
    assert watching(world, OTHER, operation="nothing").model.errors == ["live.operation"]


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


def test_an_unshared_layer_is_revoked_in_the_same_tick(world):
    world.share(UNITS, Sharing(everyone=True))
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, OTHER)
    world.share(UNITS, Sharing())
    world.hubs[0].judge(world.directory)
    viewing.read()
    assert viewing.model.layers == {}
    assert viewing.model.hello["layers"] == []


def test_a_layer_that_a_viewer_once_followed_is_revoked_too(world):
    world.share(UNITS, Sharing(everyone=True))
    viewing = watching(world, OTHER)
    viewing.say("subscribe", layers=["one.zones"])
    viewing.ticked()
    world.share(UNITS, Sharing())
    assert "one.units" not in viewing.ticked().layers


def test_a_layer_that_an_operation_no_longer_draws_is_taken_back(world):
    viewing = watching(world, operation="flood", layers=["one.units"])
    flood = world.directory.operations[1]
    without = replace(flood, layers=(TILES,))
    world.directory = replace(world.directory, policy_revision=2, operations={flood.id: without})
    assert viewing.ticked().layers == {}


def test_nothing_published_after_a_share_ended_is_sent_even_if_a_frame_waits(world):
    world.share(UNITS, Sharing(agencies=frozenset({AgencyId(2)})))
    viewing = watching(world, OTHER)
    world.logs[UNITS].put("secret", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])  # The frame waits: the socket has not taken it.
    world.share(UNITS, Sharing())
    world.hubs[0].judge(world.directory)
    viewing.read()
    assert ("put", "secret") not in viewing.model.rows


def test_a_recalled_frame_loses_nothing_of_the_other_layers(world):
    world.share(UNITS, Sharing(everyone=True))
    world.share(ZONES, Sharing(everyone=True))
    viewing = watching(world, OTHER)
    world.logs[UNITS].put("secret", IN_CHICAGO)
    world.logs[ZONES].put("fire", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    world.share(UNITS, Sharing())
    viewing.ticked()
    assert viewing.model.layers["one.zones"].keys() == {"fire"}


def test_a_frame_under_way_to_one_who_does_not_read_is_interrupted_when_its_layer_is_revoked(world):
    world.share(UNITS, Sharing(everyone=True))
    viewing = watching(world, OTHER)
    interrupted = []
    viewing.session.interrupt = lambda: interrupted.append(True)
    world.logs[UNITS].put("secret", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    viewing.session.next_message()
    world.share(UNITS, Sharing())
    world.hubs[0].judge(world.directory)
    assert interrupted


def test_a_layer_that_is_shared_later_comes_by_itself(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, OTHER, operation="flood")
    world.share(UNITS, Sharing(everyone=True))
    assert viewing.ticked().layers["one.units"].keys() == {"e1"}
    assert [layer["id"] for layer in viewing.model.hello["layers"]] == ["one.units"]


def test_the_public_sees_public_layers(world):
    world.share(ZONES, Sharing(public=True))
    world.logs[ZONES].put("closed", IN_CHICAGO)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    viewing = watching(world, NOBODY)
    assert viewing.model.layers.keys() == {"one.zones"}
    assert viewing.model.hello["viewer"] == {"agency": None, "name": "public", "scopes": []}


def test_hello_is_sent_again_only_when_it_says_something_new(world):
    viewing = watching(world)
    viewing.model.hello = {}
    world.share(UNITS, Sharing(everyone=True))
    assert viewing.ticked().hello == {}


def test_a_tiled_layer_sends_no_features_only_where_it_stands(world):
    world.logs[TILES].put("t1", IN_CHICAGO)
    viewing = watching(world, layers=["one.tiles"])
    assert viewing.model.layers == {"one.tiles": {}}
    world.logs[TILES].put("t2", IN_CHICAGO)
    viewing.ticked()
    assert viewing.model.cursors["one.tiles"].endswith(":2")
    assert viewing.model.resets == 1


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
    (debt,) = [follow.debt for follow in viewing.session._follows.values() if follow.layer == UNITS]
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


def test_errors_that_nobody_reads_do_not_pile_up(world):
    viewing = watching(world)
    for _ in range(1_000):
        viewing.session.receive("nonsense")
    viewing.read()
    assert viewing.model.errors == ["live.json"] * session_module.MAX_ERRORS


def test_a_session_ends_with_its_credential(world):
    session = world.hubs[0].join(Pass(OWN, b"hash", expires_ms=world.now + 1_000))
    world.tick(world.hubs[0])
    assert session.closing is None
    world.now += 1_000
    world.tick(world.hubs[0])
    assert session.closing[0] == 4401


def test_only_sessions_whose_credential_was_asked_about_and_is_not_valid_are_closed(world):
    hub = world.hubs[0]
    sessions = [hub.join(Pass(OWN, each, policy_revision=1)) for each in (b"good", b"revoked", None)]
    newcomer = hub.join(Pass(OWN, b"newcomer", policy_revision=2))
    assert hub.credentials(vouched_before=2) == {b"good", b"revoked"}
    hub.vouch(2, {b"good", b"revoked"}, {b"good"})
    assert [bool(session.closing) for session in [*sessions, newcomer]] == [False, True, False, False]
    assert hub.credentials(vouched_before=2) == {b"revoked"}


def test_when_all_places_are_taken_the_next_is_told_so(world, monkeypatch):
    monkeypatch.setattr(hub_module, "MAX_SESSIONS", 1)
    world.hubs[0].join(Pass(OWN))
    with pytest.raises(Unavailable) as caught:
        world.hubs[0].join(Pass(OWN))
    assert caught.value.code == "live.full"


def test_the_public_never_takes_the_places_of_agencies(world, monkeypatch):
    monkeypatch.setattr(hub_module, "MAX_SESSIONS", 4)
    hub = world.hubs[0]
    public = [hub.join(Pass(NOBODY)) for _ in range(2)]
    with pytest.raises(Unavailable):
        hub.join(Pass(NOBODY))
    agencies = [hub.join(Pass(OWN)) for _ in range(2)]
    for session in (public[0], public[0], agencies[0]):
        hub.leave(session)
    hub.join(Pass(NOBODY))
    with pytest.raises(Unavailable):
        hub.join(Pass(NOBODY))


def test_who_does_not_read_what_it_is_told_is_cut_off(world):
    viewing = watching(world)
    for turn in range(5):
        since = {f"one.x{turn}-{number}": f"{uuid4()}:1" for number in range(250)}
        viewing.say("subscribe", since=since)
        world.tick(world.hubs[0])
    assert viewing.session.closing == TOO_SLOW


def test_what_a_client_came_with_is_revoked_even_if_it_subscribes_anew_at_once(world):
    viewing = Viewing(world, world.hubs[0], OTHER)
    viewing.model.layers["one.units"] = {}
    viewing.say("subscribe", since={"one.units": f"{uuid4()}:1"})
    viewing.say("subscribe")
    assert viewing.ticked().layers == {}


def test_a_view_is_settled_although_the_frame_that_said_so_was_taken_back(world):
    world.share(UNITS, Sharing(everyone=True))
    world.share(ZONES, Sharing(everyone=True))
    viewing = watching(world, OTHER, layers=["one.units", "one.zones"])
    viewing.say("view", view=CHICAGO, n=7)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    world.share(UNITS, Sharing())
    assert viewing.ticked().view == 7


def test_one_sessions_trouble_closes_it_and_leaves_the_others_alone(world, monkeypatch, caplog):
    broken, fine = watching(world), watching(world)
    monkeypatch.setattr(broken.session, "tick", lambda *_, **__: 1 / 0)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    assert fine.ticked().rows == [("put", "e1")]
    assert broken.session.closing[0] == 1011


def test_when_many_come_at_once_they_are_served_over_several_ticks_and_nobody_else_waits(world):
    world.logs[UNITS].put("e1", IN_CHICAGO)
    old = watching(world, layers=["one.units"])
    new = [Viewing(world, world.hubs[0]) for _ in range(20)]
    for viewing in new:
        viewing.say("subscribe", layers=["one.units"])
    world.hubs[0].clock = world.pass_the_time  # Each look at the clock takes 20 ms: a tick has time for few.
    world.logs[UNITS].put("e2", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    for viewing in [old, *new]:
        viewing.read()
    assert "e2" in old.model.layers["one.units"]
    assert 0 < sum("one.units" in viewing.model.layers for viewing in new) < 20
    for _ in range(20):
        world.tick(world.hubs[0])
        for viewing in new:
            viewing.read()
    assert all(viewing.model.layers["one.units"].keys() == {"e1", "e2"} for viewing in new)


def overlapping(world: World, count: int) -> list[Viewing]:
    """Viewers, every second of whom packs, of maps that are shifted a little against each other over one city."""
    viewings = [Viewing(world, world.hubs[0], packing=number % 2 == 1) for number in range(count)]
    for number, viewing in enumerate(viewings):
        west = -87.9 + (number * 7 % 50) / 2_000
        viewing.say("subscribe", view={"bbox": [west, 41.7, west + 0.4, 42.0], "zoom": 11})
    tick_for(world, viewings)
    assert all(len(viewing.model.layers["one.units"]) == 100 for viewing in viewings)
    return viewings


def tick_for(world: World, viewings: list[Viewing]) -> None:
    """One tick, and everybody takes what it brings."""
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    for viewing in viewings:
        viewing.model.rows.clear()
        viewing.read()


def written_for(monkeypatch, viewers: int) -> Counter[str]:
    """How often each writer of rows is called in one tick of a city, and in the first frames before that."""
    world, calls = World(), Counter[str]()
    places = [(-87.8 + number % 10 / 50, 41.75 + number // 10 / 50) for number in range(100)]
    for number, place in enumerate(places):
        world.logs[UNITS].put(f"u{number}", point(*place), callsign="é")
    with monkeypatch.context() as patch:
        for owner, name in ((wire, "put_row"), (wire, "move_row"), (wire, "gone_row"), (News, "_join")):
            patch.setattr(owner, name, _counted(calls, name, getattr(owner, name)))
        patch.setitem(_WRITERS, "packed", _counted(calls, "packed", _WRITERS["packed"]))
        viewings = overlapping(world, viewers)
        for number, (lng, lat) in enumerate(places):
            if number % 10 == 0:
                world.logs[UNITS].gone(f"u{number}")
            else:
                callsign = "è" if number % 10 == 1 else "é"
                world.logs[UNITS].put(f"u{number}", point(lng + 1e-3, lat), seconds=1, callsign=callsign)
        tick_for(world, viewings)
    assert all(len(viewing.model.rows) == 100 for viewing in viewings)
    return calls


def _counted(calls: Counter[str], name: str, write):
    def counted(*arguments, **options):
        calls[name] += 1
        return write(*arguments, **options)

    return counted


def test_what_changes_is_written_once_for_two_viewers_and_once_for_fifty(monkeypatch):
    two = written_for(monkeypatch, 2)
    assert (two["put_row"], two["move_row"], two["packed"]) == (110, 80, 80)
    assert written_for(monkeypatch, 50) == two


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


def test_the_silence_of_a_hidden_layer_is_not_told(world):
    viewing = watching(world, OTHER)
    world.hubs[0].hear({UNITS: 1_000})
    assert viewing.ticked().silent == {}


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


def test_a_process_that_stops_says_when_to_come_back_and_closes_within_its_window(world):
    viewing = watching(world)
    world.hubs[0].drain(4_000)
    viewing.read()
    assert viewing.model.retry_ms is not None
    assert 0 <= viewing.model.retry_ms <= 4_000
    assert viewing.session.closing is None
    world.now += 4_000
    world.tick(world.hubs[0])
    assert viewing.session.closing == DRAINED


def test_a_process_that_stops_takes_nobody_new(world):
    world.hubs[0].drain(4_000)
    with pytest.raises(Unavailable) as caught:
        world.hubs[0].join(Pass(OWN))
    assert caught.value.code == "live.draining"


def test_subscribers_are_counted_by_agency(world):
    world.share(UNITS, Sharing(public=True))
    watching(world)
    watching(world, NOBODY)
    assert world.hubs[0].subscribers()[UNITS] == {OWN.agency: 1, None: 1}
