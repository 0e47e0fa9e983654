"""The door in: every write of every kind is admitted, authorised and committed here, then acknowledged.

Concurrent pushes to one layer share a transaction (group commit); each gets its own receipt. The doorbell
is rung after the commit, debounced, so that no write waits for it.
"""

from __future__ import annotations

import asyncio
import pickle
import tempfile
from collections import deque
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any

import asyncpg

from layers import log, store
from layers.commit import Idempotency, Item, Mode, Push, admit, rejection_of, write
from layers.database import Database
from layers.errors import Forbidden, Invalid, LayersError, NotFound, PushRejected, Unavailable
from layers.feeds import Refusals
from layers.model import Edit, FeatureId, Layer, LayerId, Receipt, Rejection, Viewer
from layers.sharing import may_publish

__all__ = ["Idempotency", "Item", "Mode", "Publisher", "authorise"]

MAX_REJECTIONS = 1_000
"""Refusals that a push names; a stream is given up at that many."""
MAX_WAITING = 20_000
"""Features waiting for one layer's lock in this process (a stream, which waits on disk, counts as one group);
beyond that a push is told to come back."""
GROUP = 2_000
"""Features written in one transaction, more only if a single push brings them."""
CAUSED_BY_A_PUSH = (LayersError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)
"""Faults that say something of one push; ValueError: a spool that was closed because its sender left."""
RING_AFTER_S = 0.02
"""How long the doorbell gathers commits before it rings once for all."""


