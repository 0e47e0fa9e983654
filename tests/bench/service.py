"""A real `cop serve` of its own process for measurements, and an HTTP client that costs next to nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

READY_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs: where, and as which process."""

    host: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address, without a closing slash."""
        return f"http://{self.host}:{self.port}"


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@asynccontextmanager
async def served(database_url: str, *, workers: int = 1) -> AsyncIterator[Service]:
    """`cop serve` on *database_url*, ready when the block begins and stopped when it ends."""
    port = free_port()
    environment = {"COP_DRAIN_S": "0"} | os.environ
    environment |= {"COP_DATABASE_URL": database_url, "COP_LOG_LEVEL": "warning"}
    command = (sys.executable, "-m", "cop", "serve", "--port", str(port), "--workers", str(workers))
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    try:
        await _ready(port, process)
        yield Service("127.0.0.1", port, process.pid)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _ready(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while process.returncode is None:
            try:
                async with await Wire.open("127.0.0.1", port) as wire:
                    if (await wire.send(b"GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n"))[0] == 200:
                        return
            except (OSError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("the service did not start; its words are above")


class Wire:
    """One kept-alive HTTP/1.1 connection that sends prepared bytes: the load generator must not be the load."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """A connection to *host*:*port*."""
        return cls(*await asyncio.open_connection(host, port, limit=1 << 22))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send *request*, whole as it stands; the status and the body of the answer, which names its length."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return int(head.split(b" ", 2)[1]), body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


def request(method: str, path: str, key: str, body: bytes, *, type: str = "application/geo+json") -> bytes:
    """The bytes of a request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
