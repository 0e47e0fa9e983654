"""Peers that do not take what they are sent: conflated, then cut off, and nobody else is delayed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import AsyncExitStack
from statistics import median

import httpx
import pytest

from cop.live.session import SEND_DEADLINE_MS
from tests.conftest import Serving
from tests.live.client_model import ClientModel
from tests.live.conftest import Town, feature
from tests.live.dialogue import Dialogue, dialogue, truth
from tests.live.peers import LAYER, MEGABYTE, TEXT, Host, Keys, frame

SUBSCRIBE = frame(TEXT, json.dumps({"type": "subscribe", "layers": [LAYER]}).encode())


def big(said: str) -> list[dict]:
    """Some 1 MB of news about 200 units."""
    return [feature(f"b{each}", callsign="x" * 1_000, said=said, more="x" * 4_000) for each in range(200)]


async def lag(agency: httpx.AsyncClient, quick: Dialogue) -> float:
    """Publish 1 MB; seconds from its acknowledgement until *quick* holds all of it."""
    said = str(time.monotonic())
    body = {"type": "FeatureCollection", "features": big(said)}
    (await agency.post(f"/collections/{LAYER}/items", json=body)).raise_for_status()
    pushed_at = time.monotonic()
    await quick.until(lambda model: said in model.layers[LAYER].get("b199", ("", ""))[1])
    return time.monotonic() - pushed_at


@pytest.mark.slow
async def test_who_never_reads_is_conflated_then_cut_off_and_nobody_else_is_delayed(host: Host):
    """Some 1 MB a round is published while 20 viewers read none of it."""
    async with AsyncExitStack() as stack:
        agency = await stack.enter_async_context(host.agency())
        quick = await stack.enter_async_context(dialogue(host.ws_url, host.keys.view))
        await quick.say("subscribe", layers=[LAYER])
        await quick.until(lambda model: LAYER in model.layers)
        alone = [await lag(agency, quick) for _ in range(20)]
        slow = [
            await stack.enter_async_context(
                host.socket(f"Authorization: Bearer {host.keys.view}", reads=False)
            )
            for _ in range(20)
        ]
        for peer in slow:
            await peer.say(SUBSCRIBE)
        before, began, lags = host.memory(), time.monotonic(), []
        while host.connections() > 8:
            assert time.monotonic() - began < SEND_DEADLINE_MS / 1000 + 40
            lags.append(await lag(agency, quick))
            await asyncio.sleep(0.2)
        assert median(lags) < 2 * median(alone)
        assert max(lags) < max(alone) + 1
        assert (host.memory() - before) / MEGABYTE < 150
        codes = {await peer.close_code() for peer in slow}
        assert codes == {None}, "no code gets out to whoever reads nothing"


async def test_who_reads_again_in_time_is_told_1013_and_goes_on_from_its_cursor(
    server: Serving, town: Town, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cop.live.session.SEND_DEADLINE_MS", 1_000)
    host = Host(os.getpid(), int(server.url.rpartition(":")[2]), Keys("", town.fire_key))
    model = ClientModel()
    await town.put(town.units, feature("first"))
    async with host.socket(f"Authorization: Bearer {town.fire_key}", reads=False) as peer:
        (session,) = server.app.state.hub.sessions
        await peer.say(SUBSCRIBE)
        model.apply(json.dumps(await peer.message("frame")))
        while session.closing is None:
            await town.put(town.units, *big(str(time.monotonic())))
            await asyncio.sleep(0.05)
        assert await peer.close_code(model.apply) == 1013
    expected = await truth(town.db, town.units)
    assert model.layers[LAYER] != expected
    async with dialogue(server.ws_url, town.fire_key, model) as back:
        await back.say("subscribe", layers=[LAYER], since=model.cursors)
        await back.until(lambda model: model.layers[LAYER] == expected)
    assert model.resets == 1  # The one that it began with.