class Publisher:
    """Takes pushes for every layer and commits them in order of arrival, one group a layer at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.refusals = Refusals()
        self._lanes: dict[LayerId, deque[Push]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ringing = False

    async def push(
        self,
        viewer: Viewer,
        layer: Layer,
        items: Sequence[Item],
        *,
        mode: Mode = Mode.PUT,
        lenient: bool = False,
        allow_empty: bool = False,
        idempotency: Idempotency | None = None,
        id: str | None = None,
    ) -> Receipt:
        """Admit *items*, commit them, and say what became of each.

        All or nothing unless *lenient*: `PushRejected` names every refusal and nothing is stored. *id* is
        the feature named by the URL, where there is one. Raises `Forbidden`, `Conflict` (an idempotency
        key used with another body), `TooLarge` (layer full), `Unavailable` (too much waiting).
        """
        authorise(viewer, layer)
        push = Push(layer, viewer.name, mode, count=len(items), lenient=lenient, idempotency=idempotency)
        with self._counting(push):
            if mode is Mode.PATCH:
                push.patches = items
            else:
                admitted = await _admit(layer, items, push.rejections, id)
                _refuse(push, allow_empty)
                push.chunks = (admitted,)
            return await self._queue(push)

    async def push_stream(
        self,
        viewer: Viewer,
        layer: Layer,
        batches: AsyncIterable[Sequence[Item]],
        *,
        mode: Mode = Mode.PUT,
        lenient: bool = False,
        allow_empty: bool = False,
        seal: Callable[[], Idempotency | None] = lambda: None,
    ) -> Receipt:
        """`push` for a body of any length, in bounded memory: what is admitted waits in a temporary file.

        *seal* is asked once the body has come, for only then is its hash known.

        The layer is locked only once the whole body has come, so a slow sender delays nobody.
        """
        authorise(viewer, layer)
        if mode is Mode.PATCH:
            raise Invalid("A stream puts or replaces; send patches as a FeatureCollection.", code="push.mode")
        push = Push(layer, viewer.name, mode, lenient=lenient)
        with self._counting(push), tempfile.SpooledTemporaryFile(max_size=8_000_000) as spool:
            async for batch in batches:
                push.count += len(batch)
                pickle.dump(await _admit(layer, batch, push.rejections, None), spool, pickle.HIGHEST_PROTOCOL)
                if len(push.rejections) >= MAX_REJECTIONS:
                    raise PushRejected(push.rejections, push.count)
            _refuse(push, allow_empty)
            push.idempotency = seal()
            push.chunks = _Spooled(spool)
            push.alone = True
            return await self._queue(push)

    async def remove(self, viewer: Viewer, layer: Layer, ids: Sequence[FeatureId]) -> Receipt:
        """Take features away. Raises `NotFound` when a single one is asked for that is not there."""
        authorise(viewer, layer)
        push = Push(layer, viewer.name, Mode.PUT, removals=ids, count=len(ids))
        receipt = await self._queue(push)
        if len(ids) == 1 and receipt.gone == 0:
            raise NotFound("feature", ids[0])
        return receipt

    async def sweep(self) -> int:
        """Take every expired feature off the picture, as `gone`. Returns how many went."""
        async with self._database.writing() as raw:
            due = await raw.fetch("SELECT id FROM layer WHERE next_expiry <= clock_timestamp() ORDER BY id")
        gone = 0
        for row in due:
            async with self._database.writing() as raw:
                locked = await store.lock_if_free(raw, row["id"])
                if locked is None:
                    continue  # Somebody writes there, perhaps for long; the next sweep comes soon.
                gone += len(await store.expire(raw, row["id"], revision=locked.revision, now=locked.now))
        if gone:
            self._ring_soon()
        return gone

    async def close(self) -> None:
        """Wait until everything taken is committed and rung."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def _counting(self, push: Push) -> Iterator[None]:
        """Count what is refused of *push*, whether the rest is taken or not."""
        try:
            yield
        finally:
            self.refusals.note(push.layer.id, push.rejections)

    async def _queue(self, push: Push) -> Receipt:
        lane = self._lanes.get(push.layer.id)
        if lane is None:
            lane = self._lanes[push.layer.id] = deque()
            self._start(self._drain(push.layer.id, lane))
        elif sum(min(each.count, GROUP) for each in (*lane, push)) > MAX_WAITING:
            raise Unavailable(
                f"“{push.layer.name}” has too much waiting to be written; try again in a second.",
                code="layer.busy",
            )
        lane.append(push)
        return await push.done

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, key: LayerId, lane: deque[Push]) -> None:
        try:
            await asyncio.sleep(0)  # Let pushes that are ready in this turn of the loop join the first group.
            while lane:
                if group := _next_group(lane):
                    await self._commit(group)
        finally:
            del self._lanes[key]
            for push in lane:
                push.settle(
                    Unavailable("The service is stopping; nothing of this was stored. Send it again.")
                )

    async def _commit(self, group: list[Push]) -> None:
        """Write *group* in one transaction. What one push has caused is its own: then each is written alone.

        A fault of the database is told to all and not tried again here: it may have struck after the commit.
        """
        try:
            async with self._database.writing() as raw:
                outcomes = await write(raw, group)
        except CAUSED_BY_A_PUSH as error:
            if len(group) == 1:
                group[0].settle(error)
                return
            for push in group:
                await self._commit([push])
        except BaseException as error:
            for push in group:
                push.settle(error)
            if not isinstance(error, Exception):
                raise
        else:
            for push, outcome in zip(group, outcomes, strict=True):
                push.settle(outcome)
            self._ring_soon()

    def _ring_soon(self) -> None:
        if not self._ringing:
            self._ringing = True
            self._start(self._ring())

    async def _ring(self) -> None:
        await asyncio.sleep(RING_AFTER_S)
        self._ringing = False
        try:
            async with self._database.connect() as connection:
                await log.ring(connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            pass  # The poll of every reader finds the change within its second.


def _next_group(lane: deque[Push]) -> list[Push]:
    """What is written next: pushes in order, up to `GROUP` features; those that nobody waits for are dropped."""
    group: list[Push] = []
    size = 0
    while lane and (not group or (size + lane[0].count <= GROUP and not (lane[0].alone or group[0].alone))):
        push = lane.popleft()
        if not push.done.cancelled():
            size += push.count
            group.append(push)
    return group


class _Spooled(Iterable[Sequence[Edit]]):
    """Chunks of edits in a temporary file that this process wrote itself."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[Sequence[Edit]]:
        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)  # noqa: S301 - this process wrote it, to a file without a name
            except EOFError:
                return


def authorise(viewer: Viewer, layer: Layer) -> None:
    """Raise `Forbidden` unless the viewer may write to *layer*, which it is known to see."""
    if not may_publish(viewer, layer):
        raise Forbidden(f"Only “{layer.name}”'s own agency, with the scope “publish”, writes to it.")


def _refuse(push: Push, allow_empty: bool) -> None:
    if push.rejections and not push.lenient:
        raise PushRejected(push.rejections, push.count)
    # Who is refused must be known, or a replacement would take it away.
    if push.mode is Mode.REPLACE and any(rejection.id is None for rejection in push.rejections):
        raise PushRejected(push.rejections, push.count)
    if push.mode is Mode.REPLACE and push.count == len(push.rejections) and not allow_empty:
        raise Invalid(
            "The set is empty, so everything would be gone. If that is meant, add ?allow_empty=true.",
            code="batch.empty",
        )


async def _admit(
    layer: Layer, items: Sequence[Item], rejections: list[Rejection], id: str | None
) -> list[Edit]:
    """What of *items* may be written; refusals go to *rejections*."""
    if layer.kind == "units":
        return _admit_now(layer, items, rejections, id)
    # Shapes cost milliseconds each (validity, hexes): not on the loop that streams.
    return await asyncio.to_thread(_admit_now, layer, items, rejections, id)


def _admit_now(
    layer: Layer, items: Sequence[Item], rejections: list[Rejection], id: str | None
) -> list[Edit]:
    now = datetime.now(UTC)
    edits = []
    for pointer, feature in items:
        try:
            edits.append(admit(feature, layer, now, pointer, id=id))
        except LayersError as error:
            rejections.append(rejection_of(feature, error))
    return edits
