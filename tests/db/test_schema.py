"""The schema: tables.py and the migrations agree; several processes may migrate; a newer schema is refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from cop.embedded.cluster import Cluster
from layers import directory, log, tables
from layers.database import Database, engine_url, migrate, newest_schema, read_schema
from layers.errors import LogTruncated, Unavailable
from layers.publish import Publisher
from tests.db.test_publish import items, make_layer, unit


def differences(connection: Connection) -> list[object]:
    def ours(_object: object, name: str | None, kind: str, reflected: bool, _to: object) -> bool:
        return not (
            kind == "table" and reflected and name in {"spatial_ref_sys", "change_other", "alembic_version"}
        )

    context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
    return list(compare_metadata(context, tables.metadata))


async def test_tables_and_migrations_agree(db: Database) -> None:
    async with db.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_several_processes_may_migrate_at_once(cluster: Cluster) -> None:
    url = cluster.create_database("migrated_at_once")
    await asyncio.gather(*(migrate(url) for _ in range(4)))
    database = Database(url)
    async with database.connect() as connection:
        assert await read_schema(connection) == newest_schema()
    await database.dispose()


async def test_a_newer_schema_is_refused(db: Database) -> None:
    async with db.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="9999, which is newer"):
        await migrate(db.url)


def test_a_database_of_another_make_is_refused() -> None:
    with pytest.raises(Unavailable, match="mysql"):
        engine_url("mysql://localhost/cop")


async def test_a_reader_behind_the_retention_is_told(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    for number in range(3):
        await publisher.push(owner, layer, items(unit(f"E{number}")))
    await publisher.close()
    async with db.begin() as connection:
        assert len(await log.read_after(connection, layer.id, 1)) == 2
        await connection.execute(text("DELETE FROM change WHERE revision <= 2"))
        assert [change.revision for change in await log.read_after(connection, layer.id, 2)] == [3]
        with pytest.raises(LogTruncated):
            await log.read_after(connection, layer.id, 1)
        await connection.execute(text("DELETE FROM change"))
        with pytest.raises(LogTruncated):
            await log.read_after(connection, layer.id, 2)


async def test_partitions_take_over_from_the_default_without_losing_a_row(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    await publisher.push(owner, layer, items(unit("E1"), unit("E2")))
    await publisher.close()
    now = datetime.now(UTC)
    async with db.begin() as connection:
        await log.keep_partitions(connection, today=now, history_days=30)
        await log.keep_partitions(connection, today=now, history_days=30)
        assert await connection.scalar(text("SELECT count(*) FROM change_other")) == 0
        assert len(await log.read_after(connection, layer.id, 0)) == 2
        await log.keep_partitions(connection, today=now + timedelta(days=32), history_days=30)
        assert len(await log.read_after(connection, layer.id, 0)) == 2, "a wrong clock drops nothing"
        await connection.execute(text("UPDATE layer SET heard_at = heard_at + interval '32 days'"))
        await log.keep_partitions(connection, today=now + timedelta(days=32), history_days=30)
        assert len(await log.read_after(connection, layer.id, 2)) == 0
        with pytest.raises(LogTruncated):
            await log.read_after(connection, layer.id, 0)


async def test_the_doorbell_is_heard_after_a_commit(db: Database) -> None:
    layer, owner = await make_layer(db)
    publisher = Publisher(db)
    async with log.Doorbell(db.url) as bell:
        assert await bell.wait(1), "whatever came before we listened counts as a ring"
        assert not await bell.wait(0.05)
        await publisher.push(owner, layer, items(unit("E1")))
        assert await bell.wait(5)
    await publisher.close()


async def test_heads_carry_the_policy(db: Database) -> None:
    layer, _ = await make_layer(db)
    async with db.connect() as connection:
        before = await log.read_heads(connection)
    async with db.begin() as connection:
        await directory.share(connection, layer.name, "all")
    async with db.connect() as connection:
        after = await log.read_heads(connection)
    assert after.policy_revision > before.policy_revision
    assert after.layers[layer.id].revision == 0
