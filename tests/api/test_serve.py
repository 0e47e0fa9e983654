"""`cop serve` as it is run: two workers on one port stream everything, and a signal ends them in order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from layers import directory
from layers.credentials import create_key
from layers.database import Database
from layers.model import Scope
from tests.bench.service import served


async def frames_until(socket: ClientConnection, id: str) -> None:
    """Read until feature *id* was put."""
    async with asyncio.timeout(30):
        while True:
            message: Any = json.loads(await socket.recv())
            for part in message.get("layers", {}).values() if message["type"] == "frame" else ():
                if any(put["id"] == id for put in part.get("put", ())):
                    return


async def test_every_worker_streams_what_any_worker_takes(db: Database) -> None:
    async with db.begin() as connection:
        await directory.add_agency(connection, "cfd")
        await directory.add_layer(connection, "cfd.units", kind="units")
        key = await create_key(connection, "cfd", [Scope.PUBLISH, Scope.VIEW])
    headers = {"Authorization": f"Bearer {key}"}
    protocol = Subprotocol("cop.live.v1")
    async with served(db.url, workers=2) as service:
        parent = psutil.Process(service.pid)
        assert len(parent.children()) >= 2
        # Connections fall to either worker by chance: of twelve, all go to one but once in two thousand runs.
        sockets = [
            await connect(
                f"ws://127.0.0.1:{service.port}/live", subprotocols=[protocol], additional_headers=headers
            )
            for _ in range(12)
        ]
        for socket in sockets:
            await socket.send(json.dumps({"type": "subscribe", "layers": ["cfd.units"], "view": None}))
        for number in range(4):
            async with httpx.AsyncClient(base_url=service.url, headers=headers) as client:
                feature = {
                    "type": "Feature",
                    "id": f"E{number}",
                    "geometry": {"type": "Point", "coordinates": [-87.6, 41.8]},
                    "properties": {},
                }
                (await client.post("/collections/cfd.units/items", json=feature)).raise_for_status()
            await asyncio.gather(*(frames_until(socket, f"E{number}") for socket in sockets))
        family = [parent, *parent.children(recursive=True)]
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
