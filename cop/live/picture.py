"""The live layers as they stand, folded from their logs in memory; the pump feeds it, the hub reads it.

It also remembers what changed since the last tick, and which features went of late, so that a viewer who
comes back is told exactly what it missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cop.live import wire
from cop.live.held import PACKED_AGE_MS, Held
from cop.live.interest import Cell, Sight
from cop.live.places import Places
from cop.live.summary import Summary
from layers.log import Departure, Head
from layers.model import Change, Feature, FeatureId, LayerId, Op

MAX_GONE = 20_000
"""Departures remembered a layer, about 3 MB, read back from the log when the layer is loaded.

A viewer who has missed more than that starts anew; to be told so many would be longer than to be told the layer.
"""
CHUNK_BYTES = 100_000
"""Of rows that are joined for all who start: a tenth of a frame."""


class Step(NamedTuple):
    """What became of one feature since the last tick; None: was not there, is not there."""

    before: Held | None
    after: Held | None
    why: str
    """Why it is gone; "" when it is not."""
    passed: bool = False
    """It came and went since the last tick: `before` is how it last was, and nobody was told of it."""


class Chunk(NamedTuple):
    """Some features as rows (`wire.led`); shared by all who are told them in whole."""

    rows: bytes
    ids: tuple[FeatureId, ...]


def _chunks(features: Iterable[Held]) -> Iterator[Chunk]:
    rows: list[Held] = []
    size = 0
    for held in features:
        rows.append(held)
        size += len(held.put)
        if size >= CHUNK_BYTES:
            yield Chunk(wire.led(row.put for row in rows), tuple(row.id for row in rows))
            rows, size = [], 0
    if rows:
        yield Chunk(wire.led(row.put for row in rows), tuple(row.id for row in rows))


class LayerPicture:
    """One layer: where its log stands, its features in the order of their revisions, its late departures."""

    def __init__(self, head: Head, *, tiled: bool = False, summable: bool = False) -> None:
        self.epoch = head.epoch
        self.epoch_text = str(head.epoch)
        self.revision = head.revision
        self.tiled = tiled
        self.summable = summable
        """Whether a viewer who would be told of too many features may be told sums by cell.

        Of any other layer (incidents, zones) every departure is told, even of what came and went in one tick.
        """
        self.features: dict[FeatureId, Held] = {}
        self._places = Places(self.features)
        self._refs: dict[int, int] = {}
        """How many features share a reference."""
        self._summaries: dict[tuple[int, frozenset[str | None] | None], Summary] = {}
        self._written: dict[Cell, list[Chunk]] = {}
        """What stands in a cell (0: the world), as of revision `_written_at`."""
        self._written_at = -1
        self._gone: dict[FeatureId, Departure] = {}
        self._floor = head.revision
        """What departed after this revision is all remembered."""
        self._missed: dict[int, tuple[list[Held], dict[FeatureId, str]]] = {}
        """What was missed after some revisions, as of revision `_missed_at`."""
        self._missed_at = -1
        self._before: dict[FeatureId, Held | None] = {}
        self._passed: dict[FeatureId, Held] = {}
        """Where what went was last seen, if every departure is told."""
        self._why: dict[FeatureId, str] = {}

    def hold(self, features: Iterable[Feature]) -> None:
        """Start with *features*, as they stand at this layer's head, ascending by revision."""
        for feature in features:
            held = Held(feature, feature.id)
            self.features[feature.id] = held
            self._places.move(None, held)
            self._count_ref(held.ref, 1)

    def remember(self, floor: int, departures: Iterable[Departure]) -> None:
        """Take all *departures* after revision *floor*, ascending, for viewers who come back from before."""
        self._floor = floor
        for departure in departures:
            if departure.id not in self.features:
                self._bury(departure)

    def apply(self, changes: Iterable[Change]) -> None:
        """Take in the *changes* that follow this layer's revision. Raises ValueError at a gap."""
        for change in changes:
            if change.revision != self.revision + 1:
                raise ValueError(f"Revision {change.revision} cannot follow {self.revision}.")
            self.revision = change.revision
            match change.op:
                case Op.PUT:
                    self._put(change)
                case Op.GONE:
                    self._take(change.feature_id, change.why or "deleted")
                case Op.LATE:
                    pass

    def take(self) -> list[Step]:
        """What changed since this was last called, one step a feature."""
        steps = [
            Step(before, self.features.get(feature_id), self._why.get(feature_id, ""))
            for feature_id, before in self._before.items()
        ]
        passed = [
            Step(self._passed[feature_id], None, self._why[feature_id], passed=True)
            for feature_id in self._passed.keys() - self.features.keys()
            if self._before[feature_id] is None
        ]
        self.forget()
        return [step for step in steps if step.before or step.after] + passed

    def forget(self) -> None:
        """Let go of what changed since `take` was last called."""
        self._before, self._passed, self._why = {}, {}, {}

    def end_tick(self) -> None:
        """Let go of what was written for those who started in this tick."""
        self._written, self._missed = {}, {}

    def features_in(self, sight: Sight) -> Iterator[Held]:
        """The features that a viewer of *sight* is to hold, in no promised order."""
        for held in self._places.within(sight):
            if sight.statuses is None or held.status in sight.statuses:
                yield held

    def count_in(self, sight: Sight) -> int:
        """How many features a viewer of *sight* is to hold."""
        if sight.statuses is None:
            return self._places.count(sight)
        return sum(1 for _ in self.features_in(sight))

    def whole(self, sight: Sight) -> list[Chunk]:
        """Everything that a viewer of *sight* is to hold; each cell is written once, for all who start now."""
        if sight.statuses is not None:
            return list(_chunks(self.features_in(sight)))
        if self._written_at != self.revision:
            self._written, self._written_at = {}, self.revision
        if sight.resolution is None:
            return self._write(0, self.features)
        chunks = list(_chunks(self._places.extended_in(sight)))
        for cell, inside in self._places.by_cell(sight):
            chunks += self._write(cell, inside)
        return chunks

    def _write(self, cell: Cell, inside: Iterable[FeatureId]) -> list[Chunk]:
        chunks = self._written.get(cell)
        if chunks is None:
            chunks = self._written[cell] = list(_chunks(self.features[id_] for id_ in inside))
        return chunks

    def summary(self, resolution: int, statuses: frozenset[str | None] | None, now: int) -> Summary:
        """Counts by cell, at most `Summary.GOOD_MS` old."""
        known = self._summaries.get((resolution, statuses))
        if known is None or not known.good(self.revision, now):
            wanted = (held for held in self.features.values() if statuses is None or held.status in statuses)
            known = self._summaries[resolution, statuses] = Summary(resolution, wanted, self.revision, now)
        return known

    def packed(self, held: Held, now: int) -> bytes:
        """The packed move of one of its features; b"" where it must be told in words."""
        if self._refs[held.ref] > 1 or abs(now - held.observed_ms) > PACKED_AGE_MS:
            return b""
        return held.packed

    def missed(self, revision: int) -> tuple[list[Held], dict[FeatureId, str]] | None:
        """What changed after *revision*, and what went, and why; None when not all of that is remembered.

        Many come back at once with the same cursor: they are handed the same lists, which are only to be read.
        """
        if not self._floor <= revision <= self.revision:
            return None
        if self._missed_at != self.revision:
            self._missed, self._missed_at = {}, self.revision
        if revision not in self._missed:
            self._missed[revision] = self._after(revision)
        return self._missed[revision]

    def _after(self, revision: int) -> tuple[list[Held], dict[FeatureId, str]]:
        changed = []
        for held in reversed(self.features.values()):
            if held.revision <= revision:
                break
            changed.append(held)
        gone = {}
        for departure in reversed(self._gone.values()):
            if departure.revision <= revision:
                break
            gone[departure.id] = departure.why
        return changed, gone

    def _put(self, change: Change) -> None:
        before = self.features.pop(change.feature_id, None)
        held = Held(change, change.feature_id, None if before is None else before.ref)
        self._before.setdefault(held.id, before)
        self._why.pop(held.id, None)
        self._gone.pop(held.id, None)
        self.features[held.id] = held
        self._places.move(before, held)
        if before is None:
            self._count_ref(held.ref, 1)

    def _take(self, feature_id: FeatureId, why: str) -> None:
        before = self.features.pop(feature_id, None)
        if before is not None:
            self._before.setdefault(feature_id, before)
            self._why[feature_id] = why
            if not self.summable:
                self._passed[feature_id] = before
            self._bury(Departure(feature_id, self.revision, why))
            self._places.move(before, None)
            self._count_ref(before.ref, -1)

    def _count_ref(self, ref: int, more: int) -> None:
        count = self._refs.get(ref, 0) + more
        if count:
            self._refs[ref] = count
        else:
            del self._refs[ref]

    def _bury(self, departure: Departure) -> None:
        self._gone.pop(departure.id, None)
        self._gone[departure.id] = departure
        if len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone.values()))
            del self._gone[oldest.id]
            self._floor = oldest.revision


Picture = dict[LayerId, LayerPicture]
"""All layers of one process. A layer that was read anew is another object, by which its viewers notice."""
