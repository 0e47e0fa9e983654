"""One layer's group of pushes, applied in one transaction: as few statements as their ids allow.

`publish` queues and admits; this writes through `store` and counts what became of each push.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, assert_never
from uuid import UUID

import asyncpg
import orjson
import shapely

from layers import admission, store
from layers.errors import Conflict, InvalidFeature, LayersError, PushRejected, TooLarge
from layers.kinds import COVERING
from layers.model import Edit, FeatureId, JsonObject, Layer, LayerName, Receipt, Rejection, Stream
from layers.planning.ground import coverage_of

MAX_LIVE_FEATURES = 100_000
"""Features in one layer that streams one by one: each viewer's page holds them all."""
CHUNK = 1_000
"""Rows in one statement."""

CLOCKS_APART = timedelta(seconds=5)
"""An expiry so near to the one that the layer implies was implied: it was counted by this machine's clock, the
time of receipt by the database's."""

Item = tuple[str, object]
"""A JSON pointer and the value found there."""


class Mode(StrEnum):
    """What a push does with features that are there."""

    PUT = "put"
    """Insert or replace each by its id."""
    PATCH = "patch"
    """Merge each into what is there (RFC 7396)."""
    REPLACE = "replace"
    """As `put`, and whatever is not named is gone."""


class Idempotency(NamedTuple):
    """A key under which a publisher may send the same body again, and that body's SHA-256."""

    key: str
    body_hash: bytes


@dataclass(slots=True)
class Tally:
    """A receipt in the making: what became of one push's features."""

    first: int | None = None
    last: int | None = None
    created: int = 0
    put: int = 0
    unchanged: int = 0
    late: int = 0
    gone: int = 0

    def took(self, first: int, last: int) -> None:
        """Note that revisions *first* to *last* are this push's."""
        self.first = first if self.first is None else self.first
        self.last = last

    def count(self, verdict: store.Verdict, revision: int | None) -> None:
        """Note what became of one edit."""
        match verdict:
            case store.Verdict.CREATED:
                self.created += 1
            case store.Verdict.PUT:
                self.put += 1
            case store.Verdict.UNCHANGED:
                self.unchanged += 1
            case store.Verdict.LATE:
                self.late += 1
            case _:
                assert_never(verdict)
        if revision is not None:
            self.took(revision, revision)


@dataclass(slots=True, eq=False)
class Push:
    """One caller's push while it waits for its layer's lock: edits to put, patches to merge, or removals."""

    layer: Layer
    actor: str
    mode: Mode
    chunks: Iterable[Sequence[Edit]] = ()
    patches: Sequence[Item] = ()
    removals: Sequence[FeatureId] = ()
    count: int = 0
    lenient: bool = False
    alone: bool = False
    """Not to be grouped with others: it may be long."""
    rejections: list[Rejection] = field(default_factory=list)
    idempotency: Idempotency | None = None
    done: asyncio.Future[Receipt] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, outcome: Receipt | BaseException) -> None:
        """Tell the caller, unless it has gone away."""
        if self.done.done():
            return
        if isinstance(outcome, Receipt):
            self.done.set_result(outcome)
        else:
            self.done.set_exception(outcome)

    def receipt(self, epoch: UUID, tally: Tally) -> Receipt:
        """What to tell the caller once it is committed."""
        return Receipt(
            layer=self.layer.name,
            epoch=epoch,
            first_revision=tally.first,
            last_revision=tally.last,
            accepted=tally.created + tally.put,
            created=tally.created,
            unchanged=tally.unchanged,
            late=tally.late,
            gone=tally.gone,
            rejected=tuple(self.rejections),
        )


def admit(feature: object, layer: Layer, now: datetime, pointer: str, *, id: str | None = None) -> Edit:
    """`admission.admit`, and the hexes that the feature covers. Raises what that raises."""
    edit = admission.admit(feature, layer, now, pointer, id=id)
    if layer.kind not in COVERING:
        return edit
    # The geometry as it was placed: rounded, mended, split at the antimeridian.
    placed = json.loads(shapely.to_geojson(shapely.from_wkb(edit.geometry)))
    try:
        ranges = coverage_of(layer.kind, placed, json.loads(edit.properties), layer.rules)
    except TooLarge as error:
        raise TooLarge(error.detail, pointer=f"{pointer}/geometry", code=error.code) from None
    return edit._replace(coverage=ranges)


def rejection_of(feature: object, error: LayersError) -> Rejection:
    """What the receipt says of a feature that was refused."""
    # The database keeps no NUL in text, and a receipt is kept.
    pointer, detail = (text.replace("\0", "\N{SYMBOL FOR NULL}") for text in (error.pointer, error.detail))
    return Rejection(pointer, error.code, detail, _id_of(feature))


