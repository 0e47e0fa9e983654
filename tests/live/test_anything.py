"""Design rule 4 over the whole walk: two processes, real sockets, a real database, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from layers.errors import NotFound
from tests.conftest import Serving
from tests.live.client_model import ClientModel
from tests.live.conftest import Town, feature, soon, zone
from tests.live.dialogue import Dialogue, dialogue, truth
from tests.live.test_stream import terminate

CITY = {"bbox": [-87.9, 41.6, -87.4, 42.1], "zoom": 10}
NORTH = {"bbox": [-87.7, 41.9, -87.6, 42.0], "zoom": 13}
FIJI = {"bbox": [179.0, -19.0, -179.0, -16.0], "zoom": 8}
VIEWS: list[dict[str, Any] | None] = [None, CITY, NORTH, FIJI]
LATER_S = 30.0


class Someone:
    """A viewer who looks about, loses the connection, and comes back to either process."""

    def __init__(self, servers: list[Serving], key: str, chance: random.Random, *, packed: bool) -> None:
        self.servers, self.key, self.chance, self.packed = servers, key, chance, packed
        self.model = ClientModel()
        self.view: dict[str, Any] | None = None
        self.number = 0
        self._open = AsyncExitStack()
        self.talk: Dialogue

    async def come(self) -> None:
        """Connect, with cursors where they are good for the view."""
        if self.model.view != self.number:
            self.model.forget()
        server = self.chance.choice(self.servers)
        while True:
            try:
                opening = dialogue(server.ws_url, self.key, self.model, packed=self.packed)
                self.talk = await self._open.enter_async_context(opening)
                break
            except InvalidStatus as refused:
                if refused.response.status_code != 503:  # 503: the database was just lost.
                    raise
                await asyncio.sleep(0.1)
        self.number += 1
        since = {name: self.model.cursors[name] for name in self.model.layers}
        await self.talk.say("subscribe", view=self.view, n=self.number, since=since)

    async def go(self) -> None:
        await self._open.aclose()

    async def look(self) -> None:
        self.view, self.number = self.chance.choice(VIEWS), self.number + 1
        await self.talk.say("view", view=self.view, n=self.number)

    async def holds(self, expected: dict[str, Any]) -> None:
        """Wait until the viewer holds exactly this."""
        try:
            await self.talk.until(lambda model: model.layers == expected)
        except TimeoutError:
            assert self.model.layers == expected
            raise


class Havoc:
    """Everything that may happen, in an order drawn from a seed."""

    def __init__(self, town: Town, people: list[Someone], chance: random.Random) -> None:
        self.town, self.people, self.chance = town, people, chance
        self.shared = {"fire.units", "fire.zones"}

    async def again(self, act: Any, *arguments: Any) -> None:
        """As an agency does: once more if the database was just lost."""
        async with asyncio.timeout(LATER_S):
            while True:
                try:
                    await act(*arguments)
                    return
                except NotFound:
                    return
                except Exception:  # noqa: BLE001 - connections are cut on purpose; any error is fair
                    await asyncio.sleep(0.05)

    def place(self) -> tuple[float, float]:
        if self.chance.random() < 0.2:
            return self.chance.choice([179.9, -179.9]), self.chance.uniform(-18.5, -16.5)
        return self.chance.uniform(-88.0, -87.4), self.chance.uniform(41.6, 42.2)

    async def put(self) -> None:
        units = [
            feature(
                f"u{self.chance.randrange(30)}",
                *self.place(),
                callsign="Engine",
                heading_deg=self.chance.randrange(360),
            )
            for _ in range(self.chance.randrange(1, 12))
        ]
        await self.again(self.town.put, self.town.units, *{unit["id"]: unit for unit in units}.values())

    async def put_zone(self) -> None:
        lng, lat = self.place()
        square = zone(f"z{self.chance.randrange(8)}", min(lng, 179.0), lat, self.chance.uniform(0.01, 0.5))
        await self.again(self.town.put, self.town.zones, square)

    async def put_briefly(self) -> None:
        unit = feature(f"u{self.chance.randrange(30)}", *self.place(), expires_at=soon(0.5))
        await self.again(self.town.put, self.town.units, unit)

    async def remove(self) -> None:
        await self.again(self.town.remove, self.town.units, f"u{self.chance.randrange(30)}")

    async def share_or_not(self) -> None:
        layer = self.chance.choice([self.town.units, self.town.zones])
        if layer.name in self.shared:
            self.shared.discard(layer.name)
            await self.again(self.town.unshare, layer, "all")
        else:
            self.shared.add(layer.name)
            await self.again(self.town.share, layer, "all")

    async def look(self) -> None:
        await self.chance.choice(self.people).look()

    async def lose_connection(self) -> None:
        someone = self.chance.choice(self.people)
        await someone.go()
        await self.put()
        await someone.come()

    async def lose_database(self) -> None:
        await self.again(terminate, self.town, "true")

    async def lose_doorbell(self) -> None:
        await self.again(terminate, self.town, "application_name = 'cop doorbell'")

    async def rest(self) -> None:
        await asyncio.sleep(self.chance.uniform(0, 0.4))

    async def expected(self, someone: Someone) -> dict[str, Any]:
        """What a fresh subscription would give, straight from the database."""
        layers = (self.town.units, self.town.zones, self.town.tiles)
        return {
            layer.name: await truth(self.town.db, layer, someone.view)
            for layer in layers
            if layer.name in self.shared or someone.key == self.town.fire_key
        }

    async def some(self, steps: int) -> None:
        often = [self.put] * 6 + [self.put_zone, self.put_briefly, self.remove, self.look, self.rest] * 2
        seldom = [self.share_or_not, self.lose_connection, self.lose_database, self.lose_doorbell]
        for _ in range(steps):
            await self.chance.choice(often + seldom)()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_every_viewer_ends_with_a_fresh_snapshot(server, second_server, town, seed):
    chance = random.Random(seed)
    servers = [server, second_server]
    people = [
        Someone(servers, key, chance, packed=packed)
        for packed in (False, True)
        for key in (town.fire_key, town.police_key)
    ]
    for someone in people:
        await someone.come()
    havoc = Havoc(town, people, chance)
    try:
        await havoc.some(60)
        await asyncio.sleep(2.5)  # What was put briefly expires, and the sweep comes by.
        for someone in people:
            await someone.holds(await havoc.expected(someone))
    finally:
        for someone in people:
            await someone.go()
    assert not any(someone.model.errors for someone in people)
