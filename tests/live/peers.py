"""Peers that mean no good, and the service that they are let loose on.

They speak TCP by hand: a websocket library keeps the rules that are broken here.
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
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency, add_layer
from layers.model import Scope
from tests.bench.service import free_port

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


@contextlib.contextmanager
def attacked(url: str, keys: Keys, log: Path) -> Iterator[Host]:
    """One service for many attacks: each must leave it as it was, and none is worth an error in its *log*."""
    port = free_port()
    environment = os.environ | {"COP_DATABASE_URL": url, "COP_LOG_LEVEL": "warning", "COP_DRAIN_S": "0"}
    command = [sys.executable, "-m", "cop", "serve", "--port", str(port)]
    with log.open("w") as errors:
        process = subprocess.Popen(command, env=environment, stderr=errors)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                    break
            time.sleep(0.1)
        yield Host(process.pid, port, keys)
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
