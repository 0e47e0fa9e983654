"""The departures of a layer: the newest, however far back they lie, with the revision after which none is missing."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from layers import log
from layers.database import Database
from layers.model import Layer
from layers.publish import Publisher
from tests.db.test_publish import items, make_layer, unit
from tests.db.test_query import explain


@pytest.fixture
async def layer(db: Database) -> Layer:
    """1 to 4: units come; 5: E2 goes; 6: E1 moves; 7: E4 goes; 8: E3 goes; 9: E1 moves."""
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    for number in range(1, 5):
        await publisher.push(owner, layer, items(unit(f"E{number}")))
    await publisher.remove(owner, layer, ["E2"])
    await publisher.push(owner, layer, items(unit("E1", lng=-87.7)))
    await publisher.remove(owner, layer, ["E4"])
    await publisher.remove(owner, layer, ["E3"])
    await publisher.push(owner, layer, items(unit("E1", lng=-87.8)))
    await publisher.close()
    return layer


async def departures(
    db: Database, layer: Layer, *, limit: int, revision: int = 9
) -> tuple[int, list[tuple[str, int]]]:
    async with db.snapshot() as connection:
        head = (await log.read_heads(connection)).layers[layer.id]._replace(revision=revision)
        floor, found = await log.read_departures(connection, layer.id, head, limit=limit)
    return floor, [(departure.id, departure.revision) for departure in found]


async def test_a_layer_without_a_log_has_no_departures_before_its_head(db: Database) -> None:
    layer, _ = await make_layer(db)
    assert await departures(db, layer, limit=10, revision=0) == (0, [])


async def test_fewer_departures_than_the_limit_go_back_to_where_the_log_begins(
    db: Database, layer: Layer
) -> None:
    assert await departures(db, layer, limit=10) == (0, [("E2", 5), ("E4", 7), ("E3", 8)])
    async with db.begin() as connection:
        await connection.execute(text("DELETE FROM change WHERE revision < 6"))
    assert await departures(db, layer, limit=10) == (5, [("E4", 7), ("E3", 8)])


async def test_more_departures_than_the_limit_begin_with_the_oldest_that_is_told(
    db: Database, layer: Layer
) -> None:
    assert await departures(db, layer, limit=2) == (7, [("E4", 7), ("E3", 8)])


async def test_what_went_after_the_head_is_left_to_the_log(db: Database, layer: Layer) -> None:
    assert await departures(db, layer, limit=10, revision=7) == (0, [("E2", 5), ("E4", 7)])


async def test_departures_far_back_are_found_without_reading_the_log_between(
    db: Database, layer: Layer
) -> None:
    async with db.begin() as connection:
        await connection.execute(
            text(
                """
                INSERT INTO change (layer_id, revision, received_at, feature_id, op, properties, observed_at, actor)
                SELECT :layer, n, now(), 'U' || n % 100, 'put', '{}', now(), 'test' FROM generate_series(10, 50000) AS n
                """
            ),
            {"layer": layer.id},
        )
    async with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("ANALYZE change"))
    plan = await explain(db, log.DEPARTURES, layer.id, 50_000, 20_000)
    assert max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in plan) <= 3
    assert {node.get("Index Name", "") for node in plan if "Scan" in node["Node Type"]} != {""}
