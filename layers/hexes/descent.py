"""The cells inside of many rings at once: from coarse cells to fine ones, following none but those near a border."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.hexes.borders import TIE, Border, Pieces
from layers.hexes.crossings import Crossings
from layers.hexes.faces import CHILDREN, Complex, lattice, on_one_face, rotor
from layers.hexes.polygons import Ring
from layers.hexes.ranks import Ranks, exists, pentagons, rank_count
from layers.hexes.sphere import angle, centers_deg, descent, hull, mean_spacing, on_sphere
from layers.hexes.starts import cells_about, start_levels

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Corners of rings handled at once, so that what is computed for their cells stays in the cache. Those are at most 5,334
# rings, so that their ranks stay below 2^63 side by side (5,334 · 122 · 7^15).
_CORNERS = 16_000
# Pieces of edges bulge by no more than this much of the spacing of the cells asked for.
_BULGE = 1e-3
# Radians (6 mm) that a centre may lie beyond a ring's circle: more than rounding, as corners lie on the rim.
_BESIDE = 1e-9


def cells_inside(rings: Sequence[Ring], resolution: int) -> tuple[list[rg.Ranges], Mask]:
    """For each ring the ranges of the cells whose centre it holds, by the even-odd rule, and whether that is sure.

    Cells are told in the plane of their face, where their centres are a lattice and short edges are straight. A cell
    with no edge within reach of any centre below it hands its descendants what it is itself. A child is on its
    parent's side of the border, unless the line between the two centres crosses it an odd number of times; so
    only edges near a cell need to be looked at. Centres within rounding of an edge are asked of the library.
    """
    corners = np.cumsum([len(ring) for ring in rings]) // _CORNERS
    found: list[rg.Ranges] = []
    sure = []
    for batch in np.split(np.arange(len(rings)), np.flatnonzero(np.diff(corners)) + 1):
        descent = _Descent(Border.of([rings[number] for number in batch.tolist()]), resolution)
        found += descent.run()
        sure.append(descent.sure)
    return found, np.concatenate(sure)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells of one level, their centres in degrees, and the pieces near each: `pair_cell` (an index into these cells)
    and `pair_piece`.
    """

    ring: Indices
    rank: Ranks
    center: NDArray[np.float64]
    pair_cell: Indices
    pair_piece: Indices

    def take(self, chosen: Mask) -> _Cells:
        """Those *chosen*, with their pairs."""
        pairs = np.flatnonzero(chosen[self.pair_cell])
        number = np.cumsum(chosen) - 1
        return _Cells(
            self.ring[chosen], self.rank[chosen], self.center[chosen],
            number[self.pair_cell[pairs]], self.pair_piece[pairs],
        )  # fmt: skip

    def with_(self, other: _Cells) -> _Cells:
        """These and *other* of the same level."""
        if not (len(self.ring) and len(other.ring)):
            return self if len(self.ring) else other
        return _Cells(
            np.concatenate((self.ring, other.ring)),
            np.concatenate((self.rank, other.rank)),
            np.concatenate((self.center, other.center)),
            np.concatenate((self.pair_cell, other.pair_cell + len(self.ring))),
            np.concatenate((self.pair_piece, other.pair_piece)),
        )

    def children(self, level: int) -> _Cells:
        """Their children, which are of *level*, each with all pairs of its parent."""
        rank = (self.rank[:, None] * 7 + np.arange(7)).ravel()
        real = exists(rank, level)
        _, center, back = _different(rank[real], level)
        centers = np.zeros((len(rank), 2))
        centers[real] = center[back]
        every = _Cells(
            np.repeat(self.ring, 7), rank, centers,
            (self.pair_cell[:, None] * 7 + np.arange(7)).ravel(), np.repeat(self.pair_piece, 7),
        )  # fmt: skip
        return every.take(real)


