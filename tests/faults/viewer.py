"""A process of several viewers who come back with their cursors whenever they are cut off, and check all they see.

Run by `scene.py`, which tells it what to do in one line of JSON; each further line is answered with a report.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from collections import Counter
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from cop.live.wire import PACKED_PROTOCOL, PROTOCOL
from tests.faults.publisher import lng_at
from tests.live.client_model import ClientModel, State, canonical

PROTOCOLS = (PROTOCOL, PACKED_PROTOCOL)


def digest(features: dict[str, State]) -> str:
    """The same for the same features, whatever their order."""
    return hashlib.sha256(canonical(sorted(features.items())).encode()).hexdigest()


class Viewer:
    """One page that stays open whatever happens to its connection."""

    def __init__(self, url: str, key: str, layer: str, protocol: str) -> None:
        self.url, self.key, self.layer, self.protocol = url, key, layer, protocol
        self.model = ClientModel()
        self.observed: dict[str, int] = {}
        self.newest_ms = 0
        self.wrong: list[str] = []
        self.ends: Counter[str] = Counter()

    async def watch(self) -> None:
        """For ever."""
        while True:
            pause_s = random.uniform(0.05, 0.3)
            try:
                headers = {"Authorization": f"Bearer {self.key}"}
                async with connect(
                    f"{self.url}/live",
                    subprotocols=[Subprotocol(self.protocol)],
                    additional_headers=headers,
                    compression=None,
                    max_size=None,
                    close_timeout=1,
                    open_timeout=5,
                ) as socket:
                    await self._follow(socket)
                    self.ends["drained"] += 1
                    continue
            except ConnectionClosed as closed:
                self.ends[str(closed.rcvd.code if closed.rcvd else 1006)] += 1
            except (OSError, InvalidHandshake, TimeoutError) as error:
                self.ends[type(error).__name__] += 1
            await asyncio.sleep(pause_s)

    async def _follow(self, socket: ClientConnection) -> None:
        """Until told to come back elsewhere, and then for as long as was asked."""
        subscription = {"type": "subscribe", "layers": [self.layer], "since": self.model.cursors}
        await socket.send(json.dumps(subscription))
        try:
            async with asyncio.timeout(None) as until:
                async for message in socket:
                    self._take(message)
                    if self.model.retry_ms is not None:
                        until.reschedule(asyncio.get_running_loop().time() + self.model.retry_ms / 1000)
                        self.model.retry_ms = None
        except TimeoutError:
            return

    def _take(self, message: str | bytes) -> None:
        try:
            self.model.apply(message)
        except AssertionError as gap:
            self.wrong.append(f"{gap}: {message[:200]!r}")
            return
        self.model.messages.clear()
        features = self.model.layers.get(self.layer, {})
        for _, id in self.model.rows:
            if id in features:
                self._check(id, features[id])
        self.model.rows.clear()

    def _check(self, id: str, state: State) -> None:
        lng, observed_ms = orjson.loads(state[0])["coordinates"][0], state[2]
        if abs(lng - lng_at(observed_ms)) > 1e-9:
            self.wrong.append(f"{id} was never at {lng} at {observed_ms}")
        if observed_ms < self.observed.get(id, 0):
            self.wrong.append(f"{id} went back from {self.observed[id]} to {observed_ms}")
        self.observed[id] = observed_ms
        self.newest_ms = max(self.newest_ms, observed_ms)

    def report(self, *, whole: bool) -> dict[str, Any]:
        """What it holds and what has happened to it."""
        features = self.model.layers.get(self.layer, {})
        return {
            "digest": digest(features) if whole else "",
            "count": len(features),
            "newest_ms": self.newest_ms,
            "resets": self.model.resets,
            "frames": self.model.frames,
            "wrong": self.wrong[:5],
            "ends": self.ends,
        }


async def main() -> None:
    """Watch as told, and report when asked: a line `whole` asks for digests, which take a moment."""
    told = json.loads(sys.stdin.readline())
    viewers = [
        Viewer(told["url"], told["key"], told["layer"], PROTOCOLS[number % 2])
        for number in range(told["viewers"])
    ]
    tasks = [asyncio.create_task(viewer.watch()) for viewer in viewers]
    while line := await asyncio.to_thread(sys.stdin.readline):
        for viewer, task in zip(viewers, tasks, strict=True):
            if task.done():
                viewer.wrong.append(f"ended: {task.exception()!r}")
        report = [viewer.report(whole=line.strip() == "whole") for viewer in viewers]
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
