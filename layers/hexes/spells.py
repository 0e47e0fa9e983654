"""Sets of cells that each hold over a spell of time, and what an area lacks of them over a window: the union of boxes
of cells and times, as in space-time coverage maps (ST-MOC, IVOA MOC 2.0 §4.3), with depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.hexes.depth import Depth, depth
from layers.hexes.errors import HexesError
from layers.hexes.ranges import Ranges
from layers.hexes.ranks import check_resolution
from layers.hexes.sets import Hexes, check_same

Counts = NDArray[np.int32]
Times = NDArray[np.int64]

_FARTHEST = 2**62
# Intervals are gone through some at a time: as many as have about this many counts, which take 2 MB.
_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class Spells:
    """Which sets hold when: set i from `starts[i]` up to and without `ends[i]`. Times are whole numbers of any unit
    and any origin, below 2^62 without their sign.
    """

    resolution: int
    starts: Times
    ends: Times
    hexes: tuple[Hexes, ...]

    @classmethod
    def of(cls, resolution: int, spells: Iterable[tuple[int, int, Hexes]]) -> Spells:
        """From (start, end, hexes) in any order; a spell that ends where it starts holds at no time.

        `HexesError` with code `h3.spell` for one that ends before it starts or lies beyond all times, and with
        `h3.resolution` for a set of another resolution.
        """
        known = list(spells)
        for start, end, _ in known:
            _check_times(start, end)
        hexes = tuple(each for _, _, each in known)
        check_same(hexes, check_resolution(resolution))
        starts, ends = np.array([spell[:2] for spell in known], dtype=np.int64).reshape(-1, 2).T
        return cls(resolution, starts, ends, hexes)

    def at(self, instant: int) -> Depth:
        """How many cover each cell at *instant*."""
        holding = np.flatnonzero((self.starts <= instant) & (instant < self.ends))
        return depth([self.hexes[number] for number in holding.tolist()], self.resolution)

    def over(self, area: Hexes, start: int, end: int) -> Course:
        """The course of *area* from *start* up to and without *end*: every change of cover in it."""
        check_same([area], self.resolution)
        _check_times(start, end)
        first, last = np.maximum(self.starts, start), np.minimum(self.ends, end)
        holding = np.flatnonzero(first < last)
        first, last = first[holding], last[holding]
        lists = [self.hexes[number].ranges for number in holding.tolist()]
        ground = np.concatenate([rg.EMPTY, *lists])
        spell = np.repeat(np.arange(len(lists)), [len(ranges) for ranges in lists])
        return Course(
            area=area,
            moments=np.unique(np.concatenate((first, last, [start, end]))),
            pieces=_cut(area.ranges, ground),
            ground=ground,
            spans=np.column_stack((first, last))[spell],
        )


@dataclass(frozen=True, eq=False)
class Course:
    """How an area is covered over a window, as n intervals between n + 1 `moments`, in which nothing changes, times
    m `pieces` of the area, the cells of each of which are always covered alike.

    Row i of `ground` (ranges of ranks) is covered from `spans[i, 0]` to `spans[i, 1]`. Time is that of n · m counts, a
    few ns each; memory follows the borders of all sets.
    """

    area: Hexes
    moments: Times
    pieces: Ranges
    ground: Ranges
    spans: Times

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """How many cells each piece has, (m,)."""
        cells: NDArray[np.int64] = self.pieces[:, 1] - self.pieces[:, 0]
        return cells

    def by_cell(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """*values*, one for each piece, as one for each cell of the area in order of rank, as a `Field` has them."""
        return np.repeat(values, self.cells)

    def depths(self) -> Iterator[Counts]:
        """How many cover each piece, (some intervals, m) at a time, in order of time."""
        row, column, step = self._corners
        width = len(self.pieces) + 1
        rows = max(_AT_ONCE // width, 1)
        standing = np.zeros(width, np.int32)
        for top in range(0, len(self.moments) - 1, rows):
            height = min(rows, len(self.moments) - 1 - top)
            first, last = np.searchsorted(row, (top, top + height))
            at = (row[first:last] - top) * width + column[first:last]
            change = np.bincount(at, step[first:last], height * width).astype(np.int32).reshape(height, width)
            change[0] += standing
            standing = change.sum(axis=0, dtype=np.int32)
            yield np.cumsum(np.cumsum(change, axis=0, out=change), axis=1, out=change)[:, :-1]

    def uncovered(self, count: int = 1) -> Times:
        """For how long in all fewer than *count* cover each piece, (m,), exact."""
        lengths, top = np.diff(self.moments), 0
        total = np.zeros(len(self.pieces), np.int64)
        for depths in self.depths():
            total += lengths[top : top + len(depths)] @ (depths < count)
            top += len(depths)
        return total

    def gaps(self, count: int = 1, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """What lies in cells with fewer than *count* in each interval, (n,): the number of cells; with *weights*, one
        for each cell of the area in order of rank, such as km² or people, the sum of those.
        """
        parts = self.cells.astype(np.float64) if weights is None else self._sums(weights)
        return np.concatenate([np.empty(0), *((depths < count) @ parts for depths in self.depths())])

    def gap(self, interval: int, count: int = 1) -> Hexes:
        """The cells of the area with fewer than *count* in the interval of that number."""
        now = (self.spans[:, 0] <= self.moments[interval]) & (self.moments[interval] < self.spans[:, 1])
        covered = rg.deep(*rg.starts_and_ends([self.ground[now]]), count)
        return self.area - Hexes(self.area.resolution, covered)

    def worst(self, count: int = 1, weights: NDArray[np.float64] | None = None) -> int:
        """The number of the interval whose gap is the largest, the first of equals; the window must not be empty."""
        return int(self.gaps(count, weights).argmax())

    def _sums(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        ends = np.cumsum(self.cells)
        if len(weights) != self.area.count:
            raise HexesError(
                f"The area has {self.area.count:,} cells; got {len(weights):,} weights.", code="h3.weights"
            )
        return np.add.reduceat(weights, ends - self.cells) if len(ends) else np.empty(0)

    @cached_property
    def _corners(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Interval, piece and step of each change: summed over both, they are the counts. In order of time.

        A stretch of ground over a span of time is a box of intervals and pieces, and a box is four corners.
        """
        rows = np.searchsorted(self.moments, self.spans)
        columns = np.searchsorted(self.pieces[:, 0], self.ground)
        row = rows[:, [0, 0, 1, 1]].ravel()
        order = np.argsort(row, kind="stable")
        step = np.tile([1.0, -1.0, -1.0, 1.0], len(rows))
        return row[order], columns[:, [0, 1, 0, 1]].ravel()[order], step[order]


def _cut(area: Ranges, ground: Ranges) -> Ranges:
    """The ranges of *area*, cut wherever a range of *ground* starts or ends."""
    cuts = np.unique(np.concatenate((area.ravel(), ground.ravel())))
    inside = np.flatnonzero(rg.position(area, cuts) >= 0)
    return np.column_stack((cuts[inside], cuts[inside + 1])) if len(inside) else rg.EMPTY


def _check_times(start: int, end: int) -> None:
    if not -_FARTHEST < start <= end < _FARTHEST:
        raise HexesError(
            f"A spell ends at or after its start, within ±2^62; got {start} to {end}.", code="h3.spell"
        )
