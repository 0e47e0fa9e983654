"""Reports over HTTP at a steady pace: kept-alive connections that send prepared bytes and cost next to nothing."""

from __future__ import annotations

import asyncio
import re
import time
from types import TracebackType
from typing import Any, Self

import orjson

from cop.bench.fleet import Fleet
from cop.bench.plan import Address, LoadFailed

CONNECTIONS = 4
"""The publishing agencies: requests that may be under way at once."""
ANSWER_WITHIN_S = 60.0


class Wire:
    """One kept-alive HTTP/1.1 connection that sends prepared bytes: the load generator must not be the load."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int, *, tls: bool = False) -> Self:
        """A connection to *host*:*port*."""
        return cls(*await asyncio.open_connection(host, port, limit=1 << 22, ssl=tls or None))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send *request*, whole as it stands; the status and the body of the answer, which names its length."""
        self._writer.write(request)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await self._reader.readexactly(int(length[1])) if length else b""
        return int(head.split(b" ", 2)[1]), body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def request(
    method: str,
    path: str,
    key: str,
    body: bytes = b"",
    *,
    type: str = "application/geo+json",
    host: str = "bench",
) -> bytes:
    """The bytes of a request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Publishing:
    """A fleet that reports every *every_s* seconds for as long as `drive` runs."""

    def __init__(self, address: Address, key: str, layer: str, fleet: Fleet, *, every_s: float) -> None:
        self.fleet = fleet
        self.every_s = every_s
        self.accepted = 0
        """Observations that the service has acknowledged."""
        self.rounds = 0
        self._address = address
        self._key = key
        self._path = f"{address.path}/collections/{layer}/items"
        self._stamped = 0

    async def once(self) -> None:
        """Let every unit report, as fast as that goes."""
        async with await self._wire() as wire:
            for batch in range(self.fleet.batches):
                await self._report(wire, batch)
        self.rounds += 1

    async def drive(self) -> None:
        """Report until cancelled, the batches spread over the round; who is late goes on at once."""
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for lane in range(min(CONNECTIONS, self.fleet.batches)):
                group.create_task(self._lane(lane, begin))

    async def _lane(self, lane: int, begin: float) -> None:
        """Every batch always goes by the same connection, so a unit's observations stay in their order."""
        batches = self.fleet.batches
        lanes = min(CONNECTIONS, batches)
        turn = 0
        async with await self._wire() as wire:
            while True:
                for batch in range(lane, batches, lanes):
                    due = begin + (turn + batch / batches) * self.every_s
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    await self._report(wire, batch)
                turn += 1
                self.rounds = max(self.rounds, turn + 1)

    async def _report(self, wire: Wire, batch: int) -> None:
        # No two batches have the same moment, so a moment tells which batch an observation came in.
        self._stamped = max(time.time_ns() // 1_000_000, self._stamped + 1)
        body = self.fleet.body(batch, self._stamped)
        status, answer = await wire.send(
            request("POST", self._path, self._key, body, host=self._address.host)
        )
        if status != 200:
            raise LoadFailed(f"The service refused a batch with {said(status, answer)}")
        self.accepted += self.fleet.size(batch)

    async def _wire(self) -> Wire:
        return await reach(self._address)


async def reach(address: Address) -> Wire:
    """A connection to the service. Raises `LoadFailed` when nobody listens."""
    try:
        return await Wire.open(address.host, address.port, tls=address.tls)
    except OSError as error:
        raise LoadFailed(
            f"{address.host}:{address.port} does not answer: {error.strerror or error}."
        ) from error


def said(status: int, answer: bytes) -> str:
    """An answer that was no success, in a few words."""
    try:
        problem: Any = orjson.loads(answer)
        return f"{status} {problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{status}: {answer[:200].decode(errors='replace')}"
