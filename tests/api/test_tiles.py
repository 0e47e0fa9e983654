"""Tiles over HTTP: by the policy, unchanged ones without touching a feature, and bad addresses refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import mapbox_vector_tile
import pytest

from layers.database import Database
from layers.directory import add_layer, share
from layers.model import Status
from tests.conftest import Serving
from tiles.grid import tile_at

AT = tile_at(-87.63, 41.88, 12)
SET = "/collections/cfd.units/tiles/WebMercatorQuad"
TILE = f"{SET}/{AT.z}/{AT.y}/{AT.x}"
UNIT: dict[str, object] = {
    "type": "Feature",
    "id": "e1",
    "geometry": {"type": "Point", "coordinates": [-87.63, 41.88]},
    "properties": {"callsign": "Engine 1"},
}
MakeKey = Callable[..., Awaitable[str]]


@pytest.fixture
async def cfd(server: Serving, db: Database, key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    """The fire department, with an exercise's layer that holds one unit."""
    secret = await key("cfd", "publish", "view")
    async with db.begin() as connection:
        await add_layer(connection, "cfd.units", kind="units", status=Status.EXERCISE, title="Engines")
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        await push(client, UNIT)
        yield client


async def push(client: httpx.AsyncClient, unit: dict[str, object]) -> None:
    assert (await client.post("/collections/cfd.units/items", json=unit)).status_code in (200, 201)


async def test_a_hidden_layers_tiles_answer_as_those_of_none(cfd: httpx.AsyncClient, key: MakeKey) -> None:
    stranger = {"Authorization": f"Bearer {await key('cpd', 'view')}"}
    for path in (SET, TILE):
        for headers in (stranger, {"Authorization": ""}):
            hidden = (await cfd.get(path, headers=headers)).json()
            missing = (await cfd.get(path.replace("cfd.units", "cfd.nothing"), headers=headers)).json()
            assert hidden["code"] == missing["code"]
            assert hidden["status"] == missing["status"] != 200


async def test_a_tile_holds_the_layers_features(cfd: httpx.AsyncClient) -> None:
    answer = await cfd.get(TILE)
    assert answer.headers["content-type"] == "application/vnd.mapbox-vector-tile"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["cop-status"] == "exercise"
    (found,) = mapbox_vector_tile.decode(answer.content)["features"]["features"]
    assert found["properties"]["callsign"] == "Engine 1"


async def test_a_public_layers_tiles_may_be_cached_by_all(cfd: httpx.AsyncClient, db: Database) -> None:
    async with db.begin() as connection:
        await share(connection, "cfd.units", "public")
    async with httpx.AsyncClient(base_url=cfd.base_url) as public:
        answer = await public.get(TILE)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, no-cache")


async def test_a_tile_of_nothing_is_204(cfd: httpx.AsyncClient) -> None:
    answer = await cfd.get(f"{SET}/12/0/0")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["etag"]


async def test_an_unchanged_tile_is_answered_without_touching_a_feature(
    cfd: httpx.AsyncClient, db: Database
) -> None:
    etag = (await cfd.get(TILE)).headers["etag"]
    async with db.writing() as raw:
        await raw.execute("LOCK TABLE feature IN ACCESS EXCLUSIVE MODE")
        for named in (etag, f'"other", W/{etag}', "*"):
            answer = await cfd.get(TILE, headers={"If-None-Match": named})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        waiting = asyncio.create_task(cfd.get(TILE, headers={"If-None-Match": '"other"'}))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done  # it reads features, so it waits for the lock
    assert (await waiting).status_code == 200


async def test_a_change_gives_the_tile_a_new_etag(cfd: httpx.AsyncClient) -> None:
    etag = (await cfd.get(TILE)).headers["etag"]
    await push(cfd, UNIT | {"properties": {"callsign": "Engine 2"}})
    answer = await cfd.get(TILE, headers={"If-None-Match": etag}, params={"revision": "x"})
    assert answer.status_code == 200
    assert answer.headers["etag"] != etag


@pytest.mark.parametrize(
    ("path", "status"),
    [("99/0/0", 404), ("1/2/0", 404), ("1/0/2", 404), ("1/-1/0", 400), ("a/0/0", 400), ("1.0/0/0", 400)],
)
async def test_bad_addresses_are_refused(cfd: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await cfd.get(f"{SET}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_an_unknown_parameter_is_refused(cfd: httpx.AsyncClient) -> None:
    assert (await cfd.get(TILE, params={"filter": "1"})).json()["code"] == "query.unknown"


async def test_the_tileset_says_where_its_tiles_are(cfd: httpx.AsyncClient) -> None:
    described = (await cfd.get(SET)).json()
    assert (described["tilejson"], described["name"], described["status"]) == ("3.0.0", "Engines", "exercise")
    assert "callsign" in described["vector_layers"][0]["fields"]
    (template,) = described["tiles"]
    address = template.format(z=AT.z, y=AT.y, x=AT.x)
    assert (await cfd.get(address)).status_code == 200
