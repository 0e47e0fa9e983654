"""What an analysis reads of the past: against a model that remembers every state, and by an index."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from layers.database import Database, driver
from layers.errors import LogTruncated, TooLarge
from layers.log import Head, keep_partitions
from layers.model import Layer, LayerRules, Viewer
from layers.planning import reading
from layers.planning.history import HEAD_AT, SOURCE_AT, read_sources_at, read_sources_of
from layers.planning.model import Source
from layers.planning.reading import read_sources
from layers.publish import Publisher
from tests.db.test_coverage import AREA
from tests.db.test_publish import items, make_layer, unit
from tests.db.test_query import explain


@pytest.fixture
async def publisher(db: Database) -> AsyncIterator[Publisher]:
    made = Publisher(db)
    yield made
    await made.close()


async def clock(db: Database) -> datetime:
    async with db.connect() as connection:
        moment: datetime = await connection.scalar(text("SELECT clock_timestamp()"))
    return moment


async def read_at(db: Database, layer: Layer, at: datetime) -> tuple[Source, list[str]]:
    async with db.snapshot() as connection:
        (source,), notes = await read_sources_at(connection, [(layer, "cfd")], AREA, 9, at)
    return source, notes


async def read_of(db: Database, layer: Layer, head: Head, at: datetime) -> tuple[Source, list[str]]:
    async with db.snapshot() as connection:
        (source,), notes = await read_sources_of(connection, [(layer, "cfd")], [head], AREA, 9, at)
    return source, notes


async def read_now(db: Database, layer: Layer) -> Source:
    async with db.snapshot() as connection:
        (source,) = await read_sources(connection, [(layer, "cfd")], AREA, 9)
    return source


async def back_in_time(db: Database, layer: Layer, days: float) -> None:
    """As if all that the layer has heard so far had been heard *days* earlier."""
    async with db.begin() as connection:
        for table, column in (
            ("change", "received_at"),
            ("change", "observed_at"),
            ("feature", "received_at"),
        ):
            moved = (
                f"UPDATE {table} SET {column} = {column} - make_interval(secs => :s) WHERE layer_id = :layer"
            )
            await connection.execute(text(moved), {"s": days * 86_400, "layer": layer.id})


# Refusals


async def test_a_log_that_begins_later_or_anew_is_no_source(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    for lng in (-87.6, -87.601, -87.602):
        await publisher.push(owner, layer, items(unit("a", lng=lng)))
    now, head = await clock(db), Head((await read_now(db, layer)).epoch, 1)
    assert (await read_of(db, layer, head, now))[0].rows[0].lng == -87.6
    for other in (head._replace(epoch=uuid4()), head._replace(revision=4)):
        with pytest.raises(LogTruncated):
            await read_of(db, layer, other, now)
    async with db.begin() as connection:
        await connection.execute(text("DELETE FROM change WHERE revision <= 2"))
    with pytest.raises(LogTruncated):
        await read_of(db, layer, head, now)


async def test_more_features_than_the_limit_are_refused_in_the_past_too(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("a"), unit("b"), unit("c")))
    then = await clock(db)
    await publisher.remove(owner, layer, ["b", "c"])
    monkeypatch.setattr(reading, "MAX_COVERS", 2)
    with pytest.raises(TooLarge, check=lambda error: error.code == "coverage.too_many_features"):
        await read_at(db, layer, then)


async def test_what_the_log_no_longer_holds_is_told(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("same"), unit("moved"), unit("gone")))
    await back_in_time(db, layer, 40)
    await publisher.push(owner, layer, items(unit("newer")))
    then = await clock(db)
    await publisher.push(owner, layer, items(unit("moved", lng=-87.61)))
    await publisher.remove(owner, layer, ["gone"])
    assert [row.id for row in (await read_at(db, layer, then))[0].rows] == ["gone", "moved", "newer", "same"]
    async with db.begin() as connection:
        await connection.execute(text("DELETE FROM change WHERE received_at < now() - interval '30 days'"))
    source, notes = await read_at(db, layer, then)
    assert ([row.id for row in source.rows], source.revision) == (["newer", "same"], 4)
    assert notes == [
        "cfd.units: up to 2 features that were there then are missing, for the log holds nothing before revision 4."
    ]


# The past


async def test_before_a_layer_was_heard_it_is_empty(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    before = await clock(db)
    await publisher.push(owner, layer, items(unit("a")))
    source, notes = await read_at(db, layer, before)
    assert (source.rows, source.revision, source.held, notes) == ((), 0, 0, [])


async def test_a_past_that_is_now_reads_as_now(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, "cfd.stations", kind="assets", rules=LayerRules(reach_m=500))
    await publisher.push(owner, layer, items(unit("b"), unit("a", reach_m=700)))
    now = await read_now(db, layer)
    assert now.rows[0].stored
    assert await read_at(db, layer, await clock(db)) == (now, [])
    assert await read_of(db, layer, Head(now.epoch, now.revision), await clock(db)) == (now, [])


async def test_a_late_observation_changes_no_past(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("a", at_s=60)))
    await publisher.push(owner, layer, items(unit("a", at_s=30, lng=-87.7)))
    then = await clock(db)
    await publisher.push(owner, layer, items(unit("a", at_s=90, lng=-87.61)))
    source, _ = await read_at(db, layer, then)
    assert [(row.lng, source.revision) for row in source.rows] == [(-87.6, 2)]


async def test_a_feature_made_anew_under_an_older_time_is_the_new_one(
    db: Database, publisher: Publisher
) -> None:
    """Its first life was observed by a clock 50 s ahead; the second says no time, so it is observed when it comes."""
    layer, owner = await make_layer(db)
    ahead = unit("a", observed_at=(await clock(db) + timedelta(seconds=50)).isoformat())
    await publisher.push(owner, layer, items(ahead))
    await publisher.remove(owner, layer, ["a"])
    gone = await clock(db)
    await publisher.push(owner, layer, items(unit("a", lng=-87.65)))
    anew = await clock(db)
    await publisher.remove(owner, layer, ["a"])
    assert [row.lng for row in (await read_at(db, layer, anew))[0].rows] == [-87.65]
    assert (await read_at(db, layer, gone))[0].rows == ()


@dataclass
class Model:
    """The layer as one would keep it in plain Python, with each state it was in, and since when."""

    features: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    states: list[tuple[datetime, dict[str, tuple[Any, ...]]]] = field(default_factory=list)

    def note(self, now: datetime) -> None:
        self.states.append((now, dict(self.features)))

    def at(self, moment: datetime) -> list[tuple[Any, ...]]:
        known = [features for since, features in self.states if since <= moment]
        return sorted(
            (id, lng, number)
            for id, (lng, number, expires_at) in (known[-1] if known else {}).items()
            if (expires_at is None or expires_at > moment) and lng > -89
        )


async def act(
    random_: random.Random,
    db: Database,
    publisher: Publisher,
    owner: Viewer,
    layer: Layer,
    model: Model,
    n: int,
) -> None:
    """Push or remove something; what expires does so by a sweep at some time after."""
    id = random_.choice("abcdef")
    match random_.randrange(6):
        case 0:
            await publisher.remove(owner, layer, [id, "never"])
            model.features.pop(id, None)
        case 1:
            await publisher.push(owner, layer, items(unit(id, at_s=-9_000 - n, lng=-87.5)))  # late, or new
            if id not in model.features:
                await publisher.remove(owner, layer, [id, "never"])
        case 2:
            await publisher.sweep()
            now = await clock(db)
            model.features = {k: v for k, v in model.features.items() if v[2] is None or v[2] > now}
        case choice:
            lng = random_.choice([-87.6, -87.61, -120.0])
            expires = (
                await clock(db) + timedelta(milliseconds=random_.choice([15, 60])) if choice == 3 else None
            )
            sent = (
                unit(id, lng=lng, n=n)
                if expires is None
                else unit(id, lng=lng, n=n, expires_at=expires.isoformat())
            )
            known = model.features.get(id)
            if known and known[2] and known[2] <= await clock(db):
                return  # expired and not swept: whether the push comes before it is another's affair
            receipt = await publisher.push(owner, layer, items(sent))
            if not receipt.late:  # On a busy machine it may have expired before it came.
                model.features[id] = (lng, n, expires)


@pytest.mark.parametrize("seed", range(4))
async def test_random_pasts_are_what_a_model_remembers(db: Database, publisher: Publisher, seed: int) -> None:
    random_ = random.Random(seed)
    layer, owner = await make_layer(db)
    await make_layer(db, "cfd.others")
    model = Model()
    asked: list[datetime] = [await clock(db)]
    for n in range(60):
        await act(random_, db, publisher, owner, layer, model, n)
        model.note(await clock(db))
        asked.append(await clock(db))
    for moment in asked:
        source, notes = await read_at(db, layer, moment)
        found = [(row.id, row.lng, json.loads(row.properties)["n"]) for row in source.rows]
        assert (found, notes) == (model.at(moment), [])
        head = Head(source.epoch, source.revision)
        assert await read_of(db, layer, head, moment) == (source, [])


@pytest.fixture
async def busy(db: Database) -> Layer:
    """A month of 200 units, 200 fixes each, half of whom are gone since; such layers beside it, and more features."""
    layer, _ = await make_layer(db)
    async with db.begin() as connection:
        today = await connection.scalar(text("SELECT now()"))
        raw = await driver(connection)
        for days in range(30, -1, -3):
            await keep_partitions(connection, today=today - timedelta(days=days), history_days=400)
        await raw.execute(
            """
            INSERT INTO change (layer_id, revision, received_at, feature_id, op, geometry, properties,
                                observed_at, actor)
            SELECT $1 + layer, n, at, 'U' || n % 200, CASE WHEN n > 39900 THEN 'gone' ELSE 'put' END,
                   ST_SetSRID(ST_MakePoint(-87.6, 41.8), 4326), '{}', at, 'test'
            FROM generate_series(0, 2) AS layer, generate_series(1, 40000) AS n,
                 LATERAL (SELECT now() - interval '30 days' * (40000 - n) / 40000 AS at) AS moment
            """.replace("$1", str(layer.id))
        )
        await raw.execute(
            f"""
            INSERT INTO feature (layer_id, id, geometry, cell, properties, observed_at, received_at, revision)
            SELECT {layer.id} + layer, 'U' || n % 200, ST_SetSRID(ST_MakePoint(-87.6, 41.8), 4326), 7, '{{}}',
                   now(), now(), n
            FROM generate_series(0, 99) AS layer, generate_series(39801, 39900) AS n
            """
        )
        await raw.execute(f"UPDATE layer SET revision = 40000, features = 100 WHERE id = {layer.id}")
    async with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("ANALYZE feature, change"))
    return layer


async def test_a_month_of_fixes_is_read_by_index_and_little_of_it(db: Database, busy: Layer) -> None:
    then = await clock(db) - timedelta(days=10)
    found = await explain(db, HEAD_AT, busy.id, then)
    async with db.connect() as connection:
        revision = (await (await driver(connection)).fetchrow(HEAD_AT, busy.id, then))["revision"]
    assert abs(revision - 40_000 * 2 / 3) < 20
    sides = [[-88.0], [41.0], [-87.0], [42.0]]
    found += await explain(db, SOURCE_AT, busy.id, 9, *sides, 1_000, revision, then)
    scans = [step for step in found if str(step.get("Relation Name")).startswith(("change", "feature"))]
    # Soon after midnight the day's own partition holds next to nothing, and is read as quickly as its index.
    whole = [step["Actual Rows"] for step in scans if step["Node Type"] == "Seq Scan"]
    assert max(whole, default=0) < 1_000
    read = sum(
        (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"] for step in scans
    )
    assert read < 10_000, "of 120,000: a row for each unit and day, and little besides"
    source, notes = await read_at(db, busy, then)
    assert (len(source.rows), source.held, notes) == (200, 200, [])
