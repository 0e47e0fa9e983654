"""What is streamed from: a town of two agencies with two servers, a host to attack, or a world without any I/O."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cop.app import create_app
from cop.embedded.cluster import Cluster
from cop.settings import Settings
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency, add_layer, add_operation, draw, share, unshare
from layers.model import AgencyId, FeatureId, Layer, Scope, Stream, Viewer
from layers.publish import Publisher
from tests.conftest import Serving, Spares, serving
from tests.live.peers import Host, attacked, furnished
from tests.live.world import World


@pytest.fixture
def world() -> World:
    """For the pure rules: no database, no socket, a clock that goes on when told to."""
    return World()


@dataclass(slots=True)
class Town:
    """What the tests publish to and look at."""

    db: Database
    publisher: Publisher
    fire: Viewer
    units: Layer
    zones: Layer
    tiles: Layer
    fire_key: str
    police_key: str
    fire_prefix: str

    async def put(self, layer: Layer, *features: dict[str, Any]) -> None:
        await self.publisher.push(self.fire, layer, [("", feature) for feature in features])

    async def remove(self, layer: Layer, *ids: str) -> None:
        await self.publisher.remove(self.fire, layer, [FeatureId(each) for each in ids])

    async def share(self, layer: Layer, with_: str) -> None:
        async with self.db.begin() as connection:
            await share(connection, layer.name, with_)

    async def unshare(self, layer: Layer, with_: str) -> None:
        async with self.db.begin() as connection:
            await unshare(connection, layer.name, with_)


@pytest.fixture
async def town(db: Database) -> AsyncIterator[Town]:
    async with db.begin() as connection:
        fire = await add_agency(connection, "fire", name="Fire")
        await add_agency(connection, "police", name="Police")
        units = await add_layer(connection, "fire.units", kind="units")
        zones = await add_layer(connection, "fire.zones", kind="zones", stream=Stream.LIVE)
        tiles = await add_layer(connection, "fire.roads", kind="zones", stream=Stream.TILED)
        await add_operation(connection, "flood", agency="fire")
        for layer in (units, zones):
            await draw(connection, "flood", layer.name)
            await share(connection, layer.name, "all")
        fire_key = await create_key(connection, "fire", [Scope.VIEW, Scope.PUBLISH])
        police_key = await create_key(connection, "police", [Scope.VIEW])
    publisher = Publisher(db)
    viewer = Viewer(AgencyId(fire.id), frozenset({Scope.PUBLISH}), "fire")
    prefix = fire_key[: len("cop_pub_") + 6]
    yield Town(db, publisher, viewer, units, zones, tiles, fire_key, police_key, prefix)
    await publisher.close()


@pytest.fixture
async def server(settings: Settings, town: Town) -> AsyncIterator[Serving]:
    """One process that serves the town."""
    async with serving(create_app(settings)) as running:
        yield running


@pytest.fixture
async def second_server(settings: Settings, server: Serving, tmp_path: Path) -> AsyncIterator[Serving]:
    """Another process on the same database, as `--workers 2` makes; here on the same event loop."""
    async with serving(create_app(settings)) as running:
        yield running


@pytest.fixture(scope="module")
def host(cluster: Cluster, spares: Spares, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One service, on a database of its own, for all attacks of a module."""
    name = spares.take()
    url, log = cluster.url_of(name), tmp_path_factory.mktemp("host") / "serve.log"
    try:
        with attacked(url, asyncio.run(furnished(url)), log) as host:
            yield host
    finally:
        spares.give_back(name)


def feature(id_: str, lng: float = -87.6, lat: float = 41.9, **properties: Any) -> dict[str, Any]:
    """A unit, observed now."""
    observed = {"observed_at": datetime.now(UTC).isoformat()}
    return {
        "type": "Feature",
        "id": id_,
        "geometry": {"type": "Point", "coordinates": [lng, lat]},
        "properties": observed | properties,
    }


def zone(id_: str, west: float, south: float, size: float = 0.1, **properties: Any) -> dict[str, Any]:
    """A square."""
    east, north = west + size, south + size
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return feature(id_, **properties) | {"geometry": {"type": "Polygon", "coordinates": [ring]}}


def soon(seconds: float) -> str:
    """A moment from now, as a feature's `expires_at`."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def text(value: Any) -> str:
    return json.dumps(value)
