"""The stream's door remembers credentials: nobody outlives a revocation, and who comes back costs no SQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy import text as sql
from websockets.exceptions import InvalidStatus

from cop.api import standings as standings_module
from cop.api.standings import OUT_OF_REACH, Standings
from cop.live.hub import Hub
from cop.live.pump import Pump
from cop.live.session import Pass, Session
from layers.credentials import create_key, hash_of, identify, revoke, shown
from layers.errors import Unauthenticated
from layers.model import Scope
from tests.live.conftest import Town
from tests.live.dialogue import dialogue

LONG_AGO_S = float("-inf")


class Door:
    """A hub whose pump reads only when told to, and the door to it; counts the statements of the latter."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.hub = Hub()
        self.pump = Pump(town.db, self.hub, town.db.url)
        self.standings = Standings(town.db, self.hub)
        self.statements = 0
        self.asked = asyncio.Event()
        event.listen(town.db.engine.sync_engine, "before_cursor_execute", self._count)

    def _count(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "credential.hash" in statement:
            self.statements += 1
            self.asked.set()

    async def enter(self, secret: str) -> Session:
        standing = await self.standings.of(secret)
        return self.hub.join(Pass(standing.viewer, hash_of(secret), policy_revision=standing.policy_revision))

    async def revoke(self, secret: str) -> None:
        async with self.town.db.begin() as connection:
            await revoke(connection, shown(secret))

    async def keys(self, count: int) -> list[str]:
        async with self.town.db.begin() as connection:
            return [await create_key(connection, "police", [Scope.VIEW]) for _ in range(count)]


@pytest.fixture
async def door(town: Town, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(standings_module, "TRUST_S", 60.0)  # However slow the machine is.
    door = Door(town)
    await door.pump.read()
    return door


async def test_a_revoked_key_is_refused_once_the_policy_has_been_heard_of(door, town):
    await door.standings.of(town.fire_key)
    await door.revoke(town.fire_key)
    await door.pump.read()
    with pytest.raises(Unauthenticated):
        await door.standings.of(town.fire_key)


async def test_a_revoked_key_is_refused_when_nothing_was_heard_of_the_policy_for_a_while(door, town):
    await door.standings.of(town.fire_key)
    await door.revoke(town.fire_key)
    door.hub.policy_asked_s = LONG_AGO_S
    with pytest.raises(Unauthenticated):
        await door.standings.of(town.fire_key)


async def test_who_gets_in_between_a_revocation_and_its_being_heard_of_is_out_in_the_next_round(door, town):
    await door.standings.of(town.fire_key)
    await door.revoke(town.fire_key)
    session = await door.enter(town.fire_key)
    await door.pump.read()
    assert session.closing is not None
    assert session.closing[0] == 4401


async def test_nobody_gets_in_by_an_older_policy_while_the_pump_asks_who_may_stay(door, town, monkeypatch):
    """The moment in which the pump has read the policy, but not yet put it in force."""
    staying = await door.enter(town.police_key)
    await door.standings.of(town.fire_key)
    await door.revoke(town.fire_key)
    refused = []

    async def meanwhile(connection: Any, hashes: set[bytes]) -> set[bytes]:
        with pytest.raises(Unauthenticated) as caught:
            await door.enter(town.fire_key)
        refused.append(caught.value)
        return hashes

    monkeypatch.setattr("cop.live.pump.still_valid", meanwhile)
    await door.pump.read()
    assert len(refused) == 1
    assert staying.closing is None


async def test_a_key_whose_time_is_up_is_refused_though_the_policy_is_the_same(door, town):
    async with town.db.begin() as connection:
        ends_at = datetime.now(UTC) + timedelta(hours=1)
        secret = await create_key(connection, "fire", [Scope.VIEW], expires_at=ends_at)
    await door.standings.of(secret)
    async with town.db.begin() as connection:  # The hour passes, for the database …
        await connection.execute(
            sql("UPDATE credential SET expires_at = now() WHERE expires_at < now() + '2h'")
        )
    door.hub.clock = lambda: int(ends_at.timestamp() * 1000)  # … and for us.
    with pytest.raises(Unauthenticated):
        await door.standings.of(secret)


async def test_what_a_key_is_worth_is_asked_anew_after_every_change_of_the_policy(door, town):
    before = await door.standings.of(town.fire_key)
    async with town.db.begin() as connection:
        await connection.execute(
            sql("UPDATE credential SET scopes = '{view}' WHERE hash = :hash"),
            {"hash": hash_of(town.fire_key)},
        )
    await town.unshare(town.units, "all")
    await door.pump.read()
    after = await door.standings.of(town.fire_key)
    assert Scope.PUBLISH in before.viewer.scopes
    assert Scope.PUBLISH not in after.viewer.scopes
    assert after.policy_revision == before.policy_revision + 1 == door.hub.policy_revision


async def test_what_is_known_is_worth_nothing_without_a_database(door, town, monkeypatch):
    await door.standings.of(town.fire_key)

    def away() -> None:
        raise ConnectionError

    monkeypatch.setattr(town.db, "connect", away)
    assert await door.standings.of(town.fire_key)
    door.hub.policy_asked_s = LONG_AGO_S
    with pytest.raises(OUT_OF_REACH):
        await door.standings.of(town.fire_key)


async def test_what_is_none_of_our_keys_costs_no_statement(door):
    with pytest.raises(Unauthenticated):
        await door.standings.of("cop_view_nothing")
    assert door.statements == 0


async def test_a_key_is_worth_what_the_database_says_and_is_asked_about_once(door, town):
    first = await door.standings.of(town.fire_key)
    assert [await door.standings.of(town.fire_key) for _ in range(100)] == [first] * 100
    assert door.statements == 1
    async with town.db.connect() as connection:
        assert first == await identify(connection, town.fire_key)


async def test_a_thousand_who_come_back_cost_no_statement_and_a_thousand_strangers_one(door):
    keys = await door.keys(1_000)
    await door.pump.read()
    came = await asyncio.gather(*map(door.standings.of, keys))
    assert len({standing.viewer.name for standing in came}) == 1_000
    assert door.statements == 1
    door.statements = 0
    assert await asyncio.gather(*map(door.standings.of, keys)) == came
    assert door.statements == 0


async def test_when_nothing_was_heard_of_the_policy_all_who_come_share_the_question(door):
    keys = await door.keys(50)
    await door.pump.read()
    await asyncio.gather(*map(door.standings.of, keys))
    door.hub.policy_asked_s, door.statements = LONG_AGO_S, 0
    await asyncio.gather(*map(door.standings.of, keys * 2))
    assert door.statements == 1


async def test_who_comes_while_a_statement_is_under_way_is_told_by_the_next(door, town):
    """What was asked before a revocation says nothing to who comes after it."""
    early = asyncio.create_task(door.standings.of(town.police_key))
    await door.asked.wait()
    assert not early.done()
    await asyncio.gather(early, *(door.standings.of(town.police_key) for _ in range(10)))
    assert door.statements == 2


async def test_who_gives_up_takes_the_answer_from_nobody_else(door, town):
    impatient = asyncio.create_task(door.standings.of(town.fire_key))
    patient = asyncio.create_task(door.standings.of(town.fire_key))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).viewer.agency is not None
    assert impatient.cancelled()


async def test_what_is_remembered_is_bounded_and_the_one_that_came_longest_ago_goes(door, town, monkeypatch):
    monkeypatch.setattr(standings_module, "MOST_KNOWN", 2)
    (other,) = await door.keys(1)
    await door.pump.read()
    for secret in (town.fire_key, town.police_key, town.fire_key, other):
        await door.standings.of(secret)
    assert door.standings._known.keys() == {hash_of(town.fire_key), hash_of(other)}


async def test_keyed_viewers_who_come_back_to_a_served_stream_cost_no_statement(server, town, monkeypatch):
    monkeypatch.setattr(standings_module, "TRUST_S", 60.0)
    asked = []
    engine = server.app.state.database.engine.sync_engine
    for turn in range(2):
        async with dialogue(server.ws_url, town.police_key) as talking:
            await talking.say("subscribe", layers=["fire.units"])
            await talking.until(lambda model: "fire.units" in model.layers)
        if turn == 0:
            event.listen(
                engine,
                "before_cursor_execute",
                lambda *call: asked.append(call[2]) if "hash" in call[2] else None,
            )
    assert asked == []


async def test_a_key_that_is_revoked_does_not_open_the_stream_again(server, town):
    async with dialogue(server.ws_url, town.fire_key) as talking:
        await talking.until(lambda model: model.hello)
        async with town.db.begin() as connection:
            await revoke(connection, town.fire_prefix)
        assert await talking.closed() == 4401
    with pytest.raises(InvalidStatus, match="401"):
        async with dialogue(server.ws_url, town.fire_key):
            pass
