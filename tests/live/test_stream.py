"""The whole walk over a real database and real sockets: what is committed arrives, whatever breaks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import psutil
import pytest
from sqlalchemy import text as sql
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from cop.live.wire import PROTOCOL
from layers.credentials import revoke
from layers.directory import read_policy_revision
from tests.bench.service import served
from tests.live.conftest import feature, soon, zone
from tests.live.dialogue import dialogue, truth

CHICAGO = {"bbox": [-88.0, 41.6, -87.4, 42.1], "zoom": 10}


async def refused(ws_url: str, *, subprotocol: str | None = PROTOCOL, **headers: str) -> tuple[int, str]:
    """The status and code with which the socket is refused."""
    protocols = [subprotocol] if subprotocol else None
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{ws_url}/live", subprotocols=protocols, additional_headers=headers)
    response = caught.value.response
    return response.status_code, response.body.decode()


async def test_another_sites_page_is_refused_before_the_socket_opens(server):
    status, body = await refused(server.ws_url, Origin="https://evil.example")
    assert status == 403
    assert "live.origin" in body


async def test_our_own_page_is_let_in(server):
    async with dialogue(server.ws_url, Origin=server.url) as page:
        await page.until(lambda model: model.hello)


async def test_without_the_subprotocol_there_is_no_stream(server):
    status, body = await refused(server.ws_url, subprotocol=None)
    assert status == 400
    assert "live.subprotocol" in body


@pytest.mark.parametrize("secret", ["nonsense", "cop_view_" + "0" * 36])
async def test_a_bad_credential_is_refused_and_not_taken_for_the_public(server, secret):
    status, body = await refused(server.ws_url, Authorization=f"Bearer {secret}")
    assert status == 401
    assert "unauthenticated" in body
    assert secret not in body


async def test_the_public_sees_nothing_that_is_not_public(server, town):
    async with dialogue(server.ws_url) as public:
        model = await public.until(lambda model: model.hello)
        assert model.hello["layers"] == []


async def test_a_message_that_is_no_json_is_answered_and_the_socket_goes_on(server):
    async with dialogue(server.ws_url) as viewer:
        await viewer.socket.send("{")
        await viewer.say("nonsense")
        await viewer.say("subscribe", view={"bbox": [0, 9, 1, 8]})
        await viewer.say("ping", sent=1)
        model = await viewer.until(lambda model: model.pongs)
        assert model.errors == ["live.json", "live.message", "live.view"]


async def test_a_binary_message_closes_the_socket(server):
    async with dialogue(server.ws_url) as viewer:
        await viewer.socket.send(b"\x00")
        assert await viewer.closed() == 1003


async def test_a_message_that_is_too_large_closes_the_socket(server):
    async with dialogue(server.ws_url) as viewer:
        await viewer.socket.send("x" * 70_000)
        assert await viewer.closed() == 1009


async def test_a_flood_of_messages_closes_the_socket(server):
    async with dialogue(server.ws_url) as viewer:
        for _ in range(100):
            await viewer.say("ping", sent=1)
        assert await viewer.closed() == 1008


async def test_a_subscription_to_a_million_layers_is_refused(server):
    async with dialogue(server.ws_url) as viewer:
        await viewer.say("subscribe", layers=["a.b"] * 5_000)
        assert (await viewer.until(lambda model: model.errors)).errors == ["live.too_many"]


async def test_a_unit_appears_moves_and_disappears(server, town):
    async with dialogue(server.ws_url, town.police_key) as viewer:
        await viewer.say("subscribe", operation="flood", view=CHICAGO)
        await viewer.until(lambda model: model.layers.keys() == {"fire.units", "fire.zones"})
        await town.put(town.units, feature("e1", callsign="E1"))
        await viewer.until(lambda model: "e1" in model.layers["fire.units"])
        await town.put(town.units, feature("e1", -87.7, callsign="E1"))
        await viewer.until(lambda model: model.rows[-1] == ("move", "e1"))
        await town.remove(town.units, "e1")
        await viewer.until(lambda model: model.rows[-1] == ("deleted", "e1"))


async def test_an_expired_unit_leaves(server, town):
    async with dialogue(server.ws_url, town.police_key) as viewer:
        await viewer.say("subscribe")
        await town.put(town.units, feature("e1", expires_at=soon(1)))
        await viewer.until(lambda model: ("expired", "e1") in model.rows)


async def test_what_is_pushed_to_one_process_is_seen_by_the_viewers_of_another(server, second_server, town):
    async with (
        dialogue(server.ws_url, town.fire_key) as one,
        dialogue(second_server.ws_url, town.police_key) as two,
    ):
        for viewer in (one, two):
            await viewer.say("subscribe")
        await town.put(town.units, feature("e1"))
        for viewer in (one, two):
            await viewer.until(lambda model: "e1" in model.layers.get("fire.units", ()))


async def test_a_viewer_who_comes_back_to_another_process_gets_only_what_it_missed(
    server, second_server, town
):
    await town.put(town.units, feature("stays"), feature("goes"))
    async with dialogue(server.ws_url, town.police_key) as viewer:
        await viewer.say("subscribe", view=CHICAGO)
        model = await viewer.until(lambda model: len(model.layers.get("fire.units", ())) == 2)
    await town.remove(town.units, "goes")
    resets, model.rows[:] = model.resets, []
    async with dialogue(second_server.ws_url, town.police_key, model) as viewer:
        await viewer.say("subscribe", view=CHICAGO, since=model.cursors)
        await viewer.until(lambda model: model.layers["fire.units"].keys() == {"stays"})
    assert (model.rows, model.resets) == ([("deleted", "goes")], resets)


async def test_an_unshared_layer_vanishes_and_comes_back_when_shared_again(server, town):
    await town.put(town.units, feature("e1"))
    async with dialogue(server.ws_url, town.police_key) as viewer:
        await viewer.say("subscribe")
        await viewer.until(lambda model: "e1" in model.layers.get("fire.units", ()))
        await town.unshare(town.units, "all")
        await viewer.until(lambda model: "fire.units" not in model.layers)
        assert [layer["id"] for layer in viewer.model.hello["layers"]] == ["fire.zones"]
        await town.share(town.units, "police")
        await viewer.until(lambda model: "e1" in model.layers.get("fire.units", ()))


async def test_a_revoked_key_closes_its_sockets_and_no_others(server, town):
    async with (
        dialogue(server.ws_url, town.fire_key) as fire,
        dialogue(server.ws_url, town.police_key) as police,
    ):
        await fire.until(lambda model: model.hello)
        async with town.db.begin() as connection:
            await revoke(connection, town.fire_prefix)
        assert await fire.closed() == 4401
        await police.say("ping", sent=1)
        await police.until(lambda model: model.pongs)


async def test_a_tiled_layer_says_only_where_it_stands(server, town):
    async with dialogue(server.ws_url, town.fire_key) as viewer:
        await viewer.say("subscribe", layers=["fire.roads"])
        await viewer.until(lambda model: "fire.roads" in model.cursors)
        await town.put(town.tiles, zone("z1", -87.7, 41.8))
        await viewer.until(lambda model: model.cursors["fire.roads"].endswith(":1"))
        assert viewer.model.rows == []


async def test_without_a_doorbell_polling_brings_everything(server, town):
    async with dialogue(server.ws_url, town.police_key) as viewer:
        await viewer.say("subscribe")
        await viewer.until(lambda model: "fire.units" in model.layers)
        silencing = asyncio.create_task(hang_up_forever(town))
        try:
            await town.put(town.units, feature("e1"))
            await viewer.until(lambda model: "e1" in model.layers["fire.units"])
        finally:
            silencing.cancel()


async def hang_up_forever(town) -> None:
    while True:
        await terminate(town, "application_name = 'cop doorbell'")
        await asyncio.sleep(0.01)


async def terminate(town, which: str) -> None:
    """End the backends of this database for which *which* holds, except the one that does it."""
    async with town.db.connect() as connection:
        await connection.execute(
            sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}"
            )
        )


async def test_when_the_database_is_lost_the_socket_stays_and_goes_on_afterwards(server, town):
    async with dialogue(server.ws_url, town.police_key) as viewer:
        await viewer.say("subscribe")
        await viewer.until(lambda model: "fire.units" in model.layers)
        for round_ in range(3):
            await terminate(town, "true")
            await put_until_taken(town, feature(f"e{round_}"))
            await viewer.until(lambda model, id_=f"e{round_}": id_ in model.layers["fire.units"])
        assert viewer.model.layers["fire.units"] == await truth(town.db, town.units)
        assert server.app.state.pump.connected


async def put_until_taken(town, *features) -> None:
    """Push as an agency does: again, if the service could not take it."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await town.put(town.units, *features)
            except Exception:  # noqa: BLE001 - the connections were just cut; any error is fair
                await asyncio.sleep(0.05)


