"""How feeds do, as all processes together know it: this one's share is written down, the others' is read."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from uuid import uuid4

from cop.live.hub import Hub
from layers import feeds
from layers.database import Database
from layers.feeds import Lag, Pace, Refusals, Refused
from layers.model import AgencyId, LayerId
from layers.query import LayerHead, read_layer_heads

FRESH_S = 1.0
"""For so long an answer serves everybody: a wall of dashboards costs four small statements a second."""


@dataclass(frozen=True, slots=True)
class Feed:
    """How one layer's feed does."""

    head: LayerHead
    rate: float | None
    """Changes a second over the last minute, or since this process began to watch."""
    lag: Lag | None
    refused: Refused | None
    subscribers: Counter[AgencyId | None] = field(default_factory=Counter)


class Feeds:
    """What this process knows of the feeds. Upkeep calls `watch` every second and `tell` every few."""

    def __init__(self, database: Database, hub: Hub, refusals: Refusals) -> None:
        self._database = database
        self._hub = hub
        self._refusals = refusals
        self._worker = uuid4()
        self._pace = Pace()
        self._known: dict[LayerId, Feed] = {}
        self._known_at: float | None = None
        self._reading = asyncio.Lock()

    def watch(self) -> None:
        """Remember where the logs end now."""
        revisions = {layer: picture.revision for layer, picture in self._hub.picture.items()}
        self._pace.note(revisions, monotonic())

    async def tell(self) -> None:
        """Write down what only this process knows. What cannot be written now is kept for the next time."""
        refused = self._refusals.take()
        try:
            async with self._database.begin() as connection:
                await feeds.write_refusals(connection, refused)
                await feeds.write_worker(connection, self._worker, self._hub.subscribers())
        except BaseException:
            self._refusals.give_back(refused)
            raise

    async def leave(self) -> None:
        """This process is about to end: write what is left, and take its viewers off the count."""
        await self.tell()
        async with self._database.begin() as connection:
            await feeds.remove_worker(connection, self._worker)

    async def read(self) -> dict[LayerId, Feed]:
        """All feeds, as they were a second ago at the most; a layer made since then is missing."""
        async with self._reading:
            if self._known_at is None or monotonic() - self._known_at >= FRESH_S:
                self._known = await self._read()
                self._known_at = monotonic()
        return self._known

    async def _read(self) -> dict[LayerId, Feed]:
        layers = list(self._hub.directory.layers) if self._hub.directory else []
        async with self._database.connect() as connection:
            heads, now = await read_layer_heads(connection, layers), monotonic()
            sampled = {layer: self._pace.sample(layer, head.revision, now) for layer, head in heads.items()}
            lags = await feeds.read_lags(connection, sampled)
            refused = await feeds.read_refusals(connection)
            elsewhere = await feeds.read_subscribers(connection, besides=self._worker)
        subscribers = feeds.together([elsewhere, self._hub.subscribers()])
        return {
            layer: Feed(
                head,
                self._pace.rate(layer, head.revision, now),
                lags.get(layer),
                refused.get(layer),
                subscribers.get(layer, Counter()),
            )
            for layer, head in heads.items()
        }
