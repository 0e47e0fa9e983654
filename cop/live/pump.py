"""From the log to the viewers: reads what is committed, folds it into the picture, ticks the hub.

One pump a process, owned by the app. It outlives any loss of the database, and says so in `connected`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from cop.live.hub import Hub
from cop.live.picture import LayerPicture
from cop.live.wire import milliseconds
from layers.credentials import still_valid
from layers.database import Database
from layers.directory import read_directory
from layers.errors import LogTruncated
from layers.log import Doorbell, Heads, read_after, read_departures, read_heads
from layers.model import Layer, LayerId, Stream
from layers.query import read_layer

log = logging.getLogger("cop.live")

BATCH = 2_000
"""Features or changes folded in at a time, some 20 ms; between batches the sockets have their turn."""
REMEMBERED = 20_000
"""How many of a layer's departures are read at the start, so that a restart resets nobody; more are not kept."""
CATCH_UP_S = 0.1
"""For so long a tick waits for what was committed just before it."""
SUMMABLE = frozenset({"units", "assets"})
"""The kinds of which a viewer may be told sums; an incident or a closure is always told."""
FALLING_SILENT = frozenset({"units", "incidents"})
"""The kinds whose feed is missed when it is silent; a hospital or a closure is not reported all the time."""
TILED_PACE_S = 1.0
"""A tiled layer's viewers fetch its tiles again at most this often."""
CONNECTED_S = 5.0
"""Without a round of reading for this long, the pump does not call itself connected."""
BELL_TIMEOUT_S = 2.0
"""The doorbell's connection is given up after this, so that polling goes on."""
BACKOFF_S = (0.1, 2.0)
"""The first and the longest wait after a failure; it doubles in between."""