async def jam(town, viewer) -> None:
    """Stop reading, and push until the server has no room left for this viewer."""
    viewer.socket.transport.pause_reading()
    for number in range(40):
        big = [feature(f"b{each}", callsign="x" * 5_000, n=number) for each in range(200)]
        await town.put(town.units, *big)
        await asyncio.sleep(0.3)
        session = next(iter(viewer.hub.sessions))
        if session._sending_since is not None:
            return
    raise AssertionError("the buffers never filled")


async def test_a_viewer_who_does_not_read_delays_nobody_and_is_cut_off(server, town, monkeypatch):
    monkeypatch.setattr("cop.live.session.SEND_DEADLINE_MS", 2_000)
    async with dialogue(server.ws_url, town.police_key) as slow:
        slow.hub = server.app.state.hub
        await slow.say("subscribe")
        await slow.until(lambda model: "fire.units" in model.layers)
        await jam(town, slow)
        async with dialogue(server.ws_url, town.police_key) as quick:
            await quick.say("subscribe", layers=["fire.zones"])
            await quick.until(lambda model: "fire.zones" in model.layers)
            await town.put(town.zones, zone("z1", -87.7, 41.8))
            await quick.until(lambda model: "z1" in model.layers["fire.zones"])
            await come_true(lambda: len(slow.hub.sessions) == 1)
        slow.socket.transport.resume_reading()


