"""What an analysis reads: near enough, not expired, as filtered, all of one moment, and found by an index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from layers.database import Database
from layers.errors import TooLarge
from layers.hexes import Hexes, disk
from layers.model import Layer, LayerRules, Viewer
from layers.planning import reading
from layers.planning.model import Source
from layers.planning.reading import SOURCE, read_sources
from layers.publish import Publisher
from tests.db.test_publish import items, make_layer, unit
from tests.db.test_query import explain, large
from tests.unit.hexes_shapes import box

__all__ = ["large"]
AREA = box(-87.62, 41.78, -87.58, 41.82)


@pytest.fixture
async def publisher(db: Database) -> AsyncIterator[Publisher]:
    made = Publisher(db)
    yield made
    await made.close()


async def stations(
    db: Database, publisher: Publisher, *features: dict[str, Any], **rules: Any
) -> tuple[Layer, Viewer]:
    layer, owner = await make_layer(db, "cfd.stations", kind="assets", rules=LayerRules(**rules))
    await publisher.push(owner, layer, items(*features))
    return layer, owner


async def read(db: Database, layer: Layer, resolution: int = 9) -> Source:
    async with db.snapshot() as connection:
        (source,) = await read_sources(connection, [(layer, "cfd")], AREA, resolution)
    return source


async def test_more_features_than_the_limit_are_refused(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_COVERS", 2)
    layer, owner = await stations(db, publisher, unit("a"), unit("b"), reach_m=500)
    assert len((await read(db, layer)).rows) == 2
    await publisher.push(owner, layer, items(unit("c")))
    with pytest.raises(TooLarge, check=lambda error: error.code == "coverage.too_many_features"):
        await read(db, layer)


async def test_all_is_read_as_of_one_moment(db: Database, publisher: Publisher) -> None:
    first, _ = await stations(db, publisher, unit("a"), reach_m=500)
    second, owner = await make_layer(db, "cfd.units")
    async with db.snapshot() as connection:
        await read_sources(connection, [(first, "cfd")], AREA, 9)
        await publisher.push(owner, second, items(unit("u", reach_m=500)))
        (source,) = await read_sources(connection, [(second, "cfd")], AREA, 9)
    assert (source.revision, source.rows) == (0, ())
    assert len((await read(db, second)).rows) == 1


async def test_stored_hexes_serve_their_own_resolution_only(db: Database, publisher: Publisher) -> None:
    layer, _ = await stations(db, publisher, unit("a"), reach_m=500, resolution=9)
    (same,), (other,) = (await read(db, layer)).rows, (await read(db, layer, 8)).rows
    assert Hexes.unpack(same.stored) == disk(-87.6, 41.8, 500, 9)
    assert (other.stored, other.lng, other.lat, other.shape) == (None, -87.6, 41.8, None)


async def test_a_reach_from_afar_is_read_and_one_from_beyond_is_not(
    db: Database, publisher: Publisher
) -> None:
    layer, _ = await stations(db, publisher, unit("near", lng=-88.7), unit("far", lng=-90.5), reach_m=100_000)
    assert [row.id for row in (await read(db, layer)).rows] == ["near"]


async def test_more_bytes_than_the_limit_are_refused(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_READ_BYTES", 1_000)
    layer, _ = await stations(db, publisher, unit("a", note="x" * 2_000))
    with pytest.raises(TooLarge, check=lambda error: error.code == "coverage.too_many_features"):
        await read(db, layer)


async def test_a_small_layer_is_found_by_the_index_among_large_ones(db: Database, large: Layer) -> None:
    small = large.id + 50
    sides = [[-88.0], [41.0], [-87.9], [41.1]]
    steps = await explain(db, SOURCE, small, 9, *sides, 100)
    scans = [step for step in steps if step.get("Relation Name") == "feature"]
    assert scans
    assert all("Index" in step["Node Type"] or "Bitmap" in step["Node Type"] for step in scans)
