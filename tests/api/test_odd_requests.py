"""Requests that no client of ours sends: NUL characters, half an origin, a set at one feature's address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import Request
from sqlalchemy import text
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from cop.api import errors
from layers.database import Database
from tests.conftest import Serving

Make = Callable[..., Awaitable[str]]
UNIT = {"type": "Feature", "id": "E1", "geometry": {"type": "Point", "coordinates": [-87.6, 41.9]}}


@pytest.fixture
async def cfd(server: Serving, key: Make) -> AsyncIterator[httpx.AsyncClient]:
    """An agency with one layer and one feature in it."""
    headers = {"Authorization": f"Bearer {await key('cfd', 'admin')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        await client.post("/collections", json={"id": "cfd.units", "kind": "units"})
        assert (await client.post("/collections/cfd.units/items", json=UNIT)).status_code == 201
        yield client


@pytest.mark.parametrize(
    ("method", "address", "code"),
    [
        ("GET", "/collections/cfd.units/items/a%00b", "path.nul"),
        ("DELETE", "/collections/cfd.units/items/a%00b", "path.nul"),
        ("GET", "/collections/cfd.units/items/a%00b/track", "path.nul"),
        ("PUT", "/collections/cfd.units/shares/a%00b", "path.nul"),
        ("DELETE", "/keys/a%00b", "path.nul"),
        ("GET", "/collections/cfd.units/items?after=a%00b", "query.nul"),
        ("GET", "/collections/cfd.units/tiles/WebMercatorQuad/0/0/0?revision=%00", "query.nul"),
    ],
)
async def test_a_nul_in_the_address_is_refused(
    cfd: httpx.AsyncClient, method: str, address: str, code: str
) -> None:
    answer = await cfd.request(method, address)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("address", "body", "pointer"),
    [
        ("/agencies", {"id": "ems", "name": "a\0b"}, "/name"),
        ("/operations", {"id": "x", "agency": "cfd", "title": "a\nb"}, "/title"),
        ("/collections", {"id": "cfd.x", "kind": "units", "title": "a\0b"}, "/title"),
        ("/keys", {"agency": "cfd", "scopes": ["view"], "name": "\x1b[2J"}, "/name"),
        ("/tickets", {"name": "a\0b"}, "/name"),
    ],
)
async def test_a_forms_text_has_no_control_characters(
    cfd: httpx.AsyncClient, address: str, body: dict[str, object], pointer: str
) -> None:
    answer = await cfd.post(address, json=body)
    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)


async def test_half_an_origin_is_no_origin(cfd: httpx.AsyncClient, server: Serving) -> None:
    async with httpx.AsyncClient(base_url=server.url) as browser:
        await browser.get((await cfd.post("/tickets", json={})).json()["url"])
        answer = await browser.post("/session/end", headers={"Origin": "http://["})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin")
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"{server.ws_url}/live", origin=Origin("http://["), subprotocols=[Subprotocol("cop.live.v1")]
        )
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_one_features_address_takes_no_collection(cfd: httpx.AsyncClient, method: str) -> None:
    body = {"type": "FeatureCollection", "features": [UNIT]}
    answer = await cfd.request(method, "/collections/cfd.units/items/E1", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "feature.type")


def asked(method: str) -> Request:
    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/", "headers": []}
    return Request(scope | {"query_string": b"", "server": ("x", 80), "scheme": "http"})


async def test_a_value_that_slips_through_is_the_senders_fault_not_the_databases(db: Database) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the layers between make of it
        async with db.connect() as connection:
            await connection.execute(text("SELECT CAST(:name AS text)"), {"name": "a\0b"})
    answer = await errors.on_database_error(asked("POST"), caught.value)
    assert (answer.status_code, b"request.data" in answer.body) == (400, True)


async def test_a_write_that_met_no_database_is_not_said_to_be_undone() -> None:
    written = await errors.on_database_error(asked("POST"), asyncpg.InterfaceError("gone"))
    read = await errors.on_database_error(asked("GET"), asyncpg.InterfaceError("gone"))
    assert (written.status_code, b"Idempotency-Key" in written.body) == (503, True)
    assert b"stored" not in read.body


async def test_only_the_databases_own_os_errors_are_its_absence() -> None:
    assert (await errors.on_os_error(asked("GET"), OSError(28, "No space left"))).status_code == 500
    with pytest.raises(OSError) as caught:  # noqa: PT011 - a socket that is not there
        await asyncpg.connect(host="/nowhere", user="x")
    assert (await errors.on_os_error(asked("GET"), caught.value)).status_code == 503
