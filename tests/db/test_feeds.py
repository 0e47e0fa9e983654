"""How feeds do, below HTTP: pace and lag without reading the log, refusals that are counted and never in the way."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import text

from cop.upkeep import tidy
from layers import feeds
from layers.database import Database
from layers.errors import Conflict, Forbidden, Invalid, PushRejected
from layers.feeds import Pace, Refusals
from layers.model import AgencyId, LayerId, Rejection
from layers.publish import Mode, Publisher
from tests.db.test_publish import items, make_layer, unit
from tests.db.test_query import explain

LAYER = LayerId(7)
BAD = unit("E1") | {"geometry": {"type": "Point", "coordinates": [-87.6, 500]}}


def test_a_pace_needs_a_second_and_goes_back_a_minute() -> None:
    pace = Pace()
    assert pace.rate(LAYER, 5, 0.0) is None
    for second in range(200):
        pace.note({LAYER: second * 3}, float(second))
    assert pace.rate(LAYER, 199 * 3 + 6, 201.0) == pytest.approx(3, rel=0.05)
    assert pace.before(LAYER, 199.0) == (60.0, 139 * 3)


def test_a_log_that_began_anew_has_no_pace() -> None:
    pace = Pace()
    pace.note({LAYER: 500}, 0.0)
    assert pace.rate(LAYER, 3, 10.0) is None
    assert pace.sample(LAYER, 3, 10.0) == [3, 2, 1]


def test_samples_are_spread_over_the_minute_and_bounded() -> None:
    pace = Pace()
    assert pace.sample(LAYER, 250, 0.0) == list(range(250, 150, -1))
    for second in range(61):
        pace.note({LAYER: second * 1_000}, float(second))
    sampled = pace.sample(LAYER, 60_000, 60.0)
    assert (len(sampled), sampled[0], sampled[-1]) == (feeds.SAMPLES, 60_000, 600)
    assert pace.sample(LAYER, 0, 60.0) == []


async def test_a_lag_is_from_observation_to_receipt_and_only_of_the_last_minute(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    await publisher.push(owner, layer, items(*(unit(f"E{number}") for number in range(20))))
    await publisher.close()
    async with db.begin() as connection:
        await connection.execute(
            text("UPDATE change SET observed_at = received_at - revision * interval '1 second'")
        )
        lags = await feeds.read_lags(connection, {layer.id: range(1, 21), LayerId(99): [1]})
        assert lags.keys() == {layer.id}
        assert tuple(lags[layer.id]) == pytest.approx((10.5, 19.05))
        await connection.execute(text("UPDATE change SET received_at = received_at - interval '2 minutes'"))
        assert await feeds.read_lags(connection, {layer.id: range(1, 21)}) == {}
        assert await feeds.read_lags(connection, {}) == {}


async def test_a_lag_reads_by_key_and_never_scans_the_log(db: Database) -> None:
    layer, _ = await make_layer(db)
    await tidy(db, history_days=30)
    async with db.begin() as connection:
        await connection.execute(
            text(
                """
                INSERT INTO change (layer_id, revision, received_at, feature_id, op, properties, observed_at, actor)
                SELECT :layer, n, now() - interval '1 hour' + n * interval '72 ms', 'U' || n % 100, 'put', '{}',
                       now(), 'test'
                FROM generate_series(1, 50000) AS n
                """
            ),
            {"layer": layer.id},
        )
    async with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("ANALYZE change"))
    revisions = list(range(49_900, 50_000))
    plan = await explain(db, feeds.LAGS, [layer.id] * 100, revisions)
    reads = [node for node in plan if node.get("Relation Name", "").startswith("change")]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in reads) <= 100
    assert sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in reads) == 0
    scanned = [node["Actual Rows"] for node in reads if node["Node Type"] == "Seq Scan"]
    assert not any(scanned), "partitions without a row are as cheap to scan as to probe"


async def test_the_door_counts_what_it_refuses(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    with pytest.raises(PushRejected):
        await publisher.push(owner, layer, items(unit("E1"), BAD))
    await publisher.push(owner, layer, items(unit("E1"), BAD, BAD), lenient=True)
    with pytest.raises(PushRejected):
        await publisher.push(owner, layer, items({"id": "none"}), mode=Mode.PATCH)
    await publisher.push(owner, layer, items(unit("E2")))
    await publisher.close()
    [(named, refused)] = publisher.refusals.take().items()
    assert (named, refused.features, refused.last_code) == (layer.id, 4, "feature.not_found")
    assert publisher.refusals.take() == {}


def test_what_is_not_the_senders_fault_is_not_counted() -> None:
    refusals = Refusals()
    for error, count in ((Forbidden(""), 0), (Invalid("", code="batch.empty"), 1), (Conflict(""), 2)):
        with pytest.raises(type(error)), refusals.noting(LAYER):
            raise error
        taken = refusals.take()
        refusals.give_back(taken)
        assert sum(refused.features for refused in taken.values()) == count


def test_a_flood_of_refusals_takes_one_place() -> None:
    refusals = Refusals()
    for number in range(1_000):
        refusals.note(LAYER, [Rejection(f"/features/{number}", "geo.range", "\0\ud800" * 10_000)])
    [refused] = refusals.take().values()
    assert (refused.features, refused.last_pointer) == (1_000, "/features/999")
    assert len(refused.last_detail) == feeds.DETAIL_CHARACTERS
    refused.last_detail.encode()


async def test_refusals_of_several_processes_add_up(db: Database) -> None:
    first, second = Refusals(), Refusals()
    first.note(LAYER, [Rejection("/features/0", "geo.range", "\0")])
    second.note(LAYER, [Rejection("/features/1", "time.future", "too early")] * 2)
    earlier, later = first.take(), second.take()
    async with db.begin() as connection:
        await feeds.write_refusals(connection, later)
        await feeds.write_refusals(connection, earlier)
        await feeds.write_refusals(connection, {})
        known = (await feeds.read_refusals(connection))[LAYER]
    assert (known.features, known.last_code, known.last_detail) == (3, "time.future", "too early")
    assert known.since == earlier[LAYER].since


async def test_refusals_of_a_day_ago_are_forgotten(db: Database) -> None:
    refusals = Refusals()
    refusals.note(LAYER, [Rejection("", "geo.range", "")])
    async with db.begin() as connection:
        await feeds.write_refusals(connection, refusals.take())
        await connection.execute(text("UPDATE feed_refusal SET last_at = now() - interval '25 hours'"))
    await tidy(db, history_days=30)
    async with db.connect() as connection:
        assert await feeds.read_refusals(connection) == {}


async def test_processes_add_up_and_dead_ones_do_not_count(db: Database) -> None:
    ours, theirs, dead = uuid4(), uuid4(), uuid4()
    async with db.begin() as connection:
        for worker in (ours, theirs, dead):
            count = Counter({AgencyId(1): 2, None: 3})
            await feeds.write_worker(connection, worker, {LAYER: count})
        old = "UPDATE worker SET seen_at = now() - interval '20 seconds' WHERE id = :id"
        await connection.execute(text(old), {"id": dead})
        assert await feeds.read_subscribers(connection, besides=ours) == {LAYER: {1: 2, None: 3}}
        await connection.execute(text("UPDATE worker SET seen_at = now() - interval '2 minutes'"))
        await feeds.write_worker(connection, ours, {})
        assert await connection.scalar(text("SELECT count(*) FROM worker")) == 1
        await feeds.remove_worker(connection, ours)
        assert await connection.scalar(text("SELECT count(*) FROM worker")) == 0


def test_times_are_aware() -> None:
    refusals = Refusals()
    refusals.note(LAYER, [Rejection("", "geo.range", "")])
    assert abs((refusals.take()[LAYER].since - datetime.now(UTC)).total_seconds()) < 5
