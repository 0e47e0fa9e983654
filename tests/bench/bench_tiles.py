"""A tile of 10,000 points beside the bare statement that encodes the same ones, and what an unchanged tile costs."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg

from cop.bench.publishing import Wire
from layers import admission, credentials, directory
from layers.database import Database, driver
from layers.model import Layer, Scope
from tests.bench import Bench, Figure, percentile
from tests.bench.service import served
from tiles.grid import BUFFER, EXTENT, bounds, tile_at
from tiles.mvt import read_tile

POINTS = 10_000
ELSEWHERE = 90_000
"""Features of other places in the same table."""
TILE = tile_at(-87.63, 41.88, 11)
ROUNDS = 60
WARMUPS = 8

# The statement as one would write it, with the same attributes.
BARE = f"""
SELECT ST_AsMVT(drawn, 'features', {EXTENT}, 'geometry')
FROM (
    SELECT id, (date_part('epoch', observed_at) * 1000)::bigint AS observed_at, properties,
           ST_AsMVTGeom(ST_Transform(geometry, 3857), ST_TileEnvelope($1, $2, $3), {EXTENT}, {BUFFER}, true) AS geometry
    FROM {{features}}
) AS drawn
"""
BARE_ON_TABLE = BARE.format(
    features="feature WHERE layer_id = $4 AND geometry && ST_Transform(ST_TileEnvelope($1, $2, $3), 4326)"
)
BARE_ON_PICKED = BARE.format(features="picked")
FILL = """
INSERT INTO feature (layer_id, id, geometry, cell, properties, observed_at, received_at, revision)
SELECT $1, id, geometry::geometry, cell, properties::jsonb, $2, $2, 1
FROM unnest($3::text[], $4::bytea[], $5::bigint[], $6::text[]) AS sent (id, geometry, cell, properties)
"""


async def set_up(database: Database) -> tuple[list[Layer], str]:
    """Two layers and a key: one that is the tile's points, one that has ten times as many, nine in ten elsewhere.

    The table `picked` holds the points of the tile and nothing else.
    """
    rng = random.Random(20261122)
    async with database.begin() as connection:
        await directory.add_agency(connection, "cfd")
        small = await directory.add_layer(connection, "cfd.units", kind="units")
        large = await directory.add_layer(connection, "cfd.assets", kind="assets")
        key = await credentials.create_key(connection, "cfd", [Scope.VIEW])
        raw = await driver(connection)
        await _fill(raw, small, [_unit(rng, i, _inside(rng)) for i in range(POINTS)])
        units = [
            _unit(rng, i, _inside(rng) if i < POINTS else _elsewhere(rng)) for i in range(POINTS + ELSEWHERE)
        ]
        rng.shuffle(units)
        await _fill(raw, large, units)
        await raw.execute("CREATE TABLE picked (LIKE feature)")
        await raw.execute("INSERT INTO picked SELECT * FROM feature WHERE layer_id = $1", small.id)
    async with database.writing() as raw:
        await raw.execute("ANALYZE feature; ANALYZE picked")
    return [small, large], key


async def _fill(raw: asyncpg.Connection, layer: Layer, features: list[dict[str, object]]) -> None:
    now = datetime.now(UTC)
    edits = [admission.admit(feature, layer, now, "") for feature in features]
    columns = zip(*((e.id, e.geometry, e.cell, e.properties) for e in edits), strict=True)
    await raw.execute(FILL, layer.id, now, *map(list, columns))


def _inside(rng: random.Random) -> list[float]:
    west, south, east, north = bounds(TILE)
    return [rng.uniform(west, east), rng.uniform(south, north)]


def _elsewhere(rng: random.Random) -> list[float]:
    return [rng.uniform(-120, -90), rng.uniform(30, 48)]


def _unit(rng: random.Random, number: int, place: list[float]) -> dict[str, object]:
    return {
        "type": "Feature",
        "id": f"U{number}",
        "geometry": {"type": "Point", "coordinates": place},
        "properties": {
            "callsign": f"Engine {number}",
            "unit_type": "engine",
            "status": rng.choice(["available", "en_route", "on_scene"]),
            "heading_deg": rng.randrange(360),
            "speed_mps": round(rng.uniform(0, 20), 1),
        },
    }


async def in_turn(*actions: Callable[[], Awaitable[object]]) -> list[float]:
    """The median milliseconds of each of *actions*, run in turn so that a busy machine is as unkind to all."""
    spans: list[list[float]] = [[] for _ in actions]
    for round_ in range(WARMUPS + ROUNDS):
        for action, taken in zip(actions, spans, strict=True):
            begun = time.perf_counter()
            await action()
            if round_ >= WARMUPS:
                taken.append((time.perf_counter() - begun) * 1000)
    return [percentile(taken, 50) for taken in spans]


async def bench_tile(bench: Bench) -> AsyncIterator[Figure]:
    """One tile of 10,000 points."""
    database = Database(url := await bench.fresh_database())
    bench.say("storing 110,000 features …")
    (small, large), key = await set_up(database)
    async with database.connect() as connection:
        raw = await driver(connection)
        # A server that serves many has no second process to spare for one tile; ours asks for none.
        await raw.execute("SET max_parallel_workers_per_gather = 0")
        await _check(raw, small, await read_tile(connection, small.id, TILE))
        ours, bare, of_many, picked = await in_turn(
            lambda: read_tile(connection, small.id, TILE),
            lambda: raw.fetchval(BARE_ON_TABLE, *TILE, small.id),
            lambda: read_tile(connection, large.id, TILE),
            lambda: raw.fetchval(BARE_ON_PICKED, *TILE),
        )
    await database.dispose()
    yield Figure("tile_10000_points", ours, "ms", "lower")
    yield Figure("tile_10000_points_bare_statement", bare, "ms", "lower")
    yield Figure("tile_10000_points_of_bare_statement", ours / bare, "ratio", "lower", 1.3)
    yield Figure("tile_10000_points_of_encoding_alone", ours / picked, "ratio", "lower")
    yield Figure("tile_10000_of_100000_points", of_many, "ms", "lower")
    yield Figure("tile_10000_of_100000_points_of_encoding_alone", of_many / picked, "ratio", "lower")
    whole, unchanged, alive = await over_http(url, key)
    yield Figure("tile_10000_points_http", whole, "ms", "lower")
    yield Figure("tile_unchanged_http", unchanged, "ms", "lower")
    yield Figure("tile_unchanged_of_livez", unchanged / alive, "ratio", "lower")


async def _check(raw: asyncpg.Connection, layer: Layer, encoded: bytes) -> None:
    """Both ways must draw the same, but for the order."""
    bare = await raw.fetchval(BARE_ON_TABLE, *TILE, layer.id)
    if abs(len(bare) - len(encoded)) > 0.01 * len(bare):
        raise RuntimeError(f"the tiles differ: {len(bare)} and {len(encoded)} bytes")


async def over_http(url: str, key: str) -> tuple[float, float, float]:
    """Milliseconds of the tile, of its 304 and of /livez, over one kept-alive connection."""
    path = f"/collections/cfd.units/tiles/WebMercatorQuad/{TILE.z}/{TILE.y}/{TILE.x}"
    head = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
    database = Database(url)
    async with database.connect() as connection:
        row = await (await driver(connection)).fetchrow(
            "SELECT epoch, revision FROM layer WHERE name = 'cfd.units'"
        )
    await database.dispose()
    etag = f'"{row["epoch"]}-{row["revision"]}-full"'
    async with served(url) as service, await Wire.open(service.host, service.port) as wire:

        def ask(message: str, status: int) -> Callable[[], Awaitable[object]]:
            async def send() -> None:
                answer = await wire.send(message.encode())
                if answer[0] != status:
                    raise RuntimeError(f"{answer[0]}: {answer[1][:300]!r}")

            return send

        whole, unchanged, alive = await in_turn(
            ask(f"{head}\r\n", 200),
            ask(f"{head}If-None-Match: {etag}\r\n\r\n", 304),
            ask("GET /livez HTTP/1.1\r\nHost: bench\r\n\r\n", 200),
        )
    return whole, unchanged, alive