async def write(raw: asyncpg.Connection, group: Sequence[Push]) -> list[Receipt | LayersError]:
    """Apply every push of *group*, all to one layer, in order: a receipt each, or why it was not applied.

    Raises `TooLarge` (nothing written) when the layer would then hold more than it may.
    """
    layer = group[0].layer
    locked = await store.lock(raw, layer.id)
    writer = _Writer(raw, layer, locked)
    outcomes = [await writer.apply(push) for push in group]
    await writer.flush()
    if (
        layer.stream is Stream.LIVE
        and writer.growth > 0
        and locked.features + writer.growth > MAX_LIVE_FEATURES
    ):
        raise TooLarge(
            f"“{layer.name}” would hold more than {MAX_LIVE_FEATURES:,} features; a layer that large is made "
            "with stream “tiled”.",
            code="layer.full",
        )
    receipts: list[Receipt | LayersError] = []
    for push, outcome in zip(group, outcomes, strict=True):
        if not isinstance(outcome, Tally):
            receipts.append(outcome)
            continue
        receipt = push.receipt(locked.epoch, outcome)
        if push.idempotency is not None:
            await _remember(raw, push, push.idempotency, receipt)
        receipts.append(receipt)
    return receipts


class _Writer:
    """Gathers edits and writes them in as few statements as their ids allow.

    An id may come once in a statement, so the second edit of an id goes into the second statement, and so
    on: a vehicle's history costs one statement a fix only where it comes alone.
    """

    def __init__(self, raw: asyncpg.Connection, layer: Layer, locked: store.Locked) -> None:
        self._raw = raw
        self._layer = layer
        self._now = locked.now
        self._revision = locked.revision
        self._actor = ""
        self._rounds: list[dict[FeatureId, tuple[Edit, Tally]]] = []
        self._turns: Counter[FeatureId] = Counter()
        self._waiting = 0
        self.growth = 0
        """By how many features the layer has grown, net."""

    async def apply(self, push: Push) -> Tally | Receipt | LayersError:
        """Write *push*, or find that it was written before, or say why it cannot be."""
        if push.actor != self._actor or len(self._rounds) > 1:  # so that each push has a range of its own
            await self.flush()
            self._actor = push.actor
        if push.idempotency is not None:
            try:
                if (receipt := await _recall(self._raw, push, push.idempotency)) is not None:
                    return receipt
            except Conflict as error:
                return error
        tally = Tally()
        match push.mode:
            case Mode.PUT:
                await self._put(push.chunks, tally)
            case Mode.REPLACE:
                await self._replace(push, tally)
            case Mode.PATCH:
                return await self._patch(push, tally)
        if push.removals:
            await self._gone(push.removals, tally)
        return tally

    async def _put(self, chunks: Iterable[Sequence[Edit]], tally: Tally) -> None:
        for chunk in chunks:
            for edit in chunk:
                if self._waiting >= CHUNK:
                    await self.flush()
                self._waiting += 1
                turn = self._turns[edit.id]
                self._turns[edit.id] += 1
                if turn == len(self._rounds):
                    self._rounds.append({})
                self._rounds[turn][edit.id] = (edit, tally)

    async def _replace(self, push: Push, tally: Tally) -> None:
        """Put what *push* holds; what it does not name is gone. A feature that was refused was named all the same."""
        named = [FeatureId(rejection.id) for rejection in push.rejections if rejection.id is not None]
        for chunk in push.chunks:
            await self._put([chunk], tally)
            named.extend(edit.id for edit in chunk)
        await self._gone(named, tally, others=True)

    async def _gone(self, ids: Sequence[FeatureId], tally: Tally, *, others: bool = False) -> None:
        await self.flush()
        gone = await store.remove(
            self._raw,
            self._layer.id,
            ids,
            revision=self._revision,
            now=self._now,
            actor=self._actor,
            others=others,
        )
        if gone:
            tally.took(self._revision + 1, self._revision + len(gone))
            tally.gone += len(gone)
            self._revision += len(gone)
            self.growth -= len(gone)

    async def _patch(self, push: Push, tally: Tally) -> Tally | PushRejected:
        """Merge under the lock, in a savepoint: a refusal undoes this push alone."""
        await self.flush()
        push.rejections.clear()  # A push that is written again, alone, is judged anew.
        before = (self._revision, self.growth)
        try:
            async with self._raw.transaction():
                for run in _distinct(push.patches):
                    await self._put([await self._merged(run, push.rejections)], tally)
                    await self.flush()
                if push.rejections and not push.lenient:
                    raise PushRejected(push.rejections, push.count)
        except PushRejected as error:
            self._revision, self.growth = before
            return error
        return tally

    async def _merged(self, items: Sequence[Item], rejections: list[Rejection]) -> list[Edit]:
        ids = [id for _, patch in items if (id := _id_of(patch)) is not None]
        known = await store.read_for_merge(self._raw, self._layer.id, ids)
        if self._layer.kind == "units":
            return _merge_all(items, known, self._layer, self._now, rejections)
        # Shapes cost milliseconds each: not on the loop that streams.
        return await asyncio.to_thread(_merge_all, items, known, self._layer, self._now, rejections)

    async def flush(self) -> None:
        """Write what has gathered."""
        rounds, self._rounds = self._rounds, []
        self._turns.clear()
        self._waiting = 0
        for batch in (list(each.values()) for each in rounds):
            written = await store.put(
                self._raw,
                self._layer.id,
                [edit for edit, _ in batch],
                revision=self._revision,
                now=self._now,
                actor=self._actor,
                repeat_within=timedelta(seconds=min(self._layer.rules.stale_after_s, 3600) / 4),
                covers=self._layer.kind in COVERING,
            )
            self._revision = written.revision
            for (_, tally), (verdict, revision) in zip(batch, written.verdicts, strict=True):
                tally.count(verdict, revision)
                self.growth += verdict is store.Verdict.CREATED