@dataclass(frozen=True, eq=False)
class _Open:
    """Cells of one level on one face each, whether their centre is inside, and the pieces near each.

    `start` and `end` of each piece are seen from the centre of its cell, in the lattice of the level; `slack` is how
    far from the piece, in that lattice, a centre's side may be told wrongly.
    """

    ring: Indices
    rank: Ranks
    inside: Mask
    pair_cell: Indices
    start: Complex
    end: Complex
    slack: NDArray[np.float64]

    def child(self, digit: Indices, pair: Indices) -> Indices:
        """The number, seven for each cell, of the child of *digit* of the cell of *pair*."""
        return self.pair_cell[pair] * 7 + digit

    def with_(self, other: _Open) -> _Open:
        """These and *other* of the same level."""
        if not (len(self.ring) and len(other.ring)):
            return self if len(self.ring) else other
        return _Open(
            np.concatenate((self.ring, other.ring)),
            np.concatenate((self.rank, other.rank)),
            np.concatenate((self.inside, other.inside)),
            np.concatenate((self.pair_cell, other.pair_cell + len(self.ring))),
            np.concatenate((self.start, other.start)),
            np.concatenate((self.end, other.end)),
            np.concatenate((self.slack, other.slack)),
        )


_NONE = np.empty(0, np.int64)
_NO_CELLS = _Cells(_NONE, _NONE, np.empty((0, 2)), _NONE, _NONE)
_NO_OPEN = _Open(
    _NONE, _NONE, _NONE.astype(bool), _NONE, _NONE.astype(complex), _NONE.astype(complex), _NONE.astype(float)
)


