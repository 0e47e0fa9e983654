"""Upkeep: it runs beside writers without losing a change, and takes only what has had its day."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from cop.upkeep import tidy
from layers import log
from layers.database import Database
from layers.publish import Publisher
from tests.db.test_publish import items, make_layer, unit


async def test_partitions_are_made_while_pushes_go_on(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    done = asyncio.Event()

    async def push() -> int:
        number = 0
        while not done.is_set():
            number += 1
            await publisher.push(owner, layer, items(unit("E1", lng=-87 - number / 10_000)))
        return number

    pushing = asyncio.create_task(push())
    async with log.Doorbell(db.url) as bell:
        await bell.wait(1)
        await bell.wait(5)
    await tidy(db, history_days=30)
    async with log.Doorbell(db.url) as bell:
        await bell.wait(1)
        await bell.wait(5)
    done.set()
    pushed = await pushing
    await publisher.close()
    async with db.connect() as connection:
        assert len(await log.read_after(connection, layer.id, 0)) == pushed
        assert await connection.scalar(text("SELECT count(*) FROM change_other")) == 0


async def test_only_what_is_old_is_pruned(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    await publisher.push(owner, layer, items(unit("E1"), unit("E2")))
    await publisher.remove(owner, layer, ["E1", "E2"])
    await publisher.close()
    async with db.begin() as connection:
        old = "UPDATE tombstone SET gone_at = now() - interval '31 days' WHERE feature_id = 'E1'"
        await connection.execute(text(old))
    await tidy(db, history_days=30)
    async with db.connect() as connection:
        assert list(await connection.scalars(text("SELECT feature_id FROM tombstone"))) == ["E2"]
