"""A real client on a real socket for the tests: it applies what it is sent to a `ClientModel`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from cop.live.held import Held
from cop.live.interest import sight_of, view_from
from cop.live.wire import PACKED_PROTOCOL, PROTOCOL, milliseconds
from layers.database import Database
from layers.model import Layer
from layers.query import read_layer
from tests.live.client_model import ClientModel, State, canonical

PATIENCE_S = 30.0


class Dialogue:
    """One connection: `say` sends, `until` waits for what the model should come to hold."""

    def __init__(self, socket: ClientConnection, model: ClientModel) -> None:
        self.socket = socket
        self.model = model
        self.close_code: int | None = None
        self.hub: Any = None
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                self.model.apply(message)
                self._changed.set()
        except ConnectionClosed:
            pass
        finally:
            self.close_code = self.socket.close_code
            self._changed.set()

    async def say(self, type_: str, **members: Any) -> None:
        await self.socket.send(orjson.dumps({"type": type_} | members).decode(), text=True)

    async def until(self, holds: Callable[[ClientModel], object]) -> ClientModel:
        """Wait until the model is as asked for. Fails with what the reader stumbled over, or after a while."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds(self.model):
                if self._reader.done():
                    self._reader.result()
                    raise AssertionError(f"closed with {self.close_code}")
                self._changed.clear()
                await self._changed.wait()
        return self.model

    async def closed(self) -> int | None:
        """Wait until the server closes; the close code."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({self._reader})
        return self.close_code

    async def leave(self) -> None:
        await self.socket.close()
        await self._reader


@asynccontextmanager
async def dialogue(
    ws_url: str,
    secret: str | None = None,
    model: ClientModel | None = None,
    *,
    packed: bool = False,
    **headers: str,
) -> AsyncIterator[Dialogue]:
    """Open /live, as the holder of *secret* or as the public; *packed*: in the binary form."""
    authorization = {"Authorization": f"Bearer {secret}"} if secret else {}
    socket = await connect(
        f"{ws_url}/live",
        subprotocols=[PACKED_PROTOCOL if packed else PROTOCOL],  # type: ignore[list-item]  # a text is one
        additional_headers=authorization | headers,
        compression=None,
        max_size=None,
    )
    talking = Dialogue(socket, model or ClientModel())
    try:
        yield talking
    finally:
        await talking.leave()


async def truth(db: Database, layer: Layer, view: object = None) -> dict[str, State]:
    """What a viewer of *layer* should hold now, straight from the database."""
    sight = sight_of(view_from(view))
    async with db.snapshot() as connection:
        _, features = await read_layer(connection, layer.id)
    return {
        feature.id: (
            canonical(json.loads(feature.geometry or "null")),
            canonical(json.loads(feature.properties)),
            milliseconds(feature.observed_at),
            None if feature.expires_at is None else milliseconds(feature.expires_at),
        )
        for feature in features
        if Held(feature, feature.id).seen_by(sight)
    }
