"""The live stream over HTTP: denials first; then long polls that lose nothing, and what caches are told of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import text as sql

from cop.live import session as live_session
from layers.credentials import revoke
from layers.directory import moved_on
from tests.conftest import Serving
from tests.live.client_model import ClientModel
from tests.live.conftest import Town, feature
from tests.live.dialogue import truth

UNITS = "/collections/fire.units/changes"


@pytest.fixture
async def police(server: Serving, town: Town) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {town.police_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
async def public(server: Serving) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for rings no bell
            await asyncio.sleep(0.01)


async def asked(client: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def caught_up(client: httpx.AsyncClient, path: str, ids: set[str]) -> str:
    """The cursor of who holds just these features."""
    model = ClientModel()
    since: dict[str, str] = {}
    async with asyncio.timeout(10):
        while True:
            body = await asked(client, path, wait=1, **since)
            since = {"since": body["next"]}
            for message in body["messages"]:
                model.apply(json.dumps(message))
            if model.layers[body["layer"]].keys() == ids:
                return str(body["next"])


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer police"}])
async def test_a_hidden_layer_answers_as_one_that_does_not_exist(server, town, headers):
    if headers:
        headers = {"Authorization": f"Bearer {town.police_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        for accept in ("application/json", "text/event-stream"):
            hidden = await client.get("/collections/fire.roads/changes", headers={"Accept": accept})
            none = await client.get("/collections/fire.ghosts/changes", headers={"Accept": accept})
            assert hidden.status_code == none.status_code == 404
            differing = {"request_id": ""}
            assert hidden.json() | differing == json.loads(none.text.replace("ghosts", "roads")) | differing


async def test_a_bad_credential_is_refused_and_not_taken_for_the_public(server):
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.get(UNITS, headers={"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"sinse": "1"}, "query.unknown"),
        ({"since": "1"}, "query.since"),
        ({"since": f"{'0' * 36}:1"}, "query.since"),
        ({"since": "x" * 5_000}, "query.since"),
        ({"wait": "61"}, "query.wait"),
        ({"wait": "-1"}, "query.wait"),
        ({"wait": "nan"}, "query.wait"),
        ({"wait": "soon"}, "query.wait"),
        ({"bbox": "1,2,3"}, "query.bbox"),
        ({"limit": "0"}, "query.limit"),
        ({"since": "a\0b"}, "query.nul"),
    ],
)
async def test_a_bad_parameter_is_refused(police, query, code):
    answer = await police.get(UNITS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_layer_that_is_taken_back_while_a_poll_waits_answers_as_none(server, police, town):
    since = await caught_up(police, UNITS, set())
    waiting = asyncio.create_task(police.get(UNITS, params={"since": since, "wait": "30"}))
    await until(lambda: server.app.state.hub.sessions)
    await town.unshare(town.units, "all")
    answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (404, "layer.not_found")


async def test_a_key_that_is_revoked_while_a_poll_waits_ends_it(server, town):
    headers = {"Authorization": f"Bearer {town.fire_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as fire:
        since = await caught_up(fire, UNITS, set())
        waiting = asyncio.create_task(fire.get(UNITS, params={"since": since, "wait": "30"}))
        await until(lambda: server.app.state.hub.sessions)
        async with town.db.begin() as connection:
            await revoke(connection, town.fire_prefix)
        answer = await waiting
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_without_a_place_a_poll_is_told_to_come_back(police, monkeypatch):
    monkeypatch.setattr("cop.live.hub.MAX_SESSIONS", 0)
    answer = await police.get(UNITS)
    assert (answer.status_code, answer.json()["code"]) == (503, "live.full")
    assert answer.headers["retry-after"] == "1"


async def test_a_client_that_leaves_while_it_waits_frees_its_place(server, town):
    hub = server.app.state.hub
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(
        f"GET {UNITS}?wait=60&since={'0' * 8}-0000-0000-0000-{'0' * 12}:7 HTTP/1.1\r\nHost: cop\r\n"
        f"Authorization: Bearer {town.police_key}\r\n\r\n".encode()
    )
    # A cursor of another epoch is answered by a reset, so the place was taken once and given back.
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    since = json.loads(await reader.readexactly(length))["next"]
    writer.write(
        f"GET {UNITS}?wait=60&since={since} HTTP/1.1\r\nHost: cop\r\n"
        f"Authorization: Bearer {town.police_key}\r\n\r\n".encode()
    )
    await until(lambda: len(hub.sessions) == 1)
    writer.close()
    await until(lambda: not hub.sessions)


async def test_without_a_cursor_the_whole_layer_comes(police, town):
    await town.put(town.units, feature("e1", callsign="E1"), feature("e2"))
    await caught_up(police, UNITS, {"e1", "e2"})
    body = await asked(police, UNITS)
    assert (body["layer"], body["status"]) == ("fire.units", "actual")
    [frame] = body["messages"]
    part = frame["layers"]["fire.units"]
    assert part["reset"]
    assert {row["id"] for row in part["put"]} == {"e1", "e2"}
    assert body["next"] == f"{part['epoch']}:{part['to']}"


async def test_a_push_ends_the_wait_within_a_tick_or_two(server, police, town):
    await town.put(town.units, feature("e0"))
    since = await caught_up(police, UNITS, {"e0"})
    waiting = asyncio.create_task(asked(police, UNITS, since=since, wait=30))
    await until(lambda: server.app.state.hub.sessions)
    await town.put(town.units, feature("e1"))
    pushed = asyncio.get_running_loop().time()
    body = await waiting
    assert asyncio.get_running_loop().time() - pushed < 1.5
    assert [row["id"] for row in body["messages"][-1]["layers"]["fire.units"]["put"]] == ["e1"]


async def test_with_nothing_to_say_the_answer_is_the_same_cursor(police, town):
    await town.put(town.units, feature("e0"))
    since = await caught_up(police, UNITS, {"e0"})
    for wait in (0, 1):
        body = await asked(police, UNITS, since=since, wait=wait)
        assert body["next"] == since
        [frame] = body["messages"]
        assert frame["layers"]["fire.units"].keys() == {"epoch", "from", "to"}


async def test_a_cursor_of_another_epoch_or_of_the_future_is_answered_by_a_reset(police, town, monkeypatch):
    monkeypatch.setattr("cop.live.follow.AHEAD_MS", 500)
    await town.put(town.units, feature("e1"))
    since = await caught_up(police, UNITS, {"e1"})
    for cursor in (f"00000000-0000-0000-0000-000000000000:{1}", f"{since.split(':')[0]}:99"):
        body = await asked(police, UNITS, since=cursor)
        assert body["messages"][0]["layers"]["fire.units"]["reset"]
        assert body["next"] == since


async def test_an_answer_of_many_frames_is_complete(police, town, monkeypatch):
    monkeypatch.setattr(live_session, "FRAME_BYTES", 2_000)
    monkeypatch.setattr("cop.live.picture.CHUNK_BYTES", 500)
    ids = {f"e{number}" for number in range(100)}
    await town.put(town.units, *(feature(id_) for id_ in sorted(ids)))
    await caught_up(police, UNITS, ids)
    body = await asked(police, UNITS)
    assert len(body["messages"]) > 5
    model = ClientModel()
    for message in body["messages"]:
        model.apply(json.dumps(message))
    assert model.layers["fire.units"] == await truth(town.db, town.units)
    assert (await asked(police, UNITS, since=body["next"]))["next"] == body["next"]


async def test_a_layer_that_is_taken_back_amid_many_frames_leaves_no_whole_answer(server, town, monkeypatch):
    await town.put(town.units, *(feature(f"e{number}", note="x" * 500) for number in range(500)))
    headers = {"Authorization": f"Bearer {town.police_key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        await caught_up(client, UNITS, {f"e{number}" for number in range(500)})
        monkeypatch.setattr(live_session, "FRAME_BYTES", 2_000)
        monkeypatch.setattr("cop.live.picture.CHUNK_BYTES", 500)
        async with client.stream("GET", UNITS) as answer:
            pieces = answer.aiter_bytes()
            await anext(pieces)
            await town.unshare(town.units, "all")
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in pieces:
                    pass
    assert not server.app.state.hub.sessions


async def test_a_box_and_a_status_narrow_what_comes(police, town):
    await town.put(
        town.units,
        feature("here", status="on_scene"),
        feature("away", -70, 20, status="on_scene"),
        feature("idle", status="available"),
        feature("mute"),
    )
    await caught_up(police, UNITS, {"here", "away", "idle", "mute"})
    box = "-87.7,41.8,-87.5,42.0"
    for query, ids in (
        ({"bbox": box}, {"here", "idle", "mute"}),
        ({"bbox": box, "status": "on_scene"}, {"here"}),
        ({"status": "available,"}, {"idle", "mute"}),
    ):
        part = (await asked(police, UNITS, **query))["messages"][0]["layers"]["fire.units"]
        assert {row["id"] for row in part["put"]} == ids


async def test_more_features_than_the_limit_come_summed_and_without_a_cursor(police, town):
    await town.put(town.units, *(feature(f"e{number}") for number in range(20)))
    await caught_up(police, UNITS, {f"e{number}" for number in range(20)})
    body = await asked(police, UNITS, limit=5)
    assert body["next"] is None
    assert sum(cell[1] for cell in body["messages"][0]["layers"]["fire.units"]["cells"]) == 20


async def test_many_polls_under_random_writes_lose_nothing(police, town):
    rng, model = random.Random(7), ClientModel()
    since: dict[str, str] = {}
    done = asyncio.Event()

    async def write() -> None:
        present: set[str] = set()
        for _ in range(60):
            id_ = f"e{rng.randrange(12)}"
            if id_ in present and rng.random() < 0.3:
                await town.remove(town.units, id_)
                present.discard(id_)
            else:
                await town.put(town.units, feature(id_, -87 - rng.random(), 41 + rng.random()))
                present.add(id_)
            await asyncio.sleep(rng.random() * 0.1)
        done.set()

    writing = asyncio.create_task(write())
    async with asyncio.timeout(60):
        while not done.is_set() or model.layers["fire.units"] != await truth(town.db, town.units):
            body = await asked(police, UNITS, wait=rng.choice([0, 1]), **since)
            for message in body["messages"]:
                model.apply(json.dumps(message))
            since = {"since": body["next"]} if rng.random() < 0.95 and body["next"] else {}
    await writing


async def test_what_a_client_holds_already_is_not_sent_again(server, police, town):
    await town.put(town.units, feature("e1"))
    since = await caught_up(police, UNITS, {"e1"})
    first = await police.get(UNITS)
    assert first.headers["etag"] == f'W/"{since}"'
    again = {"If-None-Match": first.headers["etag"]}
    unchanged = await police.get(UNITS, headers=again, params={"wait": "1"})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == first.headers["etag"]
    waiting = asyncio.create_task(police.get(UNITS, headers=again, params={"wait": "30"}))
    await until(lambda: server.app.state.hub.sessions)
    await town.put(town.units, feature("e2"))
    answer = await waiting
    assert answer.status_code == 200
    model = ClientModel()
    for message in answer.json()["messages"]:
        model.apply(json.dumps(message))
    assert model.layers["fire.units"].keys() == {"e1", "e2"}


async def test_only_what_everybody_may_see_is_kept_by_caches(server, police, public, town):
    await town.share(town.units, "public")
    async with asyncio.timeout(10):
        while (answer := await public.get(UNITS)).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert answer.headers["cache-control"] == "public, max-age=1"
    assert answer.headers["vary"] == "Authorization, Cookie, Accept"
    answer = await police.get(UNITS)
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["vary"] == "Authorization, Cookie, Accept"


async def test_the_public_costs_no_statement(server, public, town, monkeypatch):
    await town.share(town.units, "public")
    async with asyncio.timeout(10):
        while (await public.get(UNITS)).status_code == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    def refuse() -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(server.app.state.database, "connect", refuse)
    assert (await public.get(UNITS)).status_code == 200


async def test_a_poll_that_waits_is_answered_when_the_process_drains(server, police, town):
    await town.put(town.units, feature("e1"))
    query = {"since": await caught_up(police, UNITS, {"e1"})}
    waiting = asyncio.create_task(asked(police, UNITS, wait=60, **query))
    await until(lambda: server.app.state.hub.sessions)
    server.app.state.hub.drain(2_000)
    body = await waiting
    assert body["next"] == query["since"]
    assert {message["type"] for message in body["messages"]} == {"frame", "drain"}
    assert (await police.get(UNITS)).json()["code"] == "live.draining"


async def test_a_feed_that_falls_silent_ends_the_wait_and_is_told_ever_after(police, town):
    async with town.db.begin() as connection:
        await connection.execute(sql("UPDATE layer SET stale_after_s = 2"))
        await moved_on(connection)
    await town.put(town.units, feature("e1"))
    since = await caught_up(police, UNITS, {"e1"})
    first = await police.get(UNITS)
    while "stale" not in [message["type"] for message in first.json()["messages"]]:
        first = await police.get(UNITS, params={"wait": 30, "since": since})
    assert first.headers["etag"] == f'W/"{since}+stale"'
    again = {"If-None-Match": first.headers["etag"]}
    assert (await police.get(UNITS, params={"since": since}, headers=again)).status_code == 304
    assert (await asked(police, UNITS, since=since, wait=1))["messages"][0]["type"] == "stale"
