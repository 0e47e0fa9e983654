"""Peers that mean no good, on real sockets against a real `cop serve`: each is bounded, and nobody else notices.

The peers speak TCP by hand: a websocket library keeps the rules that are broken here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median

import httpx
import psutil
import pytest

from cop.api.protocols import FRAMES_A_SECOND, HEAD_DEADLINE_S, MAX_CONNECTIONS, MAX_FRAGMENTS
from cop.embedded.cluster import Cluster
from cop.live.hub import MAX_SESSIONS
from cop.live.session import SEND_DEADLINE_MS
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency, add_layer
from layers.model import Scope
from tests.bench.service import free_port
from tests.conftest import Serving, Spares
from tests.live.client_model import ClientModel
from tests.live.conftest import Town, feature
from tests.live.dialogue import Dialogue, dialogue, truth

TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
MEGABYTE = 1_000_000
PATIENCE_S = 20
LAYER = "fire.units"


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, length: int | None = None) -> bytes:
    """A client's frame, masked with zeros; *length*: claim another than the payload has."""
    size = len(payload) if length is None else length
    first = bytes([opcode | (0x80 if final else 0)])
    if size < 126:
        head = bytes([0x80 | size])
    elif size < 65_536:
        head = bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head = bytes([0x80 | 127]) + struct.pack("!Q", size)
    return first + head + bytes(4) + payload


def upgrade(*headers: str, path: str = "/live") -> bytes:
    """A request to open a websocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: cop.live.v1"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


class Peer:
    """One TCP connection, and whatever we choose to say on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def status(self) -> int:
        """The status with which our request is answered; its headers are read."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        return int(head.split(b" ")[1])

    async def say(self, *pieces: bytes) -> None:
        """Send, for as long as anybody listens."""
        with contextlib.suppress(OSError):
            for piece in pieces:
                self.writer.write(piece)
                await self.writer.drain()

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the server says, until the connection ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                first, second = await self.reader.readexactly(2)
                size = second & 127
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                yield first & 15, await self.reader.readexactly(size)

    async def message(self, type_: str) -> dict:
        """The next message of that type."""
        async with asyncio.timeout(PATIENCE_S):
            async for _, payload in self.frames():
                if (message := json.loads(payload))["type"] == type_:
                    return message
        raise AssertionError(f"closed without {type_}")

    async def close_code(self, take: Callable[[str], None] = lambda _: None) -> int | None:
        """Read to the end, and let *take* have each text; the close code, None if the connection was cut."""
        code = None
        async with asyncio.timeout(PATIENCE_S):
            async for opcode, payload in self.frames():
                if opcode == CLOSE:
                    (code,) = struct.unpack("!H", payload[:2])
                elif opcode == TEXT:
                    take(payload.decode())
        return code

    async def end(self) -> None:
        """Until the server has let go of the connection."""
        with contextlib.suppress(OSError):
            await asyncio.wait_for(self.reader.read(), PATIENCE_S)


class Host:
    """The service that is attacked."""

    def __init__(self, pid: int, port: int, keys: Keys) -> None:
        self.pid, self.port, self.keys = pid, port, keys
        self.url, self.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"

    @asynccontextmanager
    async def peer(self, *, reads: bool = True) -> AsyncIterator[Peer]:
        """A TCP connection; who does not read has hardly any room for what is sent to it."""
        limit = 1 << 24 if reads else 1_024
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=limit)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def socket(self, *headers: str, reads: bool = True) -> AsyncIterator[Peer]:
        """An open websocket."""
        async with self.peer(reads=reads) as peer:
            await peer.say(upgrade(*headers))
            assert await peer.status() == 101
            yield peer

    def agency(self) -> httpx.AsyncClient:
        """A well-behaved publisher."""
        headers = {"Authorization": f"Bearer {self.keys.push}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def memory(self) -> int:
        """What the service's process holds, in bytes."""
        return psutil.Process(self.pid).memory_info().rss

    def connections(self) -> int:
        """How many sockets it has accepted and not let go of."""
        found = psutil.Process(self.pid).net_connections("tcp")
        return sum(bool(each.raddr) and each.laddr.port == self.port for each in found)

    async def answers(self) -> float:
        """Seconds that a well-behaved client waits for an answer."""
        began = time.monotonic()
        async with self.peer() as peer:
            await peer.say(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await peer.status() == 200
        return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Keys:
    """What the one layer of the attacked deployment is pushed and seen with."""

    push: str
    view: str


async def furnished(url: str) -> Keys:
    """A deployment with one layer of units."""
    db = Database(url, pool_size=1)
    async with db.begin() as connection:
        await add_agency(connection, "fire", host=True)
        await add_layer(connection, LAYER, kind="units")
        push = await create_key(connection, "fire", [Scope.PUBLISH])
        view = await create_key(connection, "fire", [Scope.VIEW])
    await db.dispose()
    return Keys(push, view)


@pytest.fixture(scope="module")
def keys(cluster: Cluster, spares: Spares) -> Iterator[tuple[str, Keys]]:
    """A database of this module's own, and its keys."""
    name = spares.take()
    yield cluster.url_of(name), asyncio.run(furnished(cluster.url_of(name)))
    spares.give_back(name)


@pytest.fixture(scope="module")
def host(keys: tuple[str, Keys], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One service for all attacks: each must leave it as it was, and none is worth an error in its log."""
    port = free_port()
    environment = os.environ | {"COP_DATABASE_URL": keys[0], "COP_LOG_LEVEL": "warning", "COP_DRAIN_S": "0"}
    command = [sys.executable, "-m", "cop", "serve", "--port", str(port)]
    log = tmp_path_factory.mktemp("host") / "serve.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, env=environment, stderr=errors)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                    break
            time.sleep(0.1)
        yield Host(process.pid, port, keys[1])
    finally:
        process.terminate()
        process.wait(30)
    said = log.read_text()
    assert re.findall(r"Traceback|Fatal error|^.*ERROR.*$", said, re.MULTILINE) == [], said[-4_000:]


@contextlib.contextmanager
def grows_by_less_than(host: Host, megabytes: float) -> Iterator[None]:
    """The process that serves must not keep what it is sent."""
    before = host.memory()
    yield
    grown = (host.memory() - before) / MEGABYTE
    assert grown < megabytes, f"{grown:.0f} MB"


# --- refused before it is open


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


# --- does not listen


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
