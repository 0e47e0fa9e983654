"""The AsyncAPI document: sound in itself, and true of what the service reads and says."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from struct import unpack_from
from typing import Any
from zlib import crc32

import httpx
import orjson
import pytest

from cop.asyncapi import examples
from cop.asyncapi.document import document
from cop.asyncapi.messages import FROM_CLIENT, FROM_SERVER, Frame
from cop.live import wire
from cop.live.inbox import MOST_GONE
from cop.live.pump import FALLING_SILENT
from layers.kinds import KINDS
from layers.model import Sharing
from tests.live.client_model import ClientModel
from tests.live.conftest import feature
from tests.live.dialogue import dialogue
from tests.live.world import NOON, OTHER, Viewing, World, point

DOCUMENT = document(host="cop.example", secure=True, version="1", api_url="https://cop.example/api")


def shown(of: dict[str, dict[str, dict[str, Any]]]) -> list[Any]:
    return [
        pytest.param(name, payload, id=f"{name} {each}")
        for name, examples in of.items()
        for each, payload in examples.items()
    ]


def check(text: str | bytes) -> str:
    """A message of the service against its type, with no member that the document does not name; its type."""
    head = text if isinstance(text, str) else text[4 : 4 + unpack_from("<I", text)[0]]
    name = orjson.loads(head)["type"]
    FROM_SERVER[name].model_validate_json(head, extra="forbid")
    return name


def walk(value: Any) -> Iterator[Any]:
    yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(each)


# The document.


def test_the_document_says_of_which_kinds_silence_is_told():
    said = DOCUMENT["components"]["messages"]["stale"]["description"]
    assert {kind for kind in KINDS if kind in said} == FALLING_SILENT


def test_the_document_says_what_a_slow_viewer_is_told():
    assert "all but assets and units" in DOCUMENT["info"]["description"]
    assert str(MOST_GONE) in DOCUMENT["info"]["description"]


def test_what_asyncapi_demands_is_there():
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert all({"host", "protocol"} <= server.keys() for server in DOCUMENT["servers"].values())
    assert all({"action", "channel"} <= each.keys() for each in DOCUMENT["operations"].values())
    assert {each["action"] for each in DOCUMENT["operations"].values()} == {"send", "receive"}
    for message in DOCUMENT["components"]["messages"].values():
        assert message["examples"]
        assert all("payload" in example for example in message["examples"])


def test_every_reference_leads_somewhere():
    for value in walk(DOCUMENT):
        if isinstance(value, dict) and "$ref" in value:
            found = DOCUMENT
            for step in value["$ref"].removeprefix("#/").split("/"):
                found = found[step]


def test_operations_name_messages_of_their_channel_and_leave_none_out():
    named = set()
    for operation in DOCUMENT["operations"].values():
        said = [*operation["messages"], *operation.get("reply", {}).get("messages", ())]
        named |= {each["$ref"].removeprefix("#/channels/live/messages/") for each in said}
    assert named == DOCUMENT["channels"]["live"]["messages"].keys()


def test_schemas_use_no_word_that_draft_07_does_not_know():
    words = {
        word for value in walk(DOCUMENT["components"]["schemas"]) if isinstance(value, dict) for word in value
    }
    assert not words & {"prefixItems", "$defs", "unevaluatedProperties"}
    move = DOCUMENT["components"]["schemas"]["Part"]["properties"]["move"]["items"]
    assert (len(move["items"]), move["minItems"], move["additionalItems"]) == (6, 6, False)


def test_limits_are_those_of_the_code():
    text = DOCUMENT["info"]["description"]
    for limit in (wire.MAX_CLIENT_BYTES, wire.MAX_LAYERS, wire.MAX_LIMIT, wire.DEFAULT_LIMIT):
        assert str(limit) in text
    assert {"1003", "1007", "1008", "1009", "1011", "1012", "1013", "4401"} == DOCUMENT["channels"]["live"][
        "x-close-codes"
    ].keys()


async def test_it_is_served_and_linked_from_the_front_door(server):
    async with httpx.AsyncClient(base_url=server.url) as client:
        links = (await client.get("/", headers={"Accept": "application/json"})).json()["links"]
        (link,) = (each for each in links if "asyncapi" in each["type"])
        answer = await client.get(link["href"])
    assert link["rel"] == "service-desc"
    assert answer.headers["content-type"].startswith("application/vnd.aai.asyncapi+json")
    assert server.url.endswith(answer.json()["servers"]["here"]["host"])


# Examples.


@pytest.mark.parametrize(("name", "payload"), shown(examples.FROM_CLIENT))
def test_an_example_of_a_client_is_understood(name, payload):
    FROM_CLIENT[name].model_validate_json(json.dumps(payload), extra="forbid")
    wire.read_message(json.dumps(payload))


@pytest.mark.parametrize(("name", "payload"), shown(examples.FROM_SERVER))
def test_an_example_of_the_service_has_its_shape(name, payload):
    assert check(json.dumps(payload)) == name


def test_the_packed_example_is_laid_out_as_the_words_say():
    message = b64decode(examples.PACKED)
    (length,) = unpack_from("<I", message)
    frame = Frame.model_validate_json(message[4 : 4 + length], extra="forbid")
    start = -(-(4 + length) // 4) * 4
    assert frame.layers["cfd.units"].packed == 1
    assert len(message) == start + wire.RECORD_BYTES
    record = unpack_from("<IiiIHH", message, start)
    assert record == (crc32(b"E42"), -876_301_000, 418_822_000, frame.time % 2**32, 27_000, 1_120)


# What the service really says.


class Checked(ClientModel):
    """A client that holds every message against its type."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def apply(self, message: str | bytes) -> None:
        self.said.add(check(message))
        super().apply(message)


