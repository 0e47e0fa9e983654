"""What goes wrong around a push stays its own: other layers, other pushes, and what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from layers.database import Database
from layers.errors import NotFound, PushRejected, TooLarge, Unavailable
from layers.model import Layer, LayerRules
from layers.publish import Idempotency, Mode, Publisher
from tests.db.test_publish import changes, items, make_layer, picture, unit


@pytest.fixture
async def publisher(db: Database) -> AsyncIterator[Publisher]:
    made = Publisher(db)
    yield made
    await made.close()


@asynccontextmanager
async def locked(db: Database, layer: Layer) -> AsyncIterator[None]:
    """Somebody else holds the layer's lock, as a long stream does."""
    async with db.begin() as connection:
        await connection.execute(text("SELECT FROM layer WHERE id = :id FOR UPDATE"), {"id": layer.id})
        yield


async def stream(*features: dict[str, Any]) -> AsyncIterator[list[tuple[str, object]]]:
    yield [(f"/{number}", feature) for number, feature in enumerate(features)]


async def test_streams_that_wait_for_a_busy_layer_leave_connections_for_the_rest(
    db: Database, publisher: Publisher
) -> None:
    busy, owner = await make_layer(db)
    free, _ = await make_layer(db, "cfd.free")
    async with locked(db, busy):
        waiting = [
            asyncio.create_task(publisher.push_stream(owner, busy, stream(unit(f"E{n}")))) for n in range(30)
        ]
        async with asyncio.timeout(5):
            assert (await publisher.push(owner, free, items(unit("E1")))).accepted == 1
    assert sum(receipt.accepted for receipt in await asyncio.gather(*waiting)) == 30


async def test_a_busy_layer_does_not_keep_another_from_expiring(db: Database, publisher: Publisher) -> None:
    busy, owner = await make_layer(db, rules=LayerRules(expire_after_s=1))
    other, _ = await make_layer(db, "cfd.other", rules=LayerRules(expire_after_s=1))
    for layer in (busy, other):
        await publisher.push(owner, layer, items(unit("E1")))
    async with locked(db, busy), asyncio.timeout(5):
        while not await publisher.sweep():  # noqa: ASYNC110 - time passing sets no event
            await asyncio.sleep(0.05)
    assert await picture(db, other) == {}
    assert set(await picture(db, busy)) == {"E1"}