async def test_the_connection_of_one_who_never_reads_does_not_outlive_its_session(server, town, monkeypatch):
    monkeypatch.setattr("cop.live.session.SEND_DEADLINE_MS", 1_000)
    async with dialogue(server.ws_url, town.police_key) as slow:
        slow.hub = server.app.state.hub
        await slow.say("subscribe")
        await slow.until(lambda model: "fire.units" in model.layers)
        await jam(town, slow)
        assert open_connections(server) == 1
        await come_true(lambda: open_connections(server) == 0)
        slow.socket.transport.resume_reading()
        assert await slow.closed() == 1006


def open_connections(server) -> int:
    """How many connections the server holds on its port."""
    port = int(server.url.rpartition(":")[2])
    connections = psutil.Process().net_connections("tcp")
    return sum(each.laddr.port == port and bool(each.raddr) for each in connections)


async def test_what_waits_for_a_slow_viewer_is_taken_back_when_the_layer_is_unshared(server, town):
    async with dialogue(server.ws_url, town.police_key) as slow:
        slow.hub = server.app.state.hub
        await slow.say("subscribe")
        await slow.until(lambda model: "fire.units" in model.layers)
        await jam(town, slow)
        await town.put(town.units, feature("secret"))
        await town.unshare(town.units, "all")
        revision = await policy_revision(town)
        await come_true(lambda: slow.hub.policy_revision == revision)
        slow.socket.transport.resume_reading()
        await slow.until(lambda model: "fire.units" not in model.layers)
        await town.put(town.zones, zone("z1", -87.7, 41.8))
        await slow.until(lambda model: "z1" in model.layers.get("fire.zones", ()))
        assert ("put", "secret") not in slow.model.rows
        assert "fire.units" not in slow.model.layers


async def come_true(holds: Callable[[], bool]) -> None:
    """Wait for what the server does on its own, which tells nobody."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)


async def policy_revision(town) -> int:
    async with town.db.connect() as connection:
        return await read_policy_revision(connection)


async def test_all_workers_of_cop_serve_stream_everything(town):
    async with served(town.db.url, workers=2) as service, AsyncExitStack() as stack:
        opening = [dialogue(f"ws://{service.host}:{service.port}", town.police_key) for _ in range(12)]
        viewers = [await stack.enter_async_context(each) for each in opening]
        for viewer in viewers:
            await viewer.say("subscribe")
        await town.put(town.units, feature("e1"))
        for viewer in viewers:
            await viewer.until(lambda model: "e1" in model.layers.get("fire.units", ()))
