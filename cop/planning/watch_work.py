"""What is done of a watched analysis in its process: the coverage kept up to date, and its gaps as features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import orjson
import shapely

from cop.briefing.facts import why
from cop.planning.answers import explained, on_the_map
from cop.planning.desk import NotLoaded
from layers.geometry import MAX_VERTICES
from layers.hexes import Hexes, outlines, patches
from layers.hexes.ranks import to_ids
from layers.model import FeatureId, JsonObject, LayerName
from layers.planning.model import Case, Row
from layers.planning.reasons import explain
from layers.planning.watched import Watched

MAX_GAPS = 200
"""Gaps that are published, the largest first."""


class News(NamedTuple):
    """What has happened to some features of one layer, newest state each."""

    layer: LayerName
    rows: tuple[Row, ...]
    gone: tuple[FeatureId, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """How a watched analysis stands."""

    area_km2: float
    gap_km2: float
    gaps: int
    """How many separate ones there are."""
    features: tuple[JsonObject, ...] | None
    """The largest of them as features of a layer of zones; None where nothing has changed."""
    middle: tuple[float, float] | None
    """Of the largest."""

    @property
    def covered_share(self) -> float:
        """Of the ground, 0 to 1; an area without ground is covered."""
        return 1 - self.gap_km2 / self.area_km2 if self.area_km2 else 1.0


# What the process watches; it does one thing at a time, and is told when to begin anew.
_watched: dict[int, Watched] = {}


def begin(id: int, case: Case) -> Found:
    """Load *case* as what the watch *id* looks at."""
    _watched[id] = Watched.of(case)
    return _found(_watched[id], changed=True)


def update(id: int, news: Sequence[News], at: datetime, *, whole: bool = False) -> Found:
    """Take *news*, and whatever time has changed by *at*. Raises `NotLoaded` if `begin` was another process's."""
    watched = _watched.get(id)
    if watched is None:
        raise NotLoaded
    changed = whole
    for each in news:
        changed |= watched.apply(each.layer, each.rows, each.gone, at)
    changed |= watched.advance(at)
    return _found(watched, changed=changed)


def end(id: int) -> None:
    """Forget a watch."""
    _watched.pop(id, None)


def _found(watched: Watched, *, changed: bool) -> Found:
    km2 = watched.coverage.field.km2
    area_km2, gap_km2 = float(km2.sum()), float(km2[watched.gap].sum())
    if not changed:
        return Found(area_km2, gap_km2, -1, None, None)
    pieces = patches(watched.gap_hexes())
    first = pieces[:MAX_GAPS]
    reasons = explain(watched.snapshot(), [piece.hexes for piece in first], [piece.center for piece in first])
    streets = watched.case.roads is not None
    features = tuple(
        feature
        for piece, each in zip(first, reasons, strict=True)
        for feature in _features(piece.hexes, why(explained(each), streets=streets))
    )
    return Found(area_km2, gap_km2, len(pieces), features, first[0].center if first else None)


def _features(gap: Hexes, reason: str) -> Iterator[JsonObject]:
    """One gap as a zone. Its id is that of its first cell, so a gap that grows or shrinks mostly keeps it.

    A gap with a longer border than a layer takes comes in parts: it is the largest that must not be missing.
    """
    parts = [shapely.geometry.shape(on_the_map(each.coordinates)) for each in outlines(gap)]
    geometry = shapely.union_all(parts) if len(parts) > 1 else parts[0]
    if shapely.get_num_coordinates(geometry) > MAX_VERTICES:
        for half in _halves(gap):
            yield from _features(half, reason)
        return
    yield {
        "type": "Feature",
        "id": f"gap-{int(to_ids(gap.ranges[:1, 0], gap.resolution)[0]):x}",
        "geometry": orjson.loads(shapely.to_geojson(geometry)),
        "properties": {
            "name": f"Gap of {gap.area_km2:.2f} km²",
            "zone_type": "gap",
            "km2": round(gap.area_km2, 4),
            "why": reason,
        },
    }


def _halves(hexes: Hexes) -> tuple[Hexes, Hexes]:
    """Ranks keep what is near together, so each half is mostly of one piece."""
    ranges = hexes.ranges
    if len(ranges) == 1:
        first, end = ranges[0].tolist()
        ranges = np.array([[first, (first + end) // 2], [(first + end) // 2, end]])
    middle = len(ranges) // 2
    low, high = (Hexes.from_ranges(hexes.resolution, part) for part in (ranges[:middle], ranges[middle:]))
    return low, high