@dataclass(eq=False)
class _Descent:
    """One walk down the levels; `sure` turns false for a ring with a centre too close to an edge to tell."""

    border: Border
    resolution: int
    sure: Mask = field(init=False)
    pieces: Pieces = field(init=False)
    found: list[tuple[Indices, rg.Ranges]] = field(default_factory=lambda: [(_NONE, rg.EMPTY)])

    def __post_init__(self) -> None:
        self.sure = np.ones(len(self.border.first) - 1, bool)
        self.pieces = self.border.pieces(_BULGE * mean_spacing(self.resolution))

    def run(self) -> list[rg.Ranges]:
        """The ranges of each ring."""
        middle, radius = self._circles()
        start = start_levels(radius, self.resolution)
        loose, open_ = _NO_CELLS, _NO_OPEN
        for level in range(int(start.min(initial=self.resolution)), self.resolution + 1):
            open_ = self._refined(open_, level)
            starting = np.flatnonzero(start == level)
            loose = loose.with_(self._seeds(starting, middle[starting], radius[starting], level))
            loose, settled = self._settled(loose, level)
            open_ = open_.with_(settled)
        owner, ranges = (np.concatenate(column) for column in zip(*self.found, strict=True))
        return rg.by_owner(owner, ranges, len(self.sure), rank_count(self.resolution))

    def _circles(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """For each ring the middle of its box in degrees, and a radius in radians that reaches all of it."""
        (south, west), (north, east) = self.border.boxes.transpose(1, 2, 0)
        widest = np.cos(np.where(south * north < 0, 0.0, np.minimum(abs(south), abs(north))))
        radius = np.hypot(north - south, (east - west) * widest) / 2
        return np.degrees(self.border.boxes.mean(axis=1)), radius

    def _seeds(
        self, rings: Indices, middle: NDArray[np.float64], radius: NDArray[np.float64], level: int
    ) -> _Cells:
        """The cells of *level* that may have descendants in *rings*, whose circles are given."""
        circle, ranks = cells_about(middle, level)
        rank, centers, back = _different(ranks, level)
        away = angle(on_sphere(centers)[back], on_sphere(middle)[circle])
        close = away <= radius[circle] + hull(level, self.resolution) + _BESIDE
        ring = rings[circle[close]]
        counts = np.diff(self.pieces.first)[ring]
        return _Cells(
            ring, rank[back[close]], centers[back[close]],
            np.repeat(np.arange(len(ring)), counts), rg.runs(self.pieces.first[ring], counts),
        )  # fmt: skip

    def _settled(self, cells: _Cells, level: int) -> tuple[_Cells, _Open]:
        """Cells that are on no face alone, as their children; and cells to go on with in the plane of a face."""
        if not len(cells.ring):
            return cells, _NO_OPEN
        inside = self._asked(cells.ring, cells.center)
        if level == self.resolution:
            self._emit(cells.ring[inside], cells.rank[inside], level)
            return _NO_CELLS, _NO_OPEN
        center = on_sphere(cells.center)
        apart = center[cells.pair_cell] - self.pieces.middle[cells.pair_piece]
        reach = hull(level, self.resolution) + self.pieces.reach[cells.pair_piece]
        near = np.einsum("ni,ni->n", apart, apart) <= np.square(reach)
        cells = replace(cells, pair_cell=cells.pair_cell[near], pair_piece=cells.pair_piece[near])
        # Below a pentagon are ranks that no cell has, so its children are looked at one by one.
        busy = np.isin(cells.rank, pentagons(level))
        busy[cells.pair_cell] = True
        self._emit(cells.ring[inside & ~busy], cells.rank[inside & ~busy], level)
        plane = on_one_face(cells.rank, level, self.resolution, center) & busy
        framed = self._in_plane(cells.take(plane), inside[plane], level)
        return cells.take(busy & ~plane).children(level + 1), framed

    def _in_plane(self, cells: _Cells, inside: Mask, level: int) -> _Open:
        different, first, back = np.unique(cells.rank, return_index=True, return_inverse=True)
        seen = lattice(different, level, on_sphere(cells.center[first]))
        at, piece = back[cells.pair_cell], cells.pair_piece
        start, longer = seen.places(at, self.pieces.ends[piece, 0])
        end, longer_too = seen.places(at, self.pieces.ends[piece, 1])
        # In between, an arc is longer by no more than at both ends: 1.2 for pieces of 0.1 radians.
        slack = 1.2 * (self.pieces.bulge[piece] + TIE) * np.maximum(longer, longer_too)
        return _Open(cells.ring, cells.rank, inside, cells.pair_cell, start, end, slack)

    def _refined(self, cells: _Open, level: int) -> _Open:
        """The children of *cells*, which are of *level*: those that may be crossed; all others are found or left."""
        if not len(cells.ring):
            return cells
        start, end, slack = cells.start * rotor(level), cells.end * rotor(level), cells.slack * np.sqrt(7)
        seen = Crossings.of(start, end)
        inside = np.repeat(cells.inside, 7)
        inside ^= np.bincount(cells.child(*np.nonzero(seen.crossed())), minlength=len(inside)) % 2 == 1
        unsure = np.unique(cells.child(*np.nonzero(_in_doubt(seen, slack))))
        ring, rank = np.repeat(cells.ring, 7), (cells.rank[:, None] * 7 + np.arange(7)).ravel()
        inside[unsure] = self._asked(ring[unsure], centers_deg(rank[unsure], level))
        if level == self.resolution:
            self._emit(ring[inside], rank[inside], level)
            return _NO_OPEN
        digit, pair = np.nonzero(seen.near(descent(self.resolution - level) + slack))
        child = cells.child(digit, pair)
        busy = np.zeros(len(inside), bool)
        busy[child] = True
        self._emit(ring[inside & ~busy], rank[inside & ~busy], level)
        number = np.cumsum(busy) - 1
        return _Open(
            ring[busy], rank[busy], inside[busy], number[child],
            start[pair] - CHILDREN[digit], end[pair] - CHILDREN[digit], slack[pair],
        )  # fmt: skip

    def _asked(self, ring: Indices, places: NDArray[np.float64]) -> Mask:
        """Whether *places*, centres as the library gives them, lie in their rings by its arithmetic."""
        inside, sure = self.border.hold(places, ring)
        self.sure[ring[~sure]] = False
        return inside

    def _emit(self, ring: Indices, rank: Ranks, level: int) -> None:
        if len(rank):
            breaks = np.flatnonzero((np.diff(rank) != 1) | (np.diff(ring) != 0))
            first, last = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [len(rank) - 1]))
            size = 7 ** (self.resolution - level)
            self.found.append((ring[first], np.column_stack((rank[first], rank[last] + 1)) * size))


def _in_doubt(seen: Crossings, slack: NDArray[np.float64]) -> Mask:
    """Where the side of the child, or that of its parent, is too close to the piece's line to tell, (7, n)."""
    doubt: Mask = (abs(seen.offsets) <= slack) | (abs(seen.offset) <= slack)
    return doubt


def _different(rank: Ranks, level: int) -> tuple[Ranks, NDArray[np.float64], Indices]:
    """The different ones of *rank*, their centres in degrees, and where each of *rank* is among them."""
    different, back = np.unique(rank, return_inverse=True)
    return different, centers_deg(different, level), back
