"""Sessions beside each other, by example: who has a place, when it is lost, and what one costs the others."""

from __future__ import annotations

from collections import Counter

import pytest

from cop.live import hub as hub_module
from cop.live import session as session_module
from cop.live import wire
from cop.live.held import _WRITERS
from cop.live.inbox import News
from cop.live.session import DRAINED, Pass
from layers.errors import Unavailable
from layers.model import Sharing
from tests.live.world import IN_CHICAGO, NOBODY, OWN, UNITS, Viewing, World, point, watching


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


def test_a_process_that_stops_takes_nobody_new(world):
    world.hubs[0].drain(4_000)
    with pytest.raises(Unavailable) as caught:
        world.hubs[0].join(Pass(OWN))
    assert caught.value.code == "live.draining"


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


def test_one_sessions_trouble_closes_it_and_leaves_the_others_alone(world, monkeypatch, caplog):
    broken, fine = watching(world), watching(world)
    monkeypatch.setattr(broken.session, "tick", lambda *_, **__: 1 / 0)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    assert fine.ticked().rows == [("put", "e1")]
    assert broken.session.closing[0] == 1011


def test_a_socket_that_fails_closes_its_session_and_leaves_the_others_alone(world):
    viewing = [watching(world) for _ in range(9)]
    broken = viewing[4].session

    def fail() -> None:
        if broken.closing is None:
            raise OSError("a socket that has gone wrong")

    broken.wake = fail
    world.logs[UNITS].put("e1", IN_CHICAGO)
    assert [each.ticked().rows for each in viewing if each.session is not broken] == [[("put", "e1")]] * 8
    assert broken.closing[0] == 1011


def test_errors_that_nobody_reads_do_not_pile_up(world):
    viewing = watching(world)
    for _ in range(1_000):
        viewing.session.receive("nonsense")
    viewing.read()
    assert viewing.model.errors == ["live.json"] * session_module.MAX_ERRORS


def test_subscribers_are_counted_by_agency(world):
    world.share(UNITS, Sharing(public=True))
    watching(world)
    watching(world, NOBODY)
    assert world.hubs[0].subscribers()[UNITS] == {OWN.agency: 1, None: 1}


# --- many at once


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
