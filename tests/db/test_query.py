"""Reading by place and time, against brute force over everything; and that each read finds its rows by an index."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import shapely
from sqlalchemy import text

from layers import query, store
from layers.database import Database, driver
from layers.errors import NotFound
from layers.model import BBox, Feature, Layer
from layers.publish import Publisher
from tests.db.test_publish import items, make_layer, unit


def everywhere(random_: random.Random, number: int) -> tuple[float, float]:
    """A quarter of the points near each of: Chicago, the antimeridian, a pole, anywhere."""
    match number % 4:
        case 0:
            return random_.uniform(-88, -87), random_.uniform(41, 42)
        case 1:
            return random_.choice([-1, 1]) * random_.uniform(179, 180), random_.uniform(-20, 20)
        case 2:
            return random_.uniform(-180, 180), random_.uniform(85, 90)
        case _:
            return random_.uniform(-180, 180), random_.uniform(-90, 90)


@pytest.fixture
async def assets(db: Database) -> Layer:
    """Points and polygons everywhere, in a layer of assets."""
    random_ = random.Random(4)
    layer, owner = await make_layer(db, "cfd.assets", kind="assets")
    features = []
    for number in range(400):
        lng, lat = everywhere(random_, number)
        feature = unit(f"A{number}", at_s=number)
        feature["geometry"] = {"type": "Point", "coordinates": [lng, lat]}
        if number % 5 == 0:
            west, south = min(max(lng, -179), 178), min(max(lat, -85), 84)
            ring = [[west, south], [west + 0.5, south], [west + 0.5, south + 0.5], [west, south]]
            feature["geometry"] = {"type": "Polygon", "coordinates": [ring]}
        features.append(feature)
    publisher = Publisher(db)
    await publisher.push(owner, layer, items(*features))
    await publisher.close()
    return layer


async def everything(db: Database, layer: Layer) -> list[Feature]:
    async with db.snapshot() as connection:
        return (await query.read_layer(connection, layer.id))[1]


def inside(feature: Feature, bbox: BBox) -> bool:
    assert feature.geometry
    shape = shapely.geometry.shape(json.loads(feature.geometry))
    return any(shape.intersects(shapely.box(*box)) for box in query.split(bbox))


@pytest.mark.parametrize(
    "bbox",
    [
        (-88.0, 41.0, -87.5, 41.5),
        (-87.9, 41.3, -87.9, 41.3),
        (179.5, -10.0, -179.5, 10.0),
        (-180.0, -90.0, 180.0, 90.0),
        (-180.0, 88.0, 180.0, 90.0),
        (10.0, -40.0, 60.0, 30.0),
        (0.0, 0.0, 0.001, 0.001),
        (179.9, 80.0, 180.0, 90.0),
    ],
)
async def test_a_box_finds_what_brute_force_finds(db: Database, assets: Layer, bbox: BBox) -> None:
    expected = {feature.id for feature in await everything(db, assets) if inside(feature, bbox)}
    async with db.connect() as connection:
        found = await query.read_page(connection, assets.id, bbox=bbox, limit=10_000)
    assert {feature.id for feature in found} == expected


async def test_random_small_boxes_miss_no_point_at_a_cell_border(db: Database, assets: Layer) -> None:
    random_ = random.Random(7)
    known = await everything(db, assets)
    async with db.connect() as connection:
        for _ in range(60):
            lng, lat = everywhere(random_, random_.randrange(4))
            side = random_.choice([0.001, 0.05, 0.4])
            bbox = (
                max(lng - side, -180.0),
                max(lat - side, -90.0),
                min(lng + side, 180.0),
                min(lat + side, 90.0),
            )
            found = await query.read_page(connection, assets.id, bbox=bbox, limit=10_000)
            assert {feature.id for feature in found} == {f.id for f in known if inside(f, bbox)}


async def test_boxes_at_the_edge_of_the_world_miss_no_point(db: Database) -> None:
    random_ = random.Random(11)
    layer, owner = await make_layer(db, "cfd.edge", kind="assets")
    places = [
        (random_.choice([-1, 1]) * random_.uniform(179.9, 180), random_.uniform(-89, 89)) for _ in range(60)
    ]
    places += [
        (random_.uniform(-180, 180), random_.choice([-1, 1]) * random_.uniform(89.7, 90)) for _ in range(60)
    ]
    features = [
        unit(f"P{number}") | {"geometry": {"type": "Point", "coordinates": list(place)}}
        for number, place in enumerate(places)
    ]
    publisher = Publisher(db)
    await publisher.push(owner, layer, items(*features))
    await publisher.close()
    known = await everything(db, layer)
    async with db.connect() as connection:
        for lng, lat in places:
            side = random_.choice([0.002, 0.02])
            bbox = (
                max(lng - side, -180.0),
                max(lat - side, -90.0),
                min(lng + side, 180.0),
                min(lat + side, 90.0),
            )
            found = await query.read_page(connection, layer.id, bbox=bbox, limit=1000)
            assert {feature.id for feature in found} == {f.id for f in known if inside(f, bbox)}


async def test_pages_add_up_to_the_whole(db: Database, assets: Layer) -> None:
    seen: list[str] = []
    async with db.connect() as connection:
        while page := await query.read_page(connection, assets.id, after=seen[-1] if seen else "", limit=37):
            seen += [feature.id for feature in page]
    assert sorted(seen) == sorted(feature.id for feature in await everything(db, assets))
    assert len(seen) == len(set(seen)) == 400


async def test_an_interval_holds_its_ends(db: Database, assets: Layer) -> None:
    known = sorted(feature.observed_at for feature in await everything(db, assets))
    async with db.connect() as connection:
        found = await query.read_page(
            connection, assets.id, observed_from=known[10], observed_to=known[20], limit=1000
        )
    assert sorted(feature.observed_at for feature in found) == known[10:21]


async def test_a_track_has_late_observations_in_their_place(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    for at_s in (10, 30, 20):
        await publisher.push(owner, layer, items(unit("E1", at_s=at_s, lng=-87 - at_s / 100)))
    await publisher.close()
    async with db.connect() as connection:
        track = await query.read_track(connection, layer.id, "E1")
        assert [round(fix.lng, 1) for fix in track] == [-87.1, -87.2, -87.3]
        assert [fix.revision for fix in track] == [1, 3, 2]
        assert [fix.lng for fix in await query.read_track(connection, layer.id, "E1", limit=1)] == [-87.3]
        with pytest.raises(NotFound):
            await query.read_track(connection, layer.id, "E9")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


async def explain(db: Database, statement: str, *arguments: Any) -> list[dict[str, Any]]:
    async with db.connect() as connection:
        raw = await driver(connection)
        value = await raw.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
    return nodes((json.loads(value) if isinstance(value, str) else value)[0]["Plan"])


@pytest.fixture
async def large(db: Database) -> Layer:
    """50,000 units in one layer among others, so that a scan of the whole would be the wrong plan."""
    layer, _ = await make_layer(db)
    async with db.begin() as connection:
        await connection.execute(
            text(
                """
                INSERT INTO feature (layer_id, id, geometry, cell, properties, observed_at, received_at, revision)
                SELECT :layer + n % 4, 'U' || n,
                       ST_SetSRID(ST_MakePoint(-88 + n % 250 / 250.0, 41 + n / 250 / 200.0), 4326),
                       n % 3000, '{}', now(), now(), n
                FROM generate_series(1, 50000) AS n
                """
            ),
            {"layer": layer.id},
        )
    async with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("ANALYZE feature"))
    return layer


async def test_a_small_box_reads_by_index_and_little_besides(db: Database, large: Layer) -> None:
    box = [[side] for side in (-88.0, 41.0, -87.9, 41.1)]
    plan = await explain(db, query.PAGE_IN_BOXES, large.id, "", None, None, 100, *box, [7, 8, 9])
    assert not [
        node for node in plan if node["Node Type"] == "Seq Scan" and node.get("Relation Name") == "feature"
    ]


async def test_a_page_reads_by_its_key(db: Database, large: Layer) -> None:
    plan = await explain(db, query.PAGE, large.id, "U3", None, None, 100)
    scans = [node for node in plan if node.get("Relation Name") == "feature"]
    assert scans
    assert all("Index" in node["Node Type"] for node in scans)
    assert all(node.get("Rows Removed by Filter", 0) < 1000 for node in scans)


async def test_one_edit_probes_its_key_and_reads_nothing_else_of_a_large_layer(
    db: Database, large: Layer
) -> None:
    ewkb = bytes.fromhex("0101000020E6100000") + bytes(16)
    columns = (["U8"], [ewkb], [7], ["{}"], [None], [None], [None])
    plan = await explain(
        db, store.PUT, large.id, *columns, datetime.now(UTC), 50_000, "test", timedelta(minutes=1)
    )
    reads = [node for node in plan if node.get("Relation Name") == "feature" and "Scan" in node["Node Type"]]
    assert [node["Node Type"] for node in reads] == ["Index Scan"]
    assert reads[0]["Actual Rows"] * reads[0]["Actual Loops"] <= 1