async def test_what_a_real_session_says_has_its_shape(server, town):
    checked = Checked()
    async with dialogue(server.ws_url, town.police_key, checked) as viewer:
        await viewer.say("subscribe", view={"bbox": [-88, 41, -87, 42], "zoom": 9}, n=1)
        await viewer.until(lambda model: model.view == 1)
        await town.put(town.units, feature("e1", expires_at="2100-01-01T00:00:00Z"))
        await viewer.until(lambda model: model.layers.get("fire.units"))
        await town.put(town.units, feature("e1", -87.7, expires_at="2100-01-01T00:00:00Z"))
        await town.remove(town.units, "e1")
        await viewer.say("ping", sent=1.5)
        await viewer.say("nonsense")
        await viewer.until(lambda model: model.pongs and model.errors)
        await town.unshare(town.units, "all")
        await viewer.until(lambda model: "fire.units" not in model.layers)
    assert {"hello", "frame", "pong", "error", "revoked"} <= checked.said


def heard(viewing: Viewing) -> list[dict[str, Any]]:
    """What waits in a session, each checked."""
    messages = []
    while (message := viewing.session.take()) is not None:
        text = wire.whole(message)
        check(text)
        messages.append(orjson.loads(text) if isinstance(text, str) else {})
    return messages


@pytest.mark.parametrize("limit", [1, 20_000])
def test_frames_of_every_sort_have_their_shape(limit):
    world = World()
    viewing, log = Viewing(world, world.hubs[0]), world.logs[1]
    viewing.say("subscribe", limit=limit, n=1)
    lists: set[str] = set()
    for n in range(6):
        log.put("a", point(n, 1.0), seconds=n, expires_s=60, heading_deg=12.5)
        log.put("b", None, seconds=n)
        log.put("c", point(1.0, 2.0), seconds=n, status=f"{n}")
        if n == 4:
            log.gone("b")
        world.catch_up(world.hubs[0])
        world.tick(world.hubs[0])
        frames = [message for message in heard(viewing) if message["type"] == "frame"]
        lists |= {key for message in frames for part in message["layers"].values() for key in part}
    assert lists >= ({"reset", "put", "move", "gone"} if limit > 1 else {"reset", "cells"})


def test_the_end_of_a_process_and_of_a_share_have_their_shape():
    world = World()
    world.share(1, Sharing(everyone=True))
    viewing = Viewing(world, world.hubs[0], OTHER)
    world.catch_up(world.hubs[0])
    viewing.say("subscribe")
    viewing.world.tick(world.hubs[0])
    world.share(1, Sharing())
    world.catch_up(world.hubs[0])
    world.hubs[0].drain(1_000)
    assert {"revoked", "drain"} <= {message["type"] for message in heard(viewing)}


@pytest.mark.parametrize("since", [None, 1_795_348_800_000])
def test_what_is_said_of_silence_has_its_shape(since):
    assert check(wire.stale("cfd.units", since)) == "stale"
    assert check(wire.missing(since)) == "missing"


def test_moves_that_are_packed_have_their_shape():
    world = World()
    viewing, log = Viewing(world, world.hubs[0], packing=True), world.logs[1]
    viewing.say("subscribe")
    said = []
    for n in range(3):
        log.put("a", point(n, 1.0), seconds=world.now / 1000 - NOON.timestamp(), callsign="E1")
        world.catch_up(world.hubs[0])
        world.tick(world.hubs[0])
        while (message := viewing.session.take()) is not None:
            text = wire.whole(message)
            said.append((check(text), type(text)))
    assert ("frame", bytes) in said
