"""A field: the cells of one area as places 0, 1, 2 … in order of rank, so that what each cell has is an array.

Sets of ranges answer for areas of any size; a field answers again and again for one area that fits in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.hexes.area import COARSEST, cell_areas_km2
from layers.hexes.ranges import Ranges
from layers.hexes.ranks import Ids, Ranks, to_ids, to_ranks
from layers.hexes.sets import Hexes, check_same

Counts = NDArray[np.int32]
Mask = NDArray[np.bool_]

# Up to so many cells each is measured, at 1 µs; beyond, one that lies with all its siblings in the area gets its share
# of an ancestor two resolutions coarser: 49 cells, which differ from their mean by less than 1e-3 at resolution 9, and
# not at all in the sum.
_MEASURED_CELLS = 250_000
_SHARED_LEVELS = 2


@dataclass(frozen=True, eq=False)
class Field:
    """The places of *area*, in order of rank. Arrays of one value a cell have `size` entries.

    Spans are (n, 2) half-open ranges of places, sorted and apart: what a set of cells has in the area. Memory is
    that of the arrays: 8 bytes a cell for `km2`, 4 for counts.
    """

    area: Hexes

    @cached_property
    def size(self) -> int:
        """How many cells."""
        return self.area.count

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        """The place of the first rank of each range of the area, and at the end the size."""
        lengths = self.area.ranges[:, 1] - self.area.ranges[:, 0]
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))

    @cached_property
    def km2(self) -> NDArray[np.float64]:
        """The ground of each cell: they add up to `area.area_km2`, within 5e-5 of it."""
        km2 = np.empty(self.size)
        shared = _SHARED_LEVELS if self.size > _MEASURED_CELLS else 0
        for level, ranks in self.area.blocks(max(COARSEST, self.area.resolution - shared)):
            steps = 7 ** (self.area.resolution - level)
            spans = self.spans(
                Hexes.from_ranges(self.area.resolution, np.column_stack((ranks, ranks + 1)) * steps)
            )
            if steps == 1:
                km2[rg.integers(spans)] = cell_areas_km2(to_ids(ranks, level))
                continue
            # Below a pentagon there are fewer than `steps` cells, so each block is spread over those that exist.
            owner = np.searchsorted(ranks, self.ranks(rg.integers(spans)) // steps)
            shares = cell_areas_km2(to_ids(ranks, level)) / np.bincount(owner, minlength=len(ranks))
            km2[rg.integers(spans)] = shares[owner]
        km2.flags.writeable = False
        return km2

    @cached_property
    def cells(self) -> Ids:
        """The H3 id of each place."""
        return self.area.cells()

    def ranks(self, places: NDArray[np.int64]) -> Ranks:
        """The dense rank of each of *places*."""
        at = np.searchsorted(self._firsts, places, side="right") - 1
        ranks: Ranks = self.area.ranges[at, 0] + places - self._firsts[at]
        return ranks

    def places(self, ids: Ids) -> NDArray[np.int64]:
        """The place of each of *ids*, which are cells of the area's resolution; -1 outside of the area."""
        ranks = to_ranks(ids, self.area.resolution)
        if not self.size:
            return np.full(len(ids), -1, np.int64)
        at = rg.position(self.area.ranges, ranks)
        return np.where(at >= 0, self._firsts[at] + ranks - self.area.ranges[at, 0], -1)

    def spans(self, hexes: Hexes) -> Ranges:
        """What *hexes* has in the area; `HexesError` (`h3.resolution`) unless both are of one resolution."""
        check_same([hexes], self.area.resolution)
        return self._spans(rg.intersection(hexes.ranges, self.area.ranges))

    def spans_each(self, sets: Sequence[Hexes]) -> list[Ranges]:
        """`spans` of each of *sets*: of thousands at once it costs a fifth of asking one by one."""
        check_same(sets, self.area.resolution)
        if not sets:
            return []
        owner = np.repeat(np.arange(len(sets)), [len(hexes.ranges) for hexes in sets])
        # From the first place at or after a range's start to the first at or after its end.
        spans = self._places_before(np.concatenate([rg.EMPTY, *(hexes.ranges for hexes in sets)]))
        real = spans[:, 0] < spans[:, 1]
        return rg.by_owner(owner[real], spans[real], len(sets), self.size)

    def _places_before(self, ranks: Ranks) -> NDArray[np.int64]:
        """How many places have a rank below each of *ranks*."""
        if not self.size:
            return np.zeros_like(ranks)
        starts, ends = self.area.ranges.T
        at = np.maximum(np.searchsorted(starts, ranks, side="right") - 1, 0)
        places: NDArray[np.int64] = self._firsts[at] + np.clip(ranks - starts[at], 0, (ends - starts)[at])
        return places

    def _spans(self, inside: Ranges) -> Ranges:
        at = np.searchsorted(self.area.ranges[:, 0], inside[:, 0], side="right") - 1
        spans = inside + (self._firsts[at] - self.area.ranges[at, 0])[:, None]
        # What lies apart in rank may be neighbours in place: where the area itself has a gap between them.
        return spans if len(spans) < 2 or (spans[1:, 0] > spans[:-1, 1]).all() else rg.canonical(spans)

    def hexes(self, mask: Mask) -> Hexes:
        """The cells where *mask* is true, as a set."""
        return self.hexes_in(spans_of(mask))

    def hexes_in(self, spans: Ranges) -> Hexes:
        """The cells of *spans* as a set."""
        if not len(spans):
            return Hexes.empty(self.area.resolution)
        # A span may run over several ranges of the area: it is cut where one of them ends.
        cuts = self._firsts[1:-1]
        starts = np.union1d(spans[:, 0], cuts[rg.position(spans, cuts) >= 0])
        ends = np.union1d(spans[:, 1], cuts[rg.position(spans, cuts - 1) >= 0])
        first = self.ranks(starts)
        return Hexes(self.area.resolution, np.column_stack((first, first + ends - starts)))

    def depth(self, spans: Sequence[Ranges]) -> Counts:
        """How many of *spans* hold each cell."""
        return self.total(spans, np.ones(len(spans))).astype(np.int32)

    def total(self, spans: Sequence[Ranges], values: Iterable[float]) -> NDArray[np.float64]:
        """For each cell the sum of the *values* of those *spans* that hold it; exact for whole numbers below 2^53."""
        if not spans:
            return np.zeros(self.size)
        every = np.concatenate(spans)
        steps = np.repeat(np.fromiter(values, np.float64, len(spans)), [len(each) for each in spans])
        change = np.bincount(every[:, 0], steps, self.size + 1) - np.bincount(
            every[:, 1], steps, self.size + 1
        )
        return np.cumsum(change[:-1])


def spans_of(mask: Mask) -> Ranges:
    """The places where *mask* is true, as spans."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).view(np.int8)))
    return edges.reshape(-1, 2)


def span_sums(values: NDArray[np.float64], spans: Ranges) -> float:
    """The sum of *values* over *spans*; time follows the cells in them."""
    return float(sum(values[first:end].sum() for first, end in spans.tolist()))
