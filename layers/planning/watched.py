"""A coverage that is kept up to date, feature by feature, as the picture changes and as time goes by. Pure.

What changes costs what it covers, not what the whole analysis does: the depth is added to and taken from in place.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import orjson

from layers.hexes import Field, Hexes
from layers.hexes.field import Mask
from layers.hexes.ranges import EMPTY, Ranges
from layers.model import FeatureId, LayerName
from layers.planning.coverage import Coverage, area_of, covers_of, streets_for
from layers.planning.ground import boxes_near, hexes_errors
from layers.planning.judging import moment
from layers.planning.model import MAX_REACH_M, Case, Cover, Row, Source
from layers.planning.streets import Streets

Key = tuple[LayerName, FeatureId]


@dataclass(eq=False)
class Watched:
    """The state of one watched analysis. It changes in place: it belongs to whoever applies changes to it."""

    case: Case
    coverage: Coverage
    """Its depth is always that of `covers`; its own `covers` are those at the beginning."""
    covers: dict[Key, Cover]
    rows: dict[Key, Row]
    """The features near the area, as they were last seen: time may change how one stands."""
    due: list[tuple[datetime, LayerName, FeatureId]]
    """A heap of the moments at which a feature may stand otherwise than now …"""
    expected: dict[Key, datetime]
    """… and which of them counts: one for each feature, the first. It is looked at, and then the next is known."""

    @classmethod
    def of(cls, case: Case) -> Watched:
        """The state at `case.at`, with all features of the case."""
        with hexes_errors():
            field = Field(area_of(case))
        made = cls(case, Coverage.of(field, [], case.rule.at_least), {}, {}, [], {})
        for source in case.sources:
            made.apply(source.layer, source.rows, (), case.at)
        return made

    def apply(self, layer: LayerName, rows: Sequence[Row], gone: Collection[FeatureId], at: datetime) -> bool:
        """Take the newest state of some features of *layer*, and those that are *gone*; whether any cover changed.

        All is judged at *at*. Features too far away to matter are forgotten.
        """
        source = self._sources[layer]
        near = [row for row in rows if self._is_near(row)]
        with hexes_errors():
            made, _ = covers_of(
                replace(source, rows=tuple(near)),
                self.coverage.field,
                self._boxes,
                self.case.rule,
                at,
                self._streets,
            )
        new = {cover.id: cover for cover in made}
        touched = {*gone, *(row.id for row in rows)}
        changed = [self._put((layer, id), new.get(id)) for id in touched]
        for id in touched:
            self.rows.pop((layer, id), None)
        for row in near:
            self.rows[layer, row.id] = row
            self._expect((layer, row.id), next_change(row, source, at))
        return any(changed)

    def advance(self, at: datetime) -> bool:
        """Judge anew whatever time may have changed by *at*; whether any cover changed."""
        again: dict[LayerName, set[FeatureId]] = {}
        while self.due and self.due[0][0] <= at:
            then, layer, id = heapq.heappop(self.due)
            if self.expected.get((layer, id)) == then:
                del self.expected[layer, id]
                again.setdefault(layer, set()).add(id)
        changed = False
        for layer, ids in again.items():
            rows = [self.rows[layer, id] for id in sorted(ids) if (layer, id) in self.rows]
            changed |= self.apply(layer, rows, (), at)
        return changed

    @property
    def gap(self) -> Mask:
        """Where fewer than asked for reach now."""
        mask: Mask = self.coverage.depth < self.case.rule.at_least
        return mask

    def gap_hexes(self) -> Hexes:
        """The cells of the gap now."""
        return self.coverage.field.hexes(self.gap)

    def snapshot(self) -> Coverage:
        """The coverage as it stands now, apart from what comes later."""
        found = self.coverage
        return Coverage(found.field, tuple(self.covers.values()), found.depth.copy(), found.at_least)

    def _put(self, key: Key, cover: Cover | None) -> bool:
        """Put *cover* in the place of what was known of the feature; whether that changes the depth."""
        old = self.covers.pop(key, None)
        if cover is not None:
            self.covers[key] = cover
        before = old.spans if old is not None and old.counts else EMPTY
        after = cover.spans if cover is not None and cover.counts else EMPTY
        if np.array_equal(before, after):
            return False
        self._add(before, -1)
        self._add(after, 1)
        return True

    def _expect(self, key: Key, then: datetime | None) -> None:
        # A unit that reports again is due later; the earlier moment stays, so that reports do not pile up in the heap.
        known = self.expected.get(key)
        if then is not None and (known is None or then < known):
            self.expected[key] = then
            heapq.heappush(self.due, (then, *key))

    def _add(self, spans: Ranges, by: int) -> None:
        depth = self.coverage.depth
        for first, end in spans.tolist():
            depth[first:end] += by

    def _is_near(self, row: Row) -> bool:
        if row.lng is None or row.lat is None:
            return True
        lng, lat = row.lng, row.lat
        return any(
            west <= lng <= east and south <= lat <= north for west, south, east, north in self._wide_boxes
        )

    @cached_property
    def _sources(self) -> dict[LayerName, Source]:
        return {source.layer: source for source in self.case.sources}

    @cached_property
    def _boxes(self) -> Sequence[tuple[float, float, float, float]]:
        return boxes_near(self.case.area, 0.0, self.case.resolution)

    @cached_property
    def _wide_boxes(self) -> Sequence[tuple[float, float, float, float]]:
        return boxes_near(self.case.area, MAX_REACH_M, self.case.resolution)

    @cached_property
    def _streets(self) -> Streets | None:
        return streets_for(self.case)


def next_change(row: Row, source: Source, at: datetime) -> datetime | None:
    """The first moment after *at* at which time alone may change how the feature stands: its shift, its age."""
    stated = orjson.loads(row.properties)
    moments: Iterable[datetime | None] = (
        moment(stated.get("valid_from")),
        moment(stated.get("valid_to")),
        # It counts for as long as its layer says, and no longer: just after.
        row.observed_at + timedelta(seconds=source.stale_after_s, microseconds=1)
        if source.kind == "units"
        else None,
    )
    return min((each for each in moments if each is not None and each > at), default=None)
