"""Peers that mean no good and never get a socket: refused before it is open, at little cost and nobody else's."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from cop.api.protocols import HEAD_DEADLINE_S, MAX_CONNECTIONS
from cop.live.hub import MAX_SESSIONS
from tests.live.peers import Host, grows_by_less_than, upgrade


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Origin: https://evil.example", 403),
        ("Authorization: Bearer nonsense", 401),
        ("Sec-WebSocket-Version: 12", 400),
        ("X-Long: " + "x" * 9_000, 431),
    ],
)
async def test_what_may_not_open_a_socket_is_told_so_before_it_is_open(host: Host, header: str, status: int):
    async with host.peer() as peer:
        await peer.say(upgrade(header))
        assert await peer.status() == status
        await peer.end()


async def test_a_head_that_has_no_end_is_refused_and_not_kept(host: Host):
    with grows_by_less_than(host, 20):
        async with host.peer() as peer:
            await peer.say(b"GET /live HTTP/1.1\r\n", *[b"X-More: " + b"x" * 60_000 + b"\r\n"] * 500)
            assert await peer.status() == 431


async def test_heads_that_come_a_byte_at_a_time_do_not_pile_up(host: Host):
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(host.peer()) for _ in range(200)]
        while host.connections() < 200:  # noqa: ASYNC110 - accepting them tells nobody
            await asyncio.sleep(0.05)
        began = time.monotonic()
        for byte in upgrade():
            await asyncio.gather(*(peer.say(bytes([byte])) for peer in peers))
            await asyncio.sleep(0.25)
            if time.monotonic() - began > HEAD_DEADLINE_S + 1:
                break
        assert host.connections() < 10
        assert await host.answers() < 2


@pytest.mark.slow
async def test_sockets_beyond_the_limit_are_told_to_come_back_and_cost_nothing(host: Host):
    places = MAX_SESSIONS // 2  # The public's share.
    async with AsyncExitStack() as stack:
        for _ in range(places):
            await stack.enter_async_context(host.socket())
        with grows_by_less_than(host, 10):
            for _ in range(200):
                async with host.peer() as peer:
                    await peer.say(upgrade())
                    assert await peer.status() == 503
        assert await host.answers() < 2


@pytest.mark.slow
async def test_connections_beyond_the_limit_are_refused_as_they_come(host: Host):
    async with AsyncExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            await stack.enter_async_context(host.peer())
        async with host.peer() as peer:
            await peer.say(upgrade())
            assert await peer.status() == 503