def _id_of(patch: object) -> FeatureId | None:
    """The id a patch names, in canonical form; None where it names none that could exist."""
    try:
        return admission.feature_id(patch["id"], "") if isinstance(patch, dict) else None
    except (KeyError, LayersError):
        return None


def _distinct(items: Sequence[Item]) -> Iterator[list[Item]]:
    """*items* in order, cut so that no id comes twice in one run."""
    run: list[Item] = []
    seen: set[FeatureId | None] = set()
    for item in items:
        if (id := _id_of(item[1])) in seen or len(run) >= CHUNK:
            yield run
            run, seen = [], set()
        run.append(item)
        seen.add(id)
    if run:
        yield run


def _merge_all(
    items: Sequence[Item],
    known: dict[FeatureId, store.Known],
    layer: Layer,
    now: datetime,
    rejections: list[Rejection],
) -> list[Edit]:
    edits = []
    for pointer, patch in items:
        try:
            edits.append(_merge_one(pointer, patch, known, layer, now))
        except LayersError as error:
            rejections.append(rejection_of(patch, error))
    return edits


def _merge_one(
    pointer: str, patch: object, known: dict[FeatureId, store.Known], layer: Layer, now: datetime
) -> Edit:
    merged = _merge(pointer, patch, known, layer)
    assert isinstance(patch, dict), "merged"
    if _moves_ground(patch):
        return admit(merged, layer, now, pointer)
    # The ground is as it was: so are its hexes, which are dear, and what was said of its quality.
    before = known[admission.feature_id(patch["id"], "")]
    edit = admission.admit(merged, layer, now, pointer)._replace(coverage=before.ranges)
    quality = json.loads(before.properties).get("quality")
    if quality is None:
        return edit
    return edit._replace(properties=json.dumps(json.loads(edit.properties) | {"quality": quality}))


def _moves_ground(patch: JsonObject) -> bool:
    properties = patch.get("properties")
    return (
        "geometry" in patch
        or properties is None
        or not isinstance(properties, dict)
        or "reach_m" in properties
    )


def _merge(pointer: str, patch: object, known: dict[FeatureId, store.Known], layer: Layer) -> object:
    if not isinstance(patch, dict) or "id" not in patch:
        raise InvalidFeature("Expected a Feature with an “id”.", pointer=pointer, code="feature.id")
    id = admission.feature_id(patch["id"], f"{pointer}/id")
    if id not in known:
        raise InvalidFeature(
            f"There is no feature “{id}” to merge into.", pointer=f"{pointer}/id", code="feature.not_found"
        )
    return admission.merge_patch(_as_geojson(id, known[id], layer), patch)


def _as_geojson(id: FeatureId, known: store.Known, layer: Layer) -> JsonObject:
    """The feature as a publisher could have sent it, so that a merge is admitted like any other push."""
    times = {"observed_at": known.observed_at.isoformat()}
    lifetime = layer.rules.expire_after_s
    implied = None if lifetime is None else known.observed_at + timedelta(seconds=lifetime)
    if known.expires_at is not None and (implied is None or abs(known.expires_at - implied) > CLOCKS_APART):
        times["expires_at"] = known.expires_at.isoformat()
    geometry = None if known.geometry is None else json.loads(known.geometry)
    properties = json.loads(known.properties) | times
    return {"type": "Feature", "id": id, "geometry": geometry, "properties": properties}


async def _recall(raw: asyncpg.Connection, push: Push, idempotency: Idempotency) -> Receipt | None:
    """The receipt of the same body sent before under the same key. Raises `Conflict` for another body."""
    row = await raw.fetchrow(
        "SELECT body_hash, receipt::text AS receipt FROM idempotency WHERE layer_id = $1 AND actor = $2 AND key = $3",
        push.layer.id,
        push.actor,
        idempotency.key,
    )
    if row is None:
        return None
    if row["body_hash"] != idempotency.body_hash:
        raise Conflict(
            f"The idempotency key “{idempotency.key}” was used for another body.", code="idempotency.conflict"
        )
    told = json.loads(row["receipt"])
    told["rejected"] = tuple(Rejection(**rejection) for rejection in told["rejected"])
    return Receipt(**told | {"layer": LayerName(told["layer"]), "epoch": UUID(told["epoch"])})


async def _remember(raw: asyncpg.Connection, push: Push, idempotency: Idempotency, receipt: Receipt) -> None:
    await raw.execute(
        "INSERT INTO idempotency (layer_id, actor, key, body_hash, receipt) VALUES ($1, $2, $3, $4, $5)",
        push.layer.id,
        push.actor,
        idempotency.key,
        idempotency.body_hash,
        orjson.dumps(asdict(receipt), default=str).decode(),
    )
