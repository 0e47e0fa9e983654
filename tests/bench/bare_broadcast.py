"""The least that a broadcast can cost: uvicorn and Starlette sending one prepared message to every socket each tick.

Run by `bench_live_frame` as `python -m tests.bench.bare_broadcast PORT BYTES TICK_S json|bin`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket


def bare_app(message: str | bytes, tick_s: float) -> Starlette:
    """An application that sends *message* to each socket every *tick_s*, as text or as binary."""
    sockets: set[WebSocket] = set()

    async def stay(socket: WebSocket) -> None:
        await socket.accept()
        sockets.add(socket)
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
        sockets.discard(socket)

    async def send(socket: WebSocket) -> None:
        if isinstance(message, str):
            await socket.send_text(message)
        else:
            await socket.send_bytes(message)

    async def broadcast() -> None:
        while True:
            await asyncio.sleep(tick_s)
            for socket in list(sockets):
                await send(socket)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(broadcast())
        yield
        task.cancel()

    return Starlette(routes=[WebSocketRoute("/live", stay)], lifespan=lifespan)


if __name__ == "__main__":
    port, size, tick_s, form = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    uvicorn.run(
        bare_app("x" * size if form == "json" else b"x" * size, tick_s),
        port=port,
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )
