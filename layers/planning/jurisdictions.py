"""Many zones of one area told apart: what each has of gap and overlap, by whom, and where it is worst. Pure.

All zones are read off one coverage, so seventy neighbourhoods cost little more than the city as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.hexes import Hexes, Patch, fills, patches
from layers.hexes.ranges import Ranges, intersection
from layers.planning.coverage import Coverage
from layers.planning.model import Zone
from layers.planning.weights import Demand

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """A quantity of one zone, such as its ground in km², in parts: covered and gap make it up, overlap lies within."""

    all: float
    covered: float
    gap: float
    overlap: float

    @property
    def covered_share(self) -> float | None:
        """Of all; None of nothing."""
        return self.covered / self.all if self.all else None


@dataclass(frozen=True, slots=True, eq=False)
class Jurisdiction:
    """What there is to say of one zone."""

    zone: Zone
    cells: int
    km2: Share
    weight: Share | None
    covers: int
    """Covers that count and reach any of it."""
    worst: Patch | None
    """Its largest connected gap, as far as it is within the zone."""


def jurisdictions(coverage: Coverage, zones: Sequence[Zone], demand: Demand | None) -> list[Jurisdiction]:
    """One for each of *zones*, in their order; each lies in the area of *coverage*, and they may overlap.

    The numbers are those that an analysis of the zone by itself would give.
    """
    hexes = fills([zone.geometry for zone in zones], coverage.field.area.resolution)
    spans = [coverage.field.spans(each) for each in hexes]
    ground = _shares(coverage, coverage.field.km2, spans)
    weights = None if demand is None else _shares(coverage, demand.values, spans)
    reaching = _reaching(coverage, spans)
    gap = coverage.hexes(coverage.gap)
    found = []
    for at, zone in enumerate(zones):
        pieces = patches(Hexes(gap.resolution, intersection(gap.ranges, hexes[at].ranges)))
        worst = pieces[0] if pieces else None
        weight = None if weights is None else weights[at]
        found.append(Jurisdiction(zone, hexes[at].count, ground[at], weight, reaching[at], worst))
    return found


def _shares(coverage: Coverage, values: Floats, spans: Sequence[Ranges]) -> list[Share]:
    """What each of *spans* has of *values*, by their running sums: zones may overlap, and the time does not."""
    parts = [np.ones(len(values), np.bool_), ~coverage.gap, coverage.gap, coverage.overlap]
    running = [np.concatenate(([0.0], np.cumsum(values * part))) for part in parts]
    return [
        # Sums that differ by a rounding must not come to less than nothing.
        Share(*(max(float((sums[own[:, 1]] - sums[own[:, 0]]).sum()), 0.0) for sums in running))
        for own in spans
    ]


def _reaching(coverage: Coverage, spans: Sequence[Ranges]) -> list[int]:
    """How many covers that count reach any cell of each of *spans*."""
    counting = [cover.spans for cover in coverage.covers if cover.counts]
    if not counting:
        return [0] * len(spans)
    owner = np.repeat(np.arange(len(counting)), [len(each) for each in counting])
    every = np.concatenate(counting)
    found = []
    for own in spans:
        if not len(own):
            found.append(0)
            continue
        near = (every[:, 0] < own[-1, 1]) & (every[:, 1] > own[0, 0])
        # The first span of the zone that ends beyond where the cover's begins: if any meets it, that one does.
        at = np.searchsorted(own[:, 1], every[near, 0], side="right")
        meets = own[at, 0] < every[near, 1]
        found.append(len(np.unique(owner[near][meets])))
    return found