async def test_a_connection_lost_at_the_commit_is_not_tried_again(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1")))
    writing = db.writing

    @asynccontextmanager
    async def cut_after_the_commit() -> AsyncIterator[asyncpg.Connection]:
        async with writing() as raw:
            yield raw
        raise ConnectionResetError

    monkeypatch.setattr(db, "writing", cut_after_the_commit)
    outcomes = await asyncio.gather(
        publisher.remove(owner, layer, ["E1"]),
        publisher.push(owner, layer, items(unit("E2"))),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [ConnectionResetError] * 2, "not NotFound: nobody knows"


async def test_too_much_waiting_is_told_to_come_back(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layers.publish.MAX_WAITING", 3)
    layer, owner = await make_layer(db)
    async with locked(db, layer):
        first = asyncio.create_task(publisher.push(owner, layer, items(unit("E1"))))
        await asyncio.sleep(0.1)  # it is at the lock now, and the lane behind it empty
        second = asyncio.create_task(publisher.push(owner, layer, items(unit("E2"), unit("E3"))))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="too much waiting"):
            await publisher.push(owner, layer, items(unit("E4"), unit("E5")))
    assert (await first).accepted + (await second).accepted == 3


async def test_a_long_stream_waits_its_turn_instead_of_being_sent_away(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layers.publish.MAX_WAITING", 5)
    monkeypatch.setattr("layers.publish.GROUP", 2)
    layer, owner = await make_layer(db)
    async with locked(db, layer):
        first = asyncio.create_task(publisher.push(owner, layer, items(unit("E0"))))
        await asyncio.sleep(0.1)
        many = stream(*(unit(f"U{number}") for number in range(50)))
        second = asyncio.create_task(publisher.push_stream(owner, layer, many))
        await asyncio.sleep(0.1)
    assert ((await first).accepted, (await second).accepted) == (1, 50)


async def test_a_sender_who_left_is_not_written_for(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    async with locked(db, layer):
        staying = asyncio.create_task(publisher.push(owner, layer, items(unit("E1"))))
        await asyncio.sleep(0.1)
        leaving = asyncio.create_task(publisher.push_stream(owner, layer, stream(unit("E2"))))
        await asyncio.sleep(0.1)
        leaving.cancel()
        later = asyncio.create_task(publisher.push(owner, layer, items(unit("E3"))))
    await asyncio.gather(staying, later)
    assert set(await picture(db, layer)) == {"E1", "E3"}


async def test_a_refused_patch_is_counted_once_however_often_it_was_tried(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1")))
    monkeypatch.setattr("layers.commit.MAX_LIVE_FEATURES", 1)
    patch = {"type": "Feature", "id": "E9", "properties": {}}
    refused, full = await asyncio.gather(
        publisher.push(owner, layer, items(patch), mode=Mode.PATCH),
        publisher.push(owner, layer, items(unit("E2"))),
        return_exceptions=True,
    )
    assert isinstance(full, TooLarge)
    assert isinstance(refused, PushRejected)
    assert len(refused.rejections) == 1


async def test_a_full_layer_can_be_replaced(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layers.commit.MAX_LIVE_FEATURES", 2)
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1"), unit("E2")))
    receipt = await publisher.push(owner, layer, items(unit("E3"), unit("E4")), mode=Mode.REPLACE)
    assert (receipt.created, receipt.gone) == (2, 2)


async def test_a_replacement_does_not_take_away_what_it_named_wrongly(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    await publisher.push(owner, layer, items(unit("E1"), unit("E2"), unit("E3")))
    bad = items(unit("E1", speed_mps="fast"), unit("E2"))
    receipt = await publisher.push(owner, layer, bad, mode=Mode.REPLACE, lenient=True)
    assert (receipt.gone, len(receipt.rejected)) == (1, 1)
    assert set(await picture(db, layer)) == {"E1", "E2"}
    nameless = items({"type": "Feature"}, unit("E2"))
    with pytest.raises(PushRejected):
        await publisher.push(owner, layer, nameless, mode=Mode.REPLACE, lenient=True)


async def test_a_lenient_receipt_with_a_nul_is_kept_and_told_again(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    pushed = items(unit("E1"), unit("a\0b"), unit("E2", **{"x\0y": "\0"}))
    key = Idempotency("k", b"a")
    first = await publisher.push(owner, layer, pushed, lenient=True, idempotency=key)
    assert (first.accepted, len(first.rejected)) == (1, 2)
    assert await publisher.push(owner, layer, pushed, lenient=True, idempotency=key) == first


async def test_a_unit_kept_alive_by_patches_does_not_expire_under_them(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db, rules=LayerRules(expire_after_s=7200))
    await publisher.push(owner, layer, items(unit("E1")))
    before = (await picture(db, layer))["E1"]
    newer = {"observed_at": (before.observed_at + timedelta(seconds=30)).isoformat()}
    patch = {"type": "Feature", "id": "E1", "properties": newer}
    await publisher.push(owner, layer, items(patch), mode=Mode.PATCH)
    after = (await picture(db, layer))["E1"]
    assert after.expires_at == after.observed_at + timedelta(seconds=7200)


async def test_an_older_observation_does_not_come_back_after_its_feature_expired(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    soon = unit("E1", at_s=3000)
    soon["properties"]["expires_at"] = ((await now(db)) + timedelta(seconds=0.5)).isoformat()
    await publisher.push(owner, layer, items(soon))
    async with asyncio.timeout(5):
        while not await publisher.sweep():  # noqa: ASYNC110 - time passing sets no event
            await asyncio.sleep(0.05)
    assert (await publisher.push(owner, layer, items(unit("E1", at_s=10)))).late == 1
    assert (await publisher.push(owner, layer, items(unit("E1", at_s=3001)))).created == 1


async def test_a_fast_clock_does_not_make_what_comes_without_a_time_late(
    db: Database, publisher: Publisher
) -> None:
    layer, owner = await make_layer(db)
    ahead = unit("E1")
    ahead["properties"]["observed_at"] = ((await now(db)) + timedelta(seconds=50)).isoformat()
    await publisher.push(owner, layer, items(ahead))
    assert (await publisher.push(owner, layer, items(unit("E1", lng=-87.5)))).accepted == 1


async def test_a_push_with_repeated_ids_has_a_range_of_its_own(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    pushes = [items(*(unit("A", at_s=10 * n + k) for k in range(3)), unit(f"B{n}")) for n in range(4)]
    receipts = await asyncio.gather(*(publisher.push(owner, layer, each) for each in pushes))
    ranges = [(receipt.first_revision or 0, receipt.last_revision or 0) for receipt in receipts]
    assert sorted(ranges) == [(1, 4), (5, 8), (9, 12), (13, 16)]
    assert [change.revision for change in await changes(db, layer)] == list(range(1, 17))


async def test_patching_a_name_keeps_hexes_and_quality_of_an_untouched_shape(
    db: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, owner = await make_layer(db, "cfd.cover", kind="coverage", rules=LayerRules(repair=True))
    bow_tie = [[[0, 0], [0.1, 0.1], [0.1, 0], [0, 0.1], [0, 0]]]
    shape = {"type": "Feature", "id": "C1", "geometry": {"type": "Polygon", "coordinates": bow_tie}}
    await publisher.push(owner, layer, items(shape))
    monkeypatch.setattr("layers.commit.coverage_of", None)
    patch = {"type": "Feature", "id": "C1", "properties": {"name": "North"}}
    assert (await publisher.push(owner, layer, items(patch), mode=Mode.PATCH)).accepted == 1
    assert (await picture(db, layer))["C1"].properties == '{"name": "North", "quality": ["repaired"]}'
    assert await stored_hexes(db) == ["C1"]


async def test_the_hexes_of_what_is_gone_are_gone(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db, "cfd.cover", kind="coverage")
    ring = [[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0]]]
    for id in ("C1", "C2"):
        shape = {"type": "Feature", "id": id, "geometry": {"type": "Polygon", "coordinates": ring}}
        await publisher.push(owner, layer, items(shape))
    await publisher.remove(owner, layer, ["C1"])
    assert await stored_hexes(db) == ["C2"]


async def test_a_lane_that_was_stopped_takes_the_next_push(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    async with locked(db, layer):
        cut = asyncio.create_task(publisher.push(owner, layer, items(unit("E1"))))
        await asyncio.sleep(0.1)
        behind = asyncio.create_task(publisher.push(owner, layer, items(unit("E2"))))
        await asyncio.sleep(0)
        for task in list(publisher._tasks):
            task.cancel()
        outcomes = await asyncio.gather(cut, behind, return_exceptions=True)
    assert all(isinstance(outcome, BaseException) for outcome in outcomes)
    async with asyncio.timeout(5):
        assert (await publisher.push(owner, layer, items(unit("E3")))).created == 1


async def test_deleting_what_another_agency_owns_is_not_found(db: Database, publisher: Publisher) -> None:
    layer, owner = await make_layer(db)
    other, their = await make_layer(db, "ems.units")
    await publisher.push(owner, layer, items(unit("E1")))
    with pytest.raises(NotFound):
        await publisher.remove(their, other, ["E1"])
    assert set(await picture(db, layer)) == {"E1"}


async def now(db: Database) -> Any:
    async with db.connect() as connection:
        return (await connection.execute(text("SELECT now()"))).scalar_one()


async def stored_hexes(db: Database) -> list[str]:
    async with db.connect() as connection:
        return list(await connection.scalars(text("SELECT feature_id FROM coverage ORDER BY 1")))
