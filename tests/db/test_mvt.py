"""Tiles hold exactly the features that brute force finds, by index, with their plain properties."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import mapbox_vector_tile
import numpy as np
import pytest
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.admission import admit
from layers.database import Database, driver
from layers.directory import add_agency, add_layer, read_directory
from layers.model import Layer, LayerRules
from tiles.grid import BUFFER, EXTENT, MAX_LAT, Tile, bounds, tile_at
from tiles.mvt import read_tile, statement_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OBSERVED = "2026-11-22T11:59:58.25Z"


async def new_layer(connection: AsyncConnection, name: str, kind: str) -> Layer:
    agency = name.partition(".")[0]
    if not any(each.slug == agency for each in (await read_directory(connection)).agencies.values()):
        await add_agency(connection, agency)
    await add_layer(connection, name, kind=kind, rules=LayerRules())
    layer = (await read_directory(connection)).layer_named(name)
    assert layer is not None
    return layer


async def store(connection: AsyncConnection, layer: Layer, features: list[dict[str, Any]]) -> None:
    """Write *features* as the door admits them, without its log."""
    edits = [admit(feature, layer, NOW, "") for feature in features]
    await (await driver(connection)).executemany(
        """
        INSERT INTO feature (layer_id, id, geometry, cell, properties, observed_at, received_at, revision)
        VALUES ($1, $2, $3::bytea::geometry, $4, $5, $6, $7, 1)
        """,
        [(layer.id, e.id, e.geometry, e.cell, e.properties, e.observed_at, NOW) for e in edits],
    )


def feature(id: str, geometry: BaseGeometry, **properties: Any) -> dict[str, Any]:
    own = json.loads(shapely.to_geojson(geometry))
    return {
        "type": "Feature",
        "id": id,
        "geometry": own,
        "properties": {"observed_at": OBSERVED} | properties,
    }


def decoded(encoded: bytes) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = (
        mapbox_vector_tile.decode(encoded)["features"]["features"] if encoded else []
    )
    return features


async def ids_in(connection: AsyncConnection, layer: Layer, tile: Tile) -> set[str]:
    return {each["properties"]["id"] for each in decoded(await read_tile(connection, layer.id, tile))}


def scattered(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Points: half over Chicago, half over the world, some on its edges."""
    rng = random.Random(seed)
    places = [(rng.gauss(-87.65, 0.15), rng.gauss(41.85, 0.15)) for _ in range(count // 2)]
    places += [(rng.uniform(-180, 180), rng.uniform(-90, 90)) for _ in range(count // 2)]
    places += [(180, 0), (-180, 0), (0, 90), (0, -90), (179.9999, 66), (-179.9999, 66)]
    return [feature(f"p{i}", shapely.Point(place)) for i, place in enumerate(places)]


TILES = [
    *(tile_at(-87.63, 41.88, z) for z in range(17)),
    *(tile_at(lng, 66, z) for lng in (-179.999, 179.999) for z in (3, 7, 10)),
    tile_at(0, 89, 2),
    tile_at(0, 84.9, 6),
]


async def test_tiles_of_points_hold_what_brute_force_finds(db: Database) -> None:
    async with db.begin() as connection:
        layer = await new_layer(connection, "cfd.units", "units")
        other = await new_layer(connection, "cpd.units", "units")
        points = scattered(4_000, seed=1)
        await store(connection, layer, points)
        await store(connection, other, points[:50])
        for tile in TILES:
            west, south, east, north = bounds(tile, BUFFER)
            expected = {
                point["id"]
                for point in points
                for lng, lat in [[round(x, 7) for x in point["geometry"]["coordinates"]]]
                if west <= lng <= east and max(south, -MAX_LAT) <= lat <= min(north, MAX_LAT)
            }
            assert await ids_in(connection, layer, tile) == expected, tile


def blobs(count: int, *, seed: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    centers = [shapely.Point(rng.uniform(-170, 170), rng.uniform(-80, 80)) for _ in range(count)]
    return [
        feature(f"z{i}", center.buffer(rng.uniform(0.1, 5), quad_segs=4)) for i, center in enumerate(centers)
    ]


async def test_tiles_of_shapes_hold_what_brute_force_finds(db: Database) -> None:
    async with db.begin() as connection:
        layer = await new_layer(connection, "cfd.zones", "zones")
        shapes = blobs(300, seed=2)
        await store(connection, layer, shapes)
        outlines = np.array([shapely.geometry.shape(each["geometry"]) for each in shapes])
        # Edges are straight on the map or on the ground, and differ in between: what barely touches may go either way.
        within, near = shapely.buffer(outlines, -0.05), shapely.buffer(outlines, 0.5)
        names = np.array([each["id"] for each in shapes])
        for tile in [Tile(z, x, y) for z in (2, 3) for x in range(2**z) for y in range(2**z)]:
            found = await ids_in(connection, layer, tile)
            sure = set(names[shapely.intersects(within, shapely.box(*bounds(tile)))])
            possible = set(names[shapely.intersects(near, shapely.box(*bounds(tile, BUFFER)))])
            assert sure <= found <= possible, tile


async def test_shapes_beyond_the_end_of_the_map_are_cut_there(db: Database) -> None:
    async with db.begin() as connection:
        layer = await new_layer(connection, "cfd.zones", "zones")
        polar = [feature("cap", shapely.box(0, 80, 30, 90)), feature("pole", shapely.box(0, 86, 10, 90))]
        await store(connection, layer, [*polar, feature("line", shapely.LineString([(5, 60), (5, 90)]))])
        assert await ids_in(connection, layer, Tile(0, 0, 0)) == {"cap", "line"}
        assert await ids_in(connection, layer, tile_at(5, 85, 5)) == {"cap", "line"}


async def test_attributes_are_id_time_and_plain_properties(db: Database) -> None:
    properties = {
        "callsign": "Engine 1",
        "speed_mps": 12.5,
        "count": 3,
        "on": True,
        "nothing": None,
        "crew": ["a", "b"],
        "more": {"x": 1},
    }
    async with db.begin() as connection:
        layer = await new_layer(connection, "cfd.units", "units")
        sent = feature("e1", shapely.Point(-87.63, 41.88), **properties)
        sent["properties"]["id"] = "a property that would pass for the id"
        await store(connection, layer, [sent])
        (found,) = decoded(await read_tile(connection, layer.id, tile_at(-87.63, 41.88, 14)))
    observed_ms = round((NOW - timedelta(seconds=1.75)).timestamp() * 1000)
    assert found["properties"] == {
        "id": "e1",
        "observed_at": observed_ms,
        "callsign": "Engine 1",
        "speed_mps": 12.5,
        "count": 3,
        "on": True,
    }


async def test_a_point_is_drawn_where_it_is(db: Database) -> None:
    tile = tile_at(-87.63, 41.88, 15)
    west, south, east, north = bounds(tile)
    async with db.begin() as connection:
        layer = await new_layer(connection, "cfd.units", "units")
        place = shapely.Point(west + (east - west) / 4, south + (north - south) / 2)
        await store(connection, layer, [feature("e1", place)])
        (found,) = decoded(await read_tile(connection, layer.id, tile))
    x, y = found["geometry"]["coordinates"]
    assert (x, y) == (pytest.approx(EXTENT / 4, abs=1), pytest.approx(EXTENT / 2, abs=1))


async def test_an_empty_tile_has_no_bytes(db: Database) -> None:
    async with db.begin() as connection:
        layer = await new_layer(connection, "cfd.units", "units")
        assert await read_tile(connection, layer.id, Tile(0, 0, 0)) == b""


async def test_no_tile_reads_the_whole_table(db: Database) -> None:
    async with db.begin() as connection:
        units = await new_layer(connection, "cfd.units", "units")
        zones = await new_layer(connection, "cfd.zones", "zones")
        small = await new_layer(connection, "cpd.units", "units")
        await store(connection, small, scattered(200, seed=3))
        await store(connection, zones, blobs(500, seed=4))
        raw = await driver(connection)
        await raw.execute(
            """
            INSERT INTO feature (layer_id, id, geometry, cell, properties, observed_at, received_at, revision)
            SELECT $1, small.id || '-' || i, geometry, cell, properties, observed_at, received_at, 1
            FROM feature AS small, generate_series(1, 500) AS i WHERE layer_id = $2
            """,
            units.id,
            small.id,
        )
        await raw.execute("ANALYZE feature")
        for layer, z in [(units, 8), (units, 14), (zones, 8), (zones, 14), (small, 2), (zones, 2)]:
            statement, parameters = statement_of(layer.id, tile_at(-87.63, 41.88, z))
            plan = "\n".join(row[0] for row in await raw.fetch(f"EXPLAIN {statement}", *parameters))
            assert "Seq Scan" not in plan, plan
            assert "feature_cell" in plan, plan
            assert "feature_shape" in plan, plan
