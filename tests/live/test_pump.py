"""The pump alone, round by round, on a real database: policy before data, and logs that are not what they were."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import text as sql

from cop.live import wire
from cop.live.hub import Hub
from cop.live.pump import Pump
from cop.live.session import Pass
from layers.credentials import hash_of, identify, revoke
from layers.database import Database
from layers.directory import add_layer, share
from layers.model import PUBLIC
from tests.bench.service import free_port
from tests.live.client_model import ClientModel
from tests.live.conftest import Town, feature, zone


class Process:
    """A hub and a pump that reads only when told to, and one viewer."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.now = 1_800_000_000_000
        self.hub = Hub(clock=lambda: self.now)
        self.pump = Pump(town.db, self.hub, town.db.url)
        self.model = ClientModel()

    async def watch(self, secret: str, **subscription: object) -> None:
        async with self.town.db.connect() as connection:
            standing = await identify(connection, secret)
        self.session = self.hub.join(
            Pass(standing.viewer, hash_of(secret), policy_revision=standing.policy_revision)
        )
        self.say("subscribe", **subscription)

    def say(self, type_: str, **members: object) -> None:
        self.session.receive(json.dumps({"type": type_} | members))

    async def round(self) -> ClientModel:
        """One reading, one tick, and all that it brings the viewer."""
        await self.pump.read()
        self.now += 250
        self.hub.tick()
        while (message := self.session.take()) is not None:
            self.model.apply(wire.whole(message))
        return self.model


@pytest.fixture
async def process(town: Town) -> Process:
    process = Process(town)
    await process.watch(town.police_key)
    await process.round()
    return process


async def test_a_pump_without_a_database_ticks_on_says_so_and_stops_when_told():
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    hub, database = Hub(tick_ms=20), Database(url)
    pump = Pump(database, hub, url)
    session, ticked = hub.join(Pass(PUBLIC)), asyncio.Event()
    session.tick = lambda *_, **__: ticked.set()  # type: ignore[method-assign]
    async with pump.running(), asyncio.timeout(5):
        await ticked.wait()
        assert not pump.connected
        assert not pump.bell_connected
    await database.dispose()


async def test_what_is_published_after_an_unshare_is_not_sent_though_both_are_read_at_once(process, town):
    await town.put(town.units, feature("known"))
    assert (await process.round()).layers["fire.units"].keys() == {"known"}
    await town.unshare(town.units, "all")
    await town.put(town.units, feature("secret"))
    assert "fire.units" not in (await process.round()).layers
    assert ("put", "secret") not in process.model.rows


async def test_a_revoked_key_is_noticed_in_the_round_that_reads_the_policy(town):
    process = Process(town)
    await process.watch(town.fire_key)
    await process.round()
    async with town.db.begin() as connection:
        await revoke(connection, town.fire_prefix)
    await process.pump.read()
    assert process.session.closing[0] == 4401


async def test_a_log_that_no_longer_holds_what_is_needed_is_answered_by_a_reset(process, town):
    for number in range(4):
        await town.put(town.units, feature(f"u{number}"))
    async with town.db.begin() as connection:
        await connection.execute(sql("DELETE FROM change WHERE revision <= 2"))
    resets = process.model.resets
    assert len((await process.round()).layers["fire.units"]) == 4
    assert process.model.resets == resets + 1


async def test_a_log_that_was_restarted_is_answered_by_a_reset(process, town):
    await town.put(town.units, feature("old"))
    await process.round()
    async with town.db.begin() as connection:
        await connection.execute(
            sql("UPDATE layer SET epoch = gen_random_uuid(), revision = 0, features = 0")
        )
        await connection.execute(sql("DELETE FROM feature"))
        await connection.execute(sql("DELETE FROM change"))
    await town.put(town.units, feature("new"))
    assert (await process.round()).layers["fire.units"].keys() == {"new"}


async def test_a_layer_made_later_comes_by_itself(process, town):
    async with town.db.begin() as connection:
        late = await add_layer(connection, "fire.late", kind="zones")
        await share(connection, late.name, "all")
    await town.put(late, zone("z1", -87.7, 41.8))
    await process.round()
    assert (await process.round()).layers["fire.late"].keys() == {"z1"}


async def test_a_process_that_was_restarted_resumes_those_who_come_back(process, town):
    await town.put(town.units, feature("stays"), feature("goes"), feature("changes"))
    await process.round()
    await town.remove(town.units, "goes")
    await town.put(town.units, feature("changes", callsign="E2"))
    restarted = Process(town)
    await restarted.pump.read()
    restarted.model = process.model
    restarted.model.rows.clear()
    await restarted.watch(town.police_key, since=process.model.cursors)
    await restarted.round()
    assert sorted(restarted.model.rows) == [("deleted", "goes"), ("put", "changes")]


async def test_more_changes_than_one_batch_are_folded_in_whole(process, town, monkeypatch):
    monkeypatch.setattr("cop.live.pump.BATCH", 3)
    await town.put(town.units, *(feature(f"u{number}") for number in range(10)))
    assert len((await process.round()).layers["fire.units"]) == 10
