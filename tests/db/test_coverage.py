"""What an analysis reads: near enough, not expired, as filtered, all of one moment, and found by an index."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from layers import coverage
from layers.coverage import SOURCE, Where, read_sources
from layers.database import Database
from layers.errors import TooLarge
from layers.ground import Source
from layers.hexes import Hexes, disk
from layers.model import Layer, LayerRules, Viewer
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


async def read(db: Database, layer: Layer, where: Where | None = None, resolution: int = 9) -> Source:
    async with db.snapshot() as connection:
        (source,) = await read_sources(connection, [(layer, "cfd")], AREA, resolution, where or {})
    return source


async def test_more_features_than_the_limit_are_refused(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "MAX_COVERS", 2)
    layer, owner = await stations(db, publisher, unit("a"), unit("b"), reach_m=500)
    assert len((await read(db, layer)).stored) == 2
    await publisher.push(owner, layer, items(unit("c")))
    with pytest.raises(TooLarge, check=lambda error: error.code == "coverage.too_many_features"):
        await read(db, layer)


async def test_all_is_read_as_of_one_moment(db: Database, publisher: Publisher) -> None:
    first, _ = await stations(db, publisher, unit("a"), reach_m=500)
    second, owner = await make_layer(db, "cfd.units")
    async with db.snapshot() as connection:
        await read_sources(connection, [(first, "cfd")], AREA, 9, {})
        await publisher.push(owner, second, items(unit("u", reach_m=500)))
        (source,) = await read_sources(connection, [(second, "cfd")], AREA, 9, {})
    assert (source.revision, source.points) == (0, ())
    assert len((await read(db, second)).points) == 1


async def test_stored_hexes_serve_their_own_resolution_only(db: Database, publisher: Publisher) -> None:
    layer, _ = await stations(db, publisher, unit("a"), reach_m=500, resolution=9)
    same, other = await read(db, layer), await read(db, layer, resolution=8)
    assert [Hexes.unpack(each) for each in same.stored] == [disk(-87.6, 41.8, 500, 9)]
    assert (same.points, other.stored, other.points) == ((), (), ((-87.6, 41.8, 500.0),))


async def test_what_states_no_reach_is_left_out(db: Database, publisher: Publisher) -> None:
    layer, _ = await stations(db, publisher, unit("a"), unit("b", reach_m=0))
    source = await read(db, layer, resolution=8)
    assert source.points == ((-87.6, 41.8, 0.0),)


async def test_a_reach_from_afar_is_read_and_one_from_beyond_is_not(
    db: Database, publisher: Publisher
) -> None:
    layer, _ = await stations(db, publisher, unit("near", lng=-88.7), unit("far", lng=-90.5), reach_m=100_000)
    assert len((await read(db, layer)).stored) == 1


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({}, {"plain", "listed", "odd"}),
        ({"status": ["open"]}, {"plain"}),
        ({"status": ["open", "shut"]}, {"plain", "listed"}),
        ({"status": [None]}, {"odd"}),
        ({"status": [None, "shut"]}, {"listed", "odd"}),
        ({"skills": ["als"]}, {"listed"}),
        ({"skills": ["als"], "status": ["open"]}, set()),
        ({"beds": [2]}, {"plain"}),
        ({"beds": [2.0]}, {"plain"}),
        ({"beds": ["2"]}, set()),
        ({"beds": [True]}, {"listed"}),
        ({'it\'s "$1" \\ %s': ["'; DROP TABLE feature; --"]}, {"odd"}),
    ],
)
async def test_a_filter_takes_what_has_one_of_the_values(
    db: Database, publisher: Publisher, where: Where, ids: set[str]
) -> None:
    reaches = {"plain": 100.0, "listed": 200.0, "odd": 300.0}
    layer, _ = await stations(
        db,
        publisher,
        unit("plain", status="open", beds=2, reach_m=100),
        unit("listed", status="shut", skills=["als", "bls"], beds=True, reach_m=200),
        unit("odd", **{'it\'s "$1" \\ %s': "'; DROP TABLE feature; --", "reach_m": 300}),
    )
    found = {reach_m for _, _, reach_m in (await read(db, layer, where, 8)).points}
    assert found == {reaches[id] for id in ids}


async def test_a_small_layer_is_found_by_the_index_among_large_ones(db: Database, large: Layer) -> None:
    small = large.id + 50
    sides = [[-88.0], [41.0], [-87.9], [41.1]]
    steps = await explain(db, SOURCE, small, 9, *sides, json.dumps({"status": [None]}), 100)
    scans = [step for step in steps if step.get("Relation Name") == "feature"]
    assert scans
    assert all("Index" in step["Node Type"] or "Bitmap" in step["Node Type"] for step in scans)
