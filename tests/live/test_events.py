"""Server-sent events: what a browser's EventSource needs, a resume that loses nothing, and an end that is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cop.api.events import ID_CHARACTERS, cursors_of, event_id
from cop.live.told import Told
from layers.credentials import revoke
from tests.conftest import Serving
from tests.live.client_model import ClientModel
from tests.live.conftest import feature, zone
from tests.live.dialogue import truth

EPOCH = "0d8f6d3e-6b0f-4c1e-9c57-1c2f1f6f0c11"


class Source:
    """An EventSource: applies what it is sent, remembers the last id, and notes how the stream ended."""

    def __init__(self, answer: httpx.Response, model: ClientModel) -> None:
        self.answer = answer
        self.model = model
        self.id = ""
        self.retry_ms = 0
        self.comments = 0
        self.closed: dict[str, Any] | None = None
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        type_ = ""
        try:
            async for line in self.answer.aiter_lines():
                name, _, value = line.partition(": ")
                match name:
                    case "id":
                        self.id = value
                    case "retry":
                        self.retry_ms = int(value)
                    case "event":
                        type_ = value
                    case "data" if type_ == "close":
                        self.closed = json.loads(value)
                    case "data":
                        assert json.loads(value)["type"] == type_
                        self.model.apply(value)
                    case ":":
                        self.comments += 1
                    case _:
                        assert not line
                self._changed.set()
        finally:
            self._changed.set()

    async def until(self, holds: Any) -> None:
        """Wait until *holds* of this source."""
        async with asyncio.timeout(30):
            while not holds(self):
                if self._reader.done():
                    self._reader.result()
                    raise AssertionError(f"ended: {self.closed}")
                self._changed.clear()
                await self._changed.wait()

    async def ended(self) -> dict[str, Any] | None:
        """Wait for the end; what the last event said."""
        async with asyncio.timeout(30):
            await asyncio.wait({self._reader})
        return self.closed

    def stop(self) -> None:
        self._reader.cancel()


@asynccontextmanager
async def events(
    server: Serving,
    secret: str = "",
    path: str = "/live/events",
    *,
    last_id: str = "",
    model: Any = None,
    **query: str,
) -> AsyncIterator[Source]:
    headers = {"Accept": "text/event-stream"}
    headers |= {"Authorization": f"Bearer {secret}"} if secret else {}
    headers |= {"Last-Event-ID": last_id} if last_id else {}
    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client,
        client.stream("GET", path, params=query) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        source = Source(answer, model or ClientModel())
        try:
            yield source
        finally:
            source.stop()


async def nobody(server: Serving) -> None:
    async with asyncio.timeout(15):
        while server.app.state.hub.sessions:  # noqa: ASYNC110 - a hub rings no bell
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("query", [{"layer": "x"}, {"bbox": "1"}, {"layers": ",".join(["a.b"] * 300)}])
async def test_a_bad_question_is_refused(server, query):
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get("/live/events", params=query)
    assert answer.status_code == 400
    assert answer.json()["code"].startswith("query.")


async def test_the_public_sees_nothing_that_is_not_public(server, town):
    await town.put(town.units, feature("e1"))
    async with events(server, layers="fire.units") as source:
        await source.until(lambda source: source.model.errors)
        assert source.model.hello["layers"] == []
        assert source.model.errors == ["live.layer"]


async def test_a_revoked_layer_is_taken_back_and_a_revoked_key_ends_the_stream(server, town):
    await town.put(town.units, feature("e1"))
    async with events(server, town.police_key) as police, events(server, town.fire_key) as fire:
        await police.until(lambda source: source.model.layers.get("fire.units"))
        await town.unshare(town.units, "all")
        await police.until(lambda source: "fire.units" not in source.model.layers)
        async with town.db.begin() as connection:
            await revoke(connection, town.fire_prefix)
        assert (await fire.ended() or {})["code"] == 4401


async def test_what_happens_arrives_as_events(server, town):
    async with events(server, town.police_key, operation="flood") as source:
        await source.until(lambda source: source.model.hello)
        assert source.answer.headers["content-type"].startswith("text/event-stream")
        assert source.answer.headers["cache-control"] == "no-store, no-transform"
        assert 1_000 <= source.retry_ms <= 4_000
        await town.put(town.units, feature("e1"))
        await town.put(town.zones, zone("z1", -87, 41))
        await source.until(
            lambda source: source.model.layers.get("fire.units") and source.model.layers.get("fire.zones")
        )
        await town.remove(town.units, "e1")
        await source.until(lambda source: not source.model.layers.get("fire.units"))


async def test_one_layers_address_streams_that_layer(server, town):
    await town.put(town.zones, zone("z1", -87, 41))
    path = "/collections/fire.units/changes"
    async with events(server, town.police_key, path) as source:
        await town.put(town.units, feature("e1"))
        await source.until(lambda source: source.model.layers.get("fire.units"))
        assert source.model.layers.keys() == {"fire.units"}


async def test_who_comes_back_with_the_last_id_gets_just_what_it_missed(server, town):
    await town.put(town.units, feature("e1"), feature("e2"))
    async with events(server, town.police_key) as source:
        await source.until(lambda source: len(source.model.layers.get("fire.units", ())) == 2 and source.id)
        last_id, model = source.id, source.model
    await town.put(town.units, feature("e3"))
    await town.remove(town.units, "e1")
    async with events(server, town.police_key, last_id=last_id, model=model) as source:
        before = len(model.rows)
        await source.until(lambda source: source.model.layers.get("fire.units", {}).keys() == {"e2", "e3"})
        assert model.layers["fire.units"] == await truth(town.db, town.units)
        assert {row[-1] for row in model.rows[before:]} == {"e1", "e3"}


async def test_an_id_of_another_question_starts_anew(server, town):
    await town.put(town.units, feature("here"), feature("away", -70, 20))
    async with events(server, town.police_key, layers="fire.units", bbox="-88,41,-87,42") as source:
        await source.until(lambda source: source.model.layers.get("fire.units") and source.id)
        last_id = source.id
    async with events(server, town.police_key, layers="fire.units", last_id=last_id) as source:
        await source.until(
            lambda source: source.model.layers.get("fire.units", {}).keys() == {"here", "away"}
        )


async def test_a_quiet_stream_shows_that_it_lives(server, town, monkeypatch):
    monkeypatch.setattr("cop.api.events.HEARTBEAT_S", 0.1)
    async with events(server, town.police_key) as source:
        await source.until(lambda source: source.comments >= 3)


async def test_a_client_that_leaves_frees_its_place(server, town):
    async with events(server, town.police_key) as source:
        await source.until(lambda source: source.model.hello)
        assert len(server.app.state.hub.sessions) == 1
    await nobody(server)


async def test_a_drain_is_told_with_the_time_to_come_back_and_then_ends_the_stream(server, town):
    async with events(server, town.police_key) as source:
        await source.until(lambda source: source.model.hello)
        source.retry_ms = -1
        server.app.state.hub.drain(1_000)
        await source.until(lambda source: source.retry_ms >= 0)
        assert (await source.ended() or {})["code"] == 1012
    await nobody(server)


async def test_a_reader_that_does_not_read_is_conflated_and_then_cut_off(server, town, monkeypatch):
    monkeypatch.setattr("cop.live.session.SEND_DEADLINE_MS", 1_000)
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1_000)
    writer.write(
        f"GET /live/events HTTP/1.1\r\nHost: cop\r\nAuthorization: Bearer {town.police_key}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    note = "x" * 20_000
    async with asyncio.timeout(60):
        number = 0
        while not number or server.app.state.hub.sessions:
            number += 1
            await town.put(town.units, *(feature(f"e{each}", note=note, turn=number) for each in range(50)))
    await nobody(server)
    writer.close()


def frame(layer: str, **part: Any) -> dict[str, Any]:
    return {"type": "frame", "time": 0, "view": 1, "layers": {layer: {"epoch": EPOCH} | part}}


def test_a_cursor_moves_on_only_with_the_last_part():
    told = Told().after(frame("a.b", **{"from": 0, "to": 0}, reset=True, put=[{}]))
    assert (told.cursors, told.whole) == ({}, False)
    told = told.after(frame("a.b", **{"from": 0, "to": 7}, put=[{}]))
    assert (told.cursors, told.whole) == ({"a.b": f"{EPOCH}:7"}, True)
    told = told.after(frame("a.b", **{"from": 0, "to": 0}, reset=True, cells=[["8", 1, None, 0]]))
    assert (told.cursors, told.whole) == ({}, True)


def test_a_revoked_layer_leaves_no_cursor():
    told = Told({"a.b": f"{EPOCH}:7"}).after({"type": "revoked", "layer": "a.b"})
    assert told.cursors == {}


def test_an_id_says_where_to_go_on_and_stays_small():
    cursors = {f"agency.layer-{number}": f"{EPOCH}:{number}" for number in range(256)}
    id_ = event_id("mark", cursors)
    assert len(id_) <= ID_CHARACTERS
    assert cursors_of(id_, "mark").items() <= cursors.items()
    assert len(cursors_of(id_, "mark")) > 80


@pytest.mark.parametrize("id_", ["", "mark", "other;a.b=" + EPOCH + ":7", "mark;a.b=7", "mark;a.b", ";;;==="])
def test_an_id_that_is_not_ours_says_nothing(id_):
    assert cursors_of(id_, "mark") == {}
