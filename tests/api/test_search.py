"""The search over HTTP: who finds what, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from cop.api import search
from layers.database import Database
from layers.directory import add_layer, rules_of, share
from layers.model import Grade
from tests.conftest import Serving

MakeKey = Callable[..., Awaitable[str]]


def engine(id: str, callsign: str) -> dict[str, Any]:
    point = {"type": "Point", "coordinates": [-87.63, 41.88]}
    properties = {"callsign": callsign, "unit_type": "engine", "status": "en_route"}
    return {"type": "Feature", "id": id, "geometry": point, "properties": properties}


@pytest.fixture
async def fire(server: Serving, db: Database, key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """Fire with a shared layer, a hidden one and one of roads, each with something called Engine 4."""
    secret = await key("cfd", "publish", "view", "admin")
    async with db.begin() as connection:
        for name, kind in (("cfd.units", "units"), ("cfd.secret", "units"), ("cfd.roads", "roads")):
            await add_layer(connection, name, kind=kind, rules=rules_of(kind))
        await share(connection, "cfd.units", "all")
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        for name in ("cfd.units", "cfd.secret"):
            hit = engine(f"{name}-4", "Engine 4")
            (await client.post(f"/collections/{name}/items", json=hit)).raise_for_status()
        street = {"type": "LineString", "coordinates": [[-87.63, 41.88], [-87.62, 41.88]]}
        road = {"type": "Feature", "id": "r4", "geometry": street, "properties": {"name": "Engine 4 Street"}}
        (await client.post("/collections/cfd.roads/items", json=road)).raise_for_status()
        yield client


async def test_a_tiled_layer_is_not_searched(fire: httpx.AsyncClient) -> None:
    assert sorted(await hits(fire, q="engine 4")) == ["cfd.secret-4", "cfd.units-4"]


async def test_what_is_shared_for_analyses_only_is_not_found(
    fire: httpx.AsyncClient, db: Database, key: MakeKey
) -> None:
    police = {"Authorization": f"Bearer {await key('cpd', 'view', 'plan')}"}
    async with db.begin() as connection:
        await share(connection, "cfd.secret", "cpd", grade=Grade.GENERALIZED)
    fire.headers.update(police)
    assert await hits(fire, q="engine 4") == ["cfd.units-4"]


async def test_more_searches_than_there_are_turns_for_are_sent_away(
    server: Serving, fire: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PATIENCE_S", 0.1)
    turns = server.app.state.searches
    for _ in range(search.AT_ONCE):
        await turns.acquire()
    answer = await fire.get("/search", params={"q": "engine 4"})
    assert (answer.status_code, answer.json()["code"]) == (503, "search.busy")
    turns.release()
    assert await hits(fire, q="engine 4")


async def hits(client: httpx.AsyncClient, **asked: str) -> list[str]:
    answer = await client.get("/search", params=asked)
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "query.q"),
        ({"q": ""}, "query.q"),
        ({"q": "-"}, "query.q"),
        ({"q": "e" * 81}, "query.q"),
        ({"q": "e\0"}, "query.nul"),
        ({"q": "e4", "limit": "0"}, "query.limit"),
        ({"q": "e4", "layer": "cfd.units"}, "query.unknown"),
    ],
)
async def test_what_cannot_be_looked_for_is_refused(
    fire: httpx.AsyncClient, asked: dict[str, str], code: str
) -> None:
    answer = await fire.get("/search", params=asked)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_hidden_layer_is_not_searched(fire: httpx.AsyncClient, key: MakeKey) -> None:
    police = {"Authorization": f"Bearer {await key('cpd', 'view')}"}
    fire.headers.update(police)
    assert await hits(fire, q="engine 4") == ["cfd.units-4"]


async def test_the_public_finds_what_is_public(
    server: Serving, fire: httpx.AsyncClient, db: Database
) -> None:
    async with httpx.AsyncClient(base_url=server.url) as public:
        assert await hits(public, q="engine 4") == []
        async with db.begin() as connection:
            await share(connection, "cfd.units", "public")
        assert await hits(public, q="engine 4") == ["cfd.units-4"]


async def test_only_what_an_operation_draws_is_found_in_it(fire: httpx.AsyncClient) -> None:
    (await fire.post("/operations", json={"id": "flood", "agency": "cfd"})).raise_for_status()
    (await fire.put("/operations/flood/layers/cfd.secret")).raise_for_status()
    assert await hits(fire, q="e4", operation="flood") == ["cfd.secret-4"]
    assert (await fire.get("/search", params={"q": "e4", "operation": "fire"})).status_code == 404


async def test_a_hit_says_what_and_where_it_is(fire: httpx.AsyncClient) -> None:
    answer = (await fire.get("/search", params={"q": "ENGINE-4", "limit": "1"})).json()
    assert answer["more"] is True
    [hit] = answer["hits"]
    assert hit == {
        "layer": "cfd.units",
        "agency": "cfd",
        "kind": "units",
        "id": "cfd.units-4",
        "name": "Engine 4",
        "status": "en_route",
        "type": "engine",
        "at": [-87.63, 41.88],
    }
