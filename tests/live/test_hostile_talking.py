"""Peers that mean no good and say too much or nonsense: each is bounded, closed with the code for it, and not kept."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from cop.api.protocols import FRAMES_A_SECOND, MAX_FRAGMENTS
from tests.live.peers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MEGABYTE,
    PING,
    TEXT,
    Host,
    frame,
    grows_by_less_than,
)

# --- said too much


async def test_a_frame_of_20_megabytes_closes_the_socket_with_1009(host: Host):
    with grows_by_less_than(host, 10):
        async with host.socket() as peer:
            saying = asyncio.create_task(peer.say(frame(TEXT, length=20 * MEGABYTE), *[bytes(MEGABYTE)] * 20))
            assert await peer.close_code() == 1009
            await saying


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"type":"ping","sent":1}'])
async def test_a_flood_of_tiny_messages_closes_the_socket_with_1008(host: Host, payload: bytes):
    with grows_by_less_than(host, 20):
        async with host.socket() as peer:
            saying = asyncio.create_task(peer.say(*[frame(TEXT, payload) * 10_000] * 10))
            assert await peer.close_code() == 1008
            await saying
    assert await host.answers() < 2


@pytest.mark.parametrize("payload", [b"", b"x", b"x" * 1_000])
async def test_a_flood_of_parts_of_one_message_closes_the_socket(host: Host, payload: bytes):
    with grows_by_less_than(host, 20):
        async with host.socket() as peer:
            part = frame(CONTINUATION, payload, final=False)
            flood = [frame(TEXT, b"{", final=False), *[part * (100_000 // len(part))] * 100]
            saying = asyncio.create_task(peer.say(*flood))
            assert await peer.close_code() in (1008, 1009)
            await saying


@pytest.mark.parametrize("payload", [b"", b"x"])
async def test_a_message_in_endless_parts_is_given_up_however_slowly_they_come(host: Host, payload: bytes):
    async with host.socket() as peer:
        await peer.say(frame(TEXT, b"{", final=False))

        async def trickle() -> None:
            while True:
                await peer.say(frame(CONTINUATION, payload, final=False) * 4)
                await asyncio.sleep(0.05)

        saying = asyncio.create_task(trickle())
        assert await peer.close_code() == 1009
        saying.cancel()


async def test_a_flood_of_pings_closes_the_socket_with_1008(host: Host):
    with grows_by_less_than(host, 20):
        async with host.socket() as peer:
            saying = asyncio.create_task(peer.say(*[frame(PING, b"x" * 125) * 1_000] * 100))
            assert await peer.close_code() == 1008
            await saying


@pytest.mark.slow
async def test_pings_of_one_who_does_not_read_are_not_answered_into_memory(host: Host):
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(host.socket(reads=False)) for _ in range(50)]
        before = host.memory()
        for _ in range(100):  # 100 × 8 × 125 bytes: 5 MB of answers in all.
            await asyncio.gather(*(peer.say(frame(PING, b"x" * 125) * 8) for peer in peers))
            await asyncio.sleep(0.1)
        assert (host.memory() - before) / MEGABYTE < 10
        assert await host.answers() < 2


# --- said nonsense


@pytest.mark.parametrize(
    "said",
    [
        frame(TEXT, b"\xff\xfe"),
        frame(TEXT, b"\xff") * 2,
        frame(TEXT, b"\xff") + frame(PING),
        frame(TEXT, b"\xff") + frame(TEXT, b"{", final=False) + frame(CONTINUATION, b"}"),
        frame(TEXT, b"\xc3", final=False) + frame(CONTINUATION, b"("),
    ],
    ids=["once", "twice", "then a ping", "then parts", "in parts"],
)
async def test_bytes_that_are_no_text_close_the_socket_with_1007(host: Host, said: bytes):
    async with host.socket() as peer:
        await peer.say(said)
        assert await peer.close_code() == 1007


async def test_a_letter_may_be_split_between_two_parts_of_a_message(host: Host):
    async with host.socket() as peer:
        first, second = '{"type": "ping", "sent": 7, "said": "É"}'.encode().split(b"\x89")
        await peer.say(frame(TEXT, first, final=False), frame(CONTINUATION, b"\x89" + second))
        assert (await peer.message("pong"))["sent"] == 7


async def test_a_message_that_goes_beyond_its_parts_twice_at_once_is_closed_once(host: Host):
    async with host.socket() as peer:
        await peer.say(frame(TEXT, b"{", final=False))
        for _ in range(3):
            await peer.say(frame(CONTINUATION, final=False) * 64)
            await asyncio.sleep(64 / FRAMES_A_SECOND)
        await peer.say(frame(CONTINUATION, final=False) * (MAX_FRAGMENTS - 3 * 64 + 2))
        assert await peer.close_code() == 1009


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (frame(BINARY, b"{}"), 1003),
        (frame(CONTINUATION, b"{}"), 1002),
        (frame(3), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, final=False), 1002),
        (bytes([0x81, 0x02]) + b"{}", 1002),
        (bytes([0xF1, 0x80, 0, 0, 0, 0]), 1002),
        (frame(TEXT, b"{", final=False) + frame(TEXT, b"}"), 1002),
        (frame(TEXT, b"\xff") + frame(CLOSE, b"\x03\xe8"), 1000),
    ],
    ids=[
        "binary",
        "no beginning",
        "unknown opcode",
        "long ping",
        "ping in parts",
        "unmasked",
        "reserved",
        "mixed",
        "no text, but a good-bye",
    ],
)
async def test_a_frame_against_the_rules_closes_the_socket(host: Host, first: bytes, code: int):
    async with host.socket() as peer:
        await peer.say(first)
        assert await peer.close_code() == code


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "{",
        "[]",
        "null",
        '{"type": "launch"}',
        '{"type": ["subscribe"]}',
        '{"type": "subscribe", "layers": 7}',
        '{"type": "subscribe", "view": {"bbox": [1, 2], "zoom": 1}}',
        '{"type": "subscribe", "since": {"a.b": "x:y"}}',
        '{"type": "view"}' + " " * 1_000 + "x",
        "[" * 30_000,
    ],
)
async def test_a_message_that_makes_no_sense_is_answered_with_an_error_and_the_socket_goes_on(
    host: Host, text: str
):
    async with host.socket() as peer:
        await peer.say(frame(TEXT, text.encode()))
        await peer.message("error")
        await peer.say(frame(TEXT, b'{"type": "ping", "sent": 7}'))
        assert (await peer.message("pong"))["sent"] == 7


async def test_a_subscription_to_a_million_layers_costs_nothing(host: Host):
    names = json.dumps({"type": "subscribe", "layers": ["a.b"] * 1_000_000}).encode()
    with grows_by_less_than(host, 10):
        async with host.socket() as peer:
            saying = asyncio.create_task(peer.say(frame(TEXT, names)))
            assert await peer.close_code() == 1009
            await saying
        async with host.socket() as peer:
            await peer.say(frame(TEXT, json.dumps({"type": "subscribe", "layers": ["a.b"] * 8_000}).encode()))
            assert (await peer.message("error"))["code"] == "live.too_many"
