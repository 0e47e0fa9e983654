"""What a viewer may see, by example: what is hidden, what comes once it is shared, what is taken back."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from layers.model import AgencyId, LayerId, Sharing
from tests.live.world import CHICAGO, IN_CHICAGO, NOBODY, OTHER, TILES, UNITS, ZONES, Viewing, World, watching


def share_with_everyone(world: World, *layers: LayerId) -> None:
    for layer in layers:
        world.share(layer, Sharing(everyone=True))


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


def test_the_silence_of_a_hidden_layer_is_not_told(world):
    viewing = watching(world, OTHER)
    world.hubs[0].hear({UNITS: 1_000})
    assert viewing.ticked().silent == {}


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


def test_what_a_client_came_with_is_revoked_even_if_it_subscribes_anew_at_once(world):
    viewing = Viewing(world, world.hubs[0], OTHER)
    viewing.model.layers["one.units"] = {}
    viewing.say("subscribe", since={"one.units": f"{uuid4()}:1"})
    viewing.say("subscribe")
    assert viewing.ticked().layers == {}


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
    share_with_everyone(world, UNITS, ZONES)
    viewing = watching(world, OTHER)
    world.logs[UNITS].put("secret", IN_CHICAGO)
    world.logs[ZONES].put("fire", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    world.share(UNITS, Sharing())
    viewing.ticked()
    assert viewing.model.layers["one.zones"].keys() == {"fire"}


def test_a_view_is_settled_although_the_frame_that_said_so_was_taken_back(world):
    share_with_everyone(world, UNITS, ZONES)
    viewing = watching(world, OTHER, layers=["one.units", "one.zones"])
    viewing.say("view", view=CHICAGO, n=7)
    world.logs[UNITS].put("e1", IN_CHICAGO)
    world.catch_up(world.hubs[0])
    world.tick(world.hubs[0])
    world.share(UNITS, Sharing())
    assert viewing.ticked().view == 7


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


def test_a_frame_that_was_sent_is_not_taken_back_when_its_layer_is_revoked(world):
    share_with_everyone(world, UNITS, ZONES)
    viewing = watching(world, OTHER)
    world.logs[UNITS].put("secret", IN_CHICAGO)
    world.logs[ZONES].put("z", IN_CHICAGO)
    viewing.ticked()
    interrupted = []
    viewing.session.interrupt = lambda: interrupted.append(True)
    world.share(UNITS, Sharing())
    viewing.ticked()
    assert not interrupted
    assert viewing.model.resets == 0
    assert viewing.model.layers.keys() == {"one.zones"}


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
