"""How feeds do, over HTTP: who is told what, and that several workers tell the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from layers.database import Database
from layers.directory import add_layer, rules_of, share
from tests.bench.service import served
from tests.conftest import Serving

MakeKey = Callable[..., Awaitable[str]]
BAD: dict[str, Any] = {
    "type": "Feature",
    "id": "e9",
    "geometry": {"type": "Point", "coordinates": [-87.63, 500]},
    "properties": {},
}
UNIT = BAD | {"id": "e1", "geometry": {"type": "Point", "coordinates": [-87.63, 41.88]}}


def held_by(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
async def keys(db: Database, key: MakeKey) -> dict[str, str]:
    """Fire with a shared layer and a hidden one; police, who look."""
    made = {"cfd": await key("cfd", "publish", "view"), "cpd": await key("cpd", "view")}
    async with db.begin() as connection:
        for name in ("cfd.units", "cfd.secret"):
            rules = rules_of("units", stale_after_s=1)
            await add_layer(connection, name, kind="units", rules=rules)
        await share(connection, "cfd.units", "all")
    return made


@pytest.fixture
async def cfd(server: Serving, keys: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers=held_by(keys["cfd"])) as client:
        yield client


async def feed_of(client: httpx.AsyncClient, layer: str = "cfd.units", **headers: str) -> dict[str, Any]:
    answer = await client.get(f"/feeds/{layer}", headers=headers)
    found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    return found


async def until(client: httpx.AsyncClient, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The feed, once it is as asked for."""
    async with asyncio.timeout(20):
        while not (feed := await feed_of(client)) or not holds(feed):  # noqa: ASYNC110 - a service rings no bell
            await asyncio.sleep(0.1)
    return feed


async def test_a_hidden_feed_is_not_listed_and_answers_as_none(
    cfd: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    await until(cfd, lambda feed: True)
    own = (await cfd.get("/feeds")).json()["feeds"]
    assert [feed["layer"] for feed in own] == ["cfd.secret", "cfd.units"]
    police = held_by(keys["cpd"])
    others = (await cfd.get("/feeds", headers=police)).json()["feeds"]
    assert [feed["layer"] for feed in others] == ["cfd.units"]
    hidden = await cfd.get("/feeds/cfd.secret", headers=police)
    none = await cfd.get("/feeds/cfd.ghosts", headers=police)
    assert (hidden.status_code, hidden.json()["code"]) == (none.status_code, none.json()["code"])
    assert (await cfd.get("/feeds", headers={"Authorization": ""})).status_code == 401


async def test_the_public_sees_no_feed_that_is_not_public(server: Serving, keys: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=server.url) as public:
        assert (await public.get("/feeds")).json() == {"feeds": []}


async def test_an_unknown_parameter_is_refused(cfd: httpx.AsyncClient) -> None:
    assert (await cfd.get("/feeds", params={"layer": "x"})).json()["code"] == "query.unknown"


async def test_only_its_own_agency_sees_what_was_refused_and_who_follows(
    cfd: httpx.AsyncClient, keys: dict[str, str]
) -> None:
    assert (await cfd.post("/collections/cfd.units/items", json=BAD)).status_code == 422
    feed = await until(cfd, lambda feed: feed["rejects"])
    assert feed["rejects"]["count"] == 1
    assert feed["rejects"]["last"] | {"at": ""} == {
        "at": "",
        "code": "geo.range",
        "pointer": "/geometry/coordinates/1",
        "detail": feed["rejects"]["last"]["detail"],
    }
    others = await feed_of(cfd, **held_by(keys["cpd"]))
    assert others.keys() == feed.keys() - {"rejects", "subscribers"}


async def test_a_body_that_cannot_be_read_counts_as_refused(cfd: httpx.AsyncClient) -> None:
    html = {"Content-Type": "application/json"}
    assert (await cfd.post("/collections/cfd.units/items", content="<html>", headers=html)).status_code == 400
    feed = await until(cfd, lambda feed: feed["rejects"])
    assert feed["rejects"]["last"]["code"].startswith("json.")


async def test_a_feed_says_how_fast_and_how_late_it_is(cfd: httpx.AsyncClient) -> None:
    await until(cfd, lambda feed: feed["rate"] == 0)
    await cfd.post("/collections/cfd.units/items", json=UNIT)
    feed = await until(cfd, lambda feed: feed["rate"] and feed["lag"])
    assert (feed["revision"], feed["features"]) == (1, 1)
    assert feed["last_heard"]
    assert 0 <= feed["lag"]["median_s"] <= feed["lag"]["p95_s"] < 5


async def test_a_silent_feed_says_since_when(cfd: httpx.AsyncClient) -> None:
    assert (await until(cfd, lambda feed: True))["silent_since"] is None
    await cfd.post("/collections/cfd.units/items", json=UNIT)
    feed = await until(cfd, lambda feed: feed["silent_since"])
    assert feed["silent_since"][:19] == feed["last_heard"][:19]


async def test_two_workers_tell_the_same(db: Database, keys: dict[str, str]) -> None:
    protocol = Subprotocol("cop.live.v1")
    async with served(db.url, workers=2) as service:
        sockets = [
            await connect(
                f"ws://127.0.0.1:{service.port}/live",
                subprotocols=[protocol],
                additional_headers=held_by(keys["cpd"]),
            )
            for _ in range(12)
        ]
        for socket in sockets:
            await socket.send('{"type": "subscribe"}')
        for _ in range(12):  # Each over a connection of its own, which falls to either worker by chance.
            async with httpx.AsyncClient(base_url=service.url, headers=held_by(keys["cfd"])) as client:
                assert (await client.post("/collections/cfd.units/items", json=BAD)).status_code == 422
        for _ in range(6):
            async with httpx.AsyncClient(base_url=service.url, headers=held_by(keys["cfd"])) as client:
                await until(
                    client,
                    lambda feed: (
                        feed["subscribers"] == {"cpd": 12}
                        and feed["rejects"] is not None
                        and feed["rejects"]["count"] == 12
                    ),
                )
        for socket in sockets:
            await socket.close()
