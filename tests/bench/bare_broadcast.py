"""The least that telling many can cost: uvicorn and Starlette sending each socket a ready-made message every tick.

Run by `bench_live_frame` as `python -m tests.bench.bare_broadcast PORT BYTES TICK_S json|bin`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from secrets import token_bytes, token_hex

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket


def bare_app(message_of: Callable[[], str | bytes], tick_s: float) -> Starlette:
    """An application that sends each socket the message that was made for it every *tick_s*, as text or as binary."""
    sockets: dict[WebSocket, str | bytes] = {}

    async def stay(socket: WebSocket) -> None:
        await socket.accept()
        sockets[socket] = message_of()
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
        del sockets[socket]

    async def send(socket: WebSocket, message: str | bytes) -> None:
        if isinstance(message, str):
            await socket.send_text(message)
        else:
            await socket.send_bytes(message)

    async def broadcast() -> None:
        while True:
            await asyncio.sleep(tick_s)
            for socket, message in list(sockets.items()):
                await send(socket, message)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(broadcast())
        yield
        task.cancel()

    return Starlette(routes=[WebSocketRoute("/live", stay)], lifespan=lifespan)


if __name__ == "__main__":
    port, size, tick_s, form = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    uvicorn.run(
        bare_app(lambda: token_hex(size // 2) if form == "json" else token_bytes(size), tick_s),
        port=port,
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )
