"""A real `cop serve` of its own process for measurements."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cop.bench.publishing import Wire

READY_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs: where, and as which process."""

    host: str
    port: int
    pid: int
    process: asyncio.subprocess.Process

    async def ended(self) -> int:
        """Wait until it has ended by itself; its exit code."""
        return await self.process.wait()

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
        yield Service("127.0.0.1", port, process.pid, process)
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
