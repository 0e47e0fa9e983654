"""How features have stood during a window, as it is read, against folding the whole log in Python."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from layers.database import Database, driver
from layers.errors import TooLarge
from layers.hexes import Hexes, disk
from layers.log import read_after
from layers.model import Change, Layer, LayerRules, Op, Viewer
from layers.planning import spells
from layers.planning.model import Rule
from layers.planning.spells import STATES, History, read_histories, sources_at
from layers.planning.timeline import Window
from layers.publish import Mode, Publisher
from tests.db.test_publish import items, make_layer, unit
from tests.unit.hexes_shapes import box

AREA = box(-87.62, 41.78, -87.58, 41.82)
BEGUN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
MINUTE = timedelta(minutes=1)
HOUR = Window.of(BEGUN + 30 * MINUTE, BEGUN + 90 * MINUTE, 5 * MINUTE)


@pytest.fixture
async def publisher(db: Database) -> AsyncIterator[Publisher]:
    made = Publisher(db)
    yield made
    await made.close()


async def read(db: Database, layer: Layer, window: Window = HOUR, rule: Rule | None = None) -> History:
    async with db.snapshot() as connection:
        (found,) = await read_histories(connection, [(layer, "cfd")], AREA, 9, window, rule or Rule())
    return found


async def spread(db: Database, layer: Layer) -> None:
    """Have revision n of *layer* received n minutes after BEGUN, and observed half a minute before that."""
    received = "CAST(:begun AS timestamptz) + revision * interval '1 minute'"
    async with db.begin() as connection:
        for table in ("change", "feature"):
            await connection.execute(
                text(
                    f"UPDATE {table} SET received_at = {received}, observed_at = {received} - interval '30 s' "
                    "WHERE layer_id = :layer"
                ),
                {"begun": BEGUN, "layer": layer.id},
            )


async def log_of(db: Database, layer: Layer) -> list[Change]:
    async with db.connect() as connection:
        return await read_after(connection, layer.id, 0)


def known_at(log: Sequence[Change], at: datetime) -> dict[str, str]:
    """Properties by id of what was on the picture near the area."""
    standing: dict[str, Change] = {}
    for change in log:
        if change.received_at > at or change.op is Op.LATE:
            continue
        standing.pop(change.feature_id, None)
        if change.op is Op.PUT:
            standing[change.feature_id] = change
    return {
        id: change.properties
        for id, change in standing.items()
        if (change.expires_at is None or change.expires_at > at)
        and change.bbox is not None
        and -89 < change.bbox[0] < -86
    }


async def live_through_a_day(db: Database, layer: Layer, owner: Viewer, publisher: Publisher) -> None:
    """120 changes of ten features: moved near and far, given an end, deleted, made anew, replaced by others."""
    random_ = random.Random(5)
    for turn in range(120):
        id = f"u{random_.randrange(10)}"
        known = (await log_of(db, layer))[-1:]
        if random_.random() < 0.15 and known and known[0].op is Op.PUT:
            await publisher.remove(owner, layer, [known[0].feature_id])
            continue
        lng = random_.choice([-87.6, -87.61, 10.0])
        sent = unit(id, lng=lng, note=turn, reach_m=500)
        mode = Mode.REPLACE if random_.random() < 0.05 else Mode.PUT
        await publisher.push(owner, layer, items(sent), mode=mode)
    await spread(db, layer)
    async with db.begin() as connection:
        ends = {"layer": layer.id}
        for table in ("change", "feature"):
            await connection.execute(
                text(
                    f"UPDATE {table} SET expires_at = received_at + interval '7 minutes' "
                    "WHERE layer_id = :layer AND revision % 5 = 0"
                ),
                ends,
            )


async def test_at_every_minute_of_a_window_what_stood_is_what_the_log_says(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db, "cfd.stations", kind="assets")
    await live_through_a_day(db, layer, owner, publisher)
    log = await log_of(db, layer)
    assert {change.op for change in log} == {Op.PUT, Op.GONE}
    for window in (HOUR, Window.of(BEGUN - 10 * MINUTE, BEGUN + 240 * MINUTE, 10 * MINUTE)):
        history = await read(db, layer, window)
        for minute in range(-30, 480):
            at = BEGUN + minute * MINUTE / 2
            if window.begin_us <= (at.timestamp() * 1e6) < window.end_us:
                (source,) = sources_at([history], at)
                assert {row.id: row.properties for row in source.rows} == known_at(log, at), at


async def test_of_units_all_that_may_count_is_read(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, rules=LayerRules(stale_after_s=300))
    await live_through_a_day(db, layer, owner, publisher)
    log = await log_of(db, layer)
    fresh, all_ = await read(db, layer), await read(db, layer, rule=Rule(stale_counts=True))
    assert len(fresh.states) < len(all_.states)
    for minute in range(30, 90):
        at = BEGUN + minute * MINUTE
        known = known_at(log, at)
        assert {row.id: row.properties for row in sources_at([all_], at)[0].rows} == known
        recent = {row.id for row in sources_at([fresh], at)[0].rows if at - row.observed_at <= 5 * MINUTE}
        assert recent == {
            row.id for row in sources_at([all_], at)[0].rows if at - row.observed_at <= 5 * MINUTE
        }


async def test_what_came_too_late_never_stood(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("a", at_s=100, note="new")))
    await publisher.push(owner, layer, items(unit("a", at_s=50, note="old")))
    now = datetime.now(UTC)
    found = await read(db, layer, Window.of(now - 60 * MINUTE, now + 60 * MINUTE, 5 * MINUTE))
    assert [("new" in state.row.properties, state.end) for state in found.states] == [(True, None)]


async def test_the_future_is_what_stands_now(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, "cfd.stations", kind="assets", rules=LayerRules(reach_m=500))
    await publisher.push(owner, layer, items(unit("a"), unit("b"), unit("far", lng=10.0)))
    await publisher.remove(owner, layer, ["b"])
    now = datetime.now(UTC)
    found = await read(db, layer, Window.of(now + 60 * MINUTE, now + 120 * MINUTE, 5 * MINUTE))
    (state,) = found.states
    assert (state.row.id, state.end, found.source.held) == ("a", None, 2)
    assert state.row.stored is not None
    assert Hexes.unpack(state.row.stored) == disk(-87.6, 41.8, 500, 9)


async def test_a_log_that_has_lost_its_beginning_says_so(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, "cfd.stations", kind="assets")
    assert (await read(db, layer)).since is None
    for note in range(4):
        await publisher.push(owner, layer, items(unit("a", note=note)))
    await spread(db, layer)
    assert (await read(db, layer)).since is None
    async with db.begin() as connection:
        await connection.execute(text("DELETE FROM change WHERE revision < 3"))
    assert (await read(db, layer)).since == BEGUN + 3 * MINUTE
    async with db.begin() as connection:
        await connection.execute(text("DELETE FROM change"))
        now: datetime = (await connection.execute(text("SELECT now()"))).scalar_one()
    since = (await read(db, layer)).since
    assert since is not None
    assert since >= now


async def test_more_states_or_bytes_than_the_limit_are_refused(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, owner = await make_layer(db, "cfd.stations", kind="assets")
    await publisher.push(owner, layer, items(unit("a"), unit("b", note="x" * 1_000)))
    now = datetime.now(UTC)
    window = Window.of(now, now + 60 * MINUTE, MINUTE)
    assert len((await read(db, layer, window)).states) == 2
    for name, limit in (("MAX_STATES", 1), ("MAX_STATE_BYTES", 500)):
        with monkeypatch.context() as patch:
            patch.setattr(spells, name, limit)
            with pytest.raises(TooLarge, check=lambda error: error.code == "timeline.too_many_states"):
                await read(db, layer, window)


async def test_states_are_found_by_indexes(db: Database, publisher: Publisher) -> None:
    """Nothing is read of other layers, nor of a feature more than its own track."""
    for name in ("cfd.units", "cfd.others"):
        layer, owner = await make_layer(db, name)
        await publisher.push(owner, layer, items(*(unit(f"u{number}", note=0) for number in range(400))))
    async with db.begin() as connection:
        await connection.execute(text("ANALYZE"))
    sides: list[Any] = [[-88.0], [41.0], [-87.0], [42.0]]
    moments = [BEGUN + 30 * MINUTE, BEGUN + 90 * MINUTE, BEGUN]
    async with db.connect() as connection:
        raw = await driver(connection)
        await raw.execute("SET enable_seqscan = off")
        plan = await raw.fetch(f"EXPLAIN {STATES}", layer.id, 9, *sides, *moments, 100, 1_000)
    assert not [line[0] for line in plan if "Seq Scan on" in line[0]]