class Pump:
    """Keeps a hub's picture and policy as the database has them. *url* is where the doorbell listens."""

    def __init__(self, database: Database, hub: Hub, url: str, *, poll_s: float = 1.0) -> None:
        self._database = database
        self._hub = hub
        self._poll_s = poll_s
        self._bell = Doorbell(url)
        self._at_rest = asyncio.Lock()
        """Held by who hands out the picture, and by who changes it or the policy."""
        self._read_at: float | None = None
        self._read_ms = 0
        """The same moment on the clock of the hub."""
        self._tiled_at = 0.0
        self._running = False
        self._trouble: dict[str, str] = {}
        self._moving = False
        """Whether the last round of reading found anything: then the next tick looks again, ring or no ring."""
        self._wanting = False
        """Whether there may be something to read, and the next tick is awaited for it."""
        self._turn = asyncio.Event()
        self._round_over = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether the picture is as the database had it a few seconds ago."""
        return self._running and self._read_at is not None and monotonic() - self._read_at < CONNECTED_S

    @property
    def bell_connected(self) -> bool:
        """Whether changes are heard at once; if not, they are found by polling."""
        return self._running and self._bell.connected

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read and tick for as long as this is open. Opens at once, whether or not the database answers."""
        self._running = True
        tasks = [asyncio.create_task(self._read_forever()), asyncio.create_task(self._tick_forever())]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self._running = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._bell.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._running:  # Neither loop lets an error out: only a cancellation from elsewhere gets here.
            self._running = False
            log.critical("A task of the live stream has ended; this process must be restarted.")

    async def _tick_forever(self) -> None:
        tick_s = self._hub.tick_ms / 1000
        due = monotonic()
        while True:
            try:
                await self._catch_up()
                async with self._at_rest:
                    for _ in self._hub.ticking():
                        await asyncio.sleep(0)
                if self._read_at is not None:
                    self._hub.miss(None if self.connected else self._read_ms)
            except Exception:
                log.exception("A tick of the live stream failed; the next one goes on.")
            # Ticks keep their beat; after a pause (a suspended machine) they do not catch up.
            due = max(due + tick_s, monotonic())
            await asyncio.sleep(due - monotonic())

    async def _catch_up(self) -> None:
        """Let what was committed until now be read, unless that takes long."""
        if self._wanting:
            self._wanting = False
            self._round_over.clear()
            self._turn.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_S):
                    await self._round_over.wait()

    async def _read_forever(self) -> None:
        """Read in rounds, each right before a tick, so that it brings all that was committed until then."""
        wait_s, longest_s = BACKOFF_S
        while True:
            await self._listen()
            try:
                await self._read_round()
            except Exception as error:  # noqa: BLE001 - whatever it is, the stream must outlive it
                self._note("database", f"cannot read the database: {_said(error)}")
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311
                wait_s = min(wait_s * 2, longest_s)
            else:
                self._note("database", "")
                wait_s = BACKOFF_S[0]
                if not self._moving:
                    await self._bell.wait(self._poll_s)
                self._turn.clear()
                self._wanting = True
                await self._turn.wait()

    async def _read_round(self) -> None:
        try:
            await self.read()
        finally:
            self._round_over.set()

    async def _listen(self) -> None:
        """Put the doorbell up again if it is down; without it, polling goes on."""
        if self._bell.connected:
            return
        try:
            async with asyncio.timeout(BELL_TIMEOUT_S):
                await self._bell.connect()
        except Exception as error:  # noqa: BLE001 - without a doorbell it polls
            self._note("doorbell", f"has no doorbell, it polls: {_said(error)}")
        else:
            self._note("doorbell", "")

    def _note(self, what: str, trouble: str) -> None:
        """Log a trouble when it begins or changes, and its end."""
        if trouble != self._trouble.get(what, ""):
            self._trouble[what] = trouble
            if trouble:
                log.warning("The live stream %s", trouble)
            else:
                log.info("The live stream has its %s again.", what)

    async def read(self) -> None:
        """Bring policy and picture to where the database is now.

        The policy comes first, and of each log only what the heads named that were read together with it:
        nothing that was committed after a share was taken back reaches anybody on the strength of that share.
        """
        self._moving = False
        heads = await self._read_heads()
        await self._follow_policy(heads)
        lost = await self._fold(heads)
        if lost:
            await self._load(lost)
        self._bump_tiled(heads)
        self._hear(heads)
        self._read_at, self._read_ms = monotonic(), self._hub.clock()

    async def _read_heads(self) -> Heads:
        asked_s = monotonic()
        async with self._database.connect() as connection:
            heads = await read_heads(connection)
        self._hub.hear_of_policy(heads.policy_revision, asked_s)
        return heads

    async def _follow_policy(self, heads: Heads) -> None:
        """Put the policy in force that *heads* were read with, or a newer one; cut off ended credentials."""
        directory = self._hub.directory
        if directory is None or directory.policy_revision < heads.policy_revision:
            asked_s = monotonic()
            async with self._database.snapshot() as connection:
                directory = await read_directory(connection)
            self._hub.hear_of_policy(directory.policy_revision, asked_s)
        # From here on nobody joins by an older policy: who did, in the last moment too, is among these.
        if asked := self._hub.credentials(vouched_before=directory.policy_revision):
            async with self._database.connect() as connection:
                valid = await still_valid(connection, asked)
            self._hub.vouch(directory.policy_revision, asked, valid)
        if directory is not self._hub.directory:
            async with self._at_rest:
                self._hub.judge(directory)

    async def _fold(self, heads: Heads) -> list[Layer]:
        """Bring every layer to its head; returns those that must be read whole."""
        assert self._hub.directory is not None
        lost = []
        for layer in self._hub.directory.layers.values():
            picture, head = self._hub.picture.get(layer.id), heads.layers.get(layer.id)
            if head is None:
                continue  # Younger than the heads.
            if picture is None or picture.epoch != head.epoch or picture.revision > head.revision:
                lost.append(layer)
            elif not picture.tiled and picture.revision < head.revision:
                try:
                    await self._fold_layer(layer.id, picture, head.revision)
                except (LogTruncated, ValueError) as error:
                    log.warning("Layer %s is read anew. %s", layer.name, error)
                    lost.append(layer)
        return lost

    async def _fold_layer(self, layer: LayerId, picture: LayerPicture, revision: int) -> None:
        while picture.revision < revision:
            async with self._database.connect() as connection:
                limit = min(BATCH, revision - picture.revision)
                changes = await read_after(connection, layer, picture.revision, limit=limit)
            if not changes:
                raise LogTruncated(f"The log ends before revision {revision}.")
            self._moving = True
            async with self._at_rest:
                picture.apply(changes)

    async def _load(self, layers: list[Layer]) -> None:
        """Read *layers* whole; show them once the policy in force is known to be no older than they are."""
        loaded = {layer.id: await self._read_whole(layer) for layer in layers}
        await self._follow_policy(await self._read_heads())
        assert self._hub.directory is not None
        async with self._at_rest:
            self._hub.picture.update(loaded)
            self._hub.judge(self._hub.directory)  # Greetings name the layers' epochs.

    async def _read_whole(self, layer: Layer) -> LayerPicture:
        async with self._database.snapshot() as connection:
            if layer.stream is Stream.TILED:
                return LayerPicture((await read_heads(connection)).layers[layer.id], tiled=True)
            head, features = await read_layer(connection, layer.id)
            floor, departures = await read_departures(connection, layer.id, head, limit=REMEMBERED)
        picture = LayerPicture(head, summable=layer.kind in SUMMABLE)
        features.sort(key=lambda feature: feature.revision)
        for start in range(0, len(features), BATCH):
            picture.hold(features[start : start + BATCH])
            await asyncio.sleep(0)
        picture.remember(floor, departures)
        return picture

    def _hear(self, heads: Heads) -> None:
        """Tell the hub which feeds have been silent for longer than their layers allow."""
        assert self._hub.directory is not None
        layers = self._hub.directory.layers
        self._hub.hear(
            {
                layer: milliseconds(heard_at)
                for layer, heard_at in heads.heard_at.items()
                if layer in layers
                and layers[layer].kind in FALLING_SILENT
                and (heads.now - heard_at).total_seconds() > layers[layer].rules.stale_after_s
            }
        )

    def _bump_tiled(self, heads: Heads) -> None:
        if monotonic() - self._tiled_at < TILED_PACE_S:
            return
        self._tiled_at = monotonic()
        for layer, picture in self._hub.picture.items():
            if picture.tiled and layer in heads.layers:
                picture.revision = heads.layers[layer].revision


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
