"""What a graph of streets is built of, as arrays: lines, their pieces between junctions, stretches, cells, arcs. Pure.

`planning.streets` puts them together. Unit vectors are (n, 3), degrees (n, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from layers.errors import Invalid, TooLarge
from layers.hexes import Field, Hexes
from layers.hexes.ranks import Ids
from layers.hexes.sphere import EARTH_RADIUS_M, angle, centers_deg, on_sphere

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

OFF_STREET_RINGS = 2
"""Ground within so many cells of a street is walked on; what lies farther off may be water, and is not reached."""
MAX_VERTICES = 2_000_000
"""Of all streets together; a large city's have a tenth of it."""
MAX_STRETCHES = 2_000_000
"""Bits of street, a quarter of a cell's spacing long and at most 100 m: 65,000 km of them at resolution 10."""
MAX_NODES = 1_000_000
"""Cells and junctions of one graph."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Streets as arrays: line *i* runs through `lng_lat[offsets[i]:offsets[i + 1]]`, (n, 2) degrees, longitude first.

    One with `oneway` is driven from its first point to its last only.
    """

    lng_lat: Floats
    offsets: Integers
    speed_kmh: Floats
    oneway: Mask

    def __post_init__(self) -> None:
        if len(self.lng_lat) > MAX_VERTICES:
            detail = f"The streets have {len(self.lng_lat):,} vertices, and the limit is {MAX_VERTICES:,}: take fewer."
            raise TooLarge(detail, code="streets.too_many_vertices")
        if not (np.isfinite(self.lng_lat).all() and (abs(self.lng_lat) <= (180.0, 90.0)).all()):
            raise Invalid("A street runs within ±180 and ±90 degrees.", code="streets.line")
        if (np.diff(self.offsets) < 2).any():
            raise Invalid("A street has at least two points.", code="streets.line")
        if not (np.isfinite(self.speed_kmh).all() and (self.speed_kmh > 0).all()):
            raise Invalid("A street's speed is above 0 km/h.", code="streets.speed")


@dataclass(frozen=True, slots=True, eq=False)
class Arcs:
    """Arcs of a graph: from, to, seconds."""

    tail: Integers
    head: Integers
    seconds: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Streets cut where they join. Piece *i* runs from junction `ends[i, 0]` to `ends[i, 1]` and takes `seconds[i]`;
    along the chain of all vertices it is at `begin_m[i]`, and `length_m[i]` long.
    """

    ends: Integers
    seconds: Floats
    oneway: Mask
    begin_m: Floats
    length_m: Floats
    nodes_deg: Floats
    """Of each junction, latitude first."""
    main: Mask
    """Whether it is of a large part of the streets within which one gets from anywhere to anywhere: one that is at
    least a tenth as long as the longest.
    """
    chain_m: Floats
    chain_deg: Floats
    """Where the vertices of all streets are on one chain, metres, and their degrees, latitude first."""

    @classmethod
    def of(cls, lines: Lines) -> Pieces:
        """*lines* cut at every vertex that lines have in common."""
        deg = lines.lng_lat[:, ::-1]
        line = np.repeat(np.arange(len(lines.speed_kmh)), np.diff(lines.offsets))
        places, vertex = np.unique(_keys(lines.lng_lat), return_inverse=True)
        joins = np.bincount(vertex, minlength=len(places))[vertex] > 1
        joins[lines.offsets[:-1]] = joins[lines.offsets[1:] - 1] = True
        at = np.flatnonzero(joins)
        first, last = at[:-1], at[1:]
        whole = line[first] == line[last]
        first, last = first[whole], last[whole]
        chain_m = _chain_m(deg, line)
        length_m = chain_m[last] - chain_m[first]
        used, ends = np.unique(vertex[np.column_stack((first, last))], return_inverse=True)
        where = np.empty(len(places), np.int64)
        where[vertex] = np.arange(len(vertex))
        ends, oneway = ends.reshape(-1, 2), lines.oneway[line[first]]
        seconds = length_m / (lines.speed_kmh[line[first]] / 3.6)
        main = _main(_along(ends, seconds, oneway), ends, length_m, len(used))
        return cls(ends, seconds, oneway, chain_m[first], length_m, deg[where[used]], main, chain_m, deg)

    def in_order_of(self, keys: Ids) -> Pieces:
        """With junctions numbered by ascending *keys*, their cells: what is near on the ground is then near in memory,
        which makes searches a third quicker.
        """
        order = np.argsort(keys, kind="stable")
        number = np.empty(len(order), np.int64)
        number[order] = np.arange(len(order))
        return replace(self, ends=number[self.ends], nodes_deg=self.nodes_deg[order])

    def arcs(self, first: int) -> list[Arcs]:
        """From junction to junction; they are the nodes from *first* on."""
        return _along(self.ends + first, self.seconds, self.oneway)


def _along(ends: Integers, seconds: Floats, oneway: Mask) -> list[Arcs]:
    back = ends[~oneway]
    return [Arcs(ends[:, 0], ends[:, 1], seconds), Arcs(back[:, 1], back[:, 0], seconds[~oneway])]


def _main(arcs: Sequence[Arcs], ends: Integers, length_m: Floats, junctions: int) -> Mask:
    if not junctions:
        return np.empty(0, np.bool_)
    part = connected_components(graph_of(arcs, junctions), connection="strong")[1][ends]
    inside = part[:, 0] == part[:, 1]
    long_m = np.bincount(part[inside, 0], length_m[inside], part.max() + 1)
    mains: Mask = inside & (long_m >= max(long_m.max() / 10, 1e-9))[part[:, 0]]
    return mains


def _chain_m(deg: Floats, line: Integers) -> Floats:
    """Metres along all lines, one after the other; a metre apart, so that a place on the chain is on one line only."""
    at = on_sphere(deg)
    steps = np.where(line[1:] == line[:-1], angle(at[:-1], at[1:]) * EARTH_RADIUS_M, 1.0)
    return np.concatenate((np.zeros(min(len(deg), 1)), np.cumsum(steps)))


def _keys(lng_lat: Floats) -> Integers:
    """A number for each position to 1e-7°, below 2^63; longitudes of 180 and -180 are the same."""
    lng, lat = np.rint(lng_lat * 1e7).astype(np.int64).T
    keys: Integers = ((lng + 1_800_000_000) % 3_600_000_000 << 31) + lat + 900_000_000
    return keys


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Pieces in short straight stretches of equal length, in order: unit vectors of their starts, ways and middles."""

    piece: Integers
    begin_s: Floats
    """Seconds along its piece at which it begins."""
    seconds: Floats
    start: Floats
    way: Floats
    middle: Floats
    middle_deg: Floats
    """Latitude first."""

    @classmethod
    def of(cls, pieces: Pieces, step_m: float) -> Stretches:
        """At most *step_m* long. Raises `TooLarge` (`streets.too_long`) for more than MAX_STRETCHES."""
        counts = np.maximum(np.ceil(pieces.length_m / step_m), 1).astype(np.int64)
        if counts.sum() > MAX_STRETCHES:
            detail = (
                f"The streets are {pieces.length_m.sum() / 1000:,.0f} km long, and at this resolution the limit is "
                f"{MAX_STRETCHES * step_m / 1000:,.0f} km: take fewer of them or a coarser resolution."
            )
            raise TooLarge(detail, code="streets.too_long")
        piece, number = repeated(counts)
        each_m = (pieces.length_m / counts)[piece]
        begin_m = pieces.begin_m[piece] + each_m * number
        start_deg, end_deg = (
            np.column_stack([np.interp(at, pieces.chain_m, axis) for axis in pieces.chain_deg.T])
            if len(piece)
            else np.empty((0, 2))
            for at in (begin_m, begin_m + each_m)
        )
        start, end = on_sphere(start_deg), on_sphere(end_deg)
        seconds = (pieces.seconds / counts)[piece]
        middle_deg = (start_deg + end_deg) / 2
        return cls(piece, seconds * number, seconds, start, end - start, (start + end) / 2, middle_deg)

    def nearest(self, at: Floats, near: Integers, mps: float) -> GotOn:
        """The nearest point to each of *at*, unit vectors, on each of the stretches in its row of *near*."""
        place, stretch = np.repeat(np.arange(len(at)), near.shape[1]), near.ravel()
        off, way = at[place] - self.start[stretch], self.way[stretch]
        square = np.maximum(np.square(way).sum(axis=1), 1e-30)
        part = np.clip((off * way).sum(axis=1) / square, 0.0, 1.0)
        away_m = np.linalg.norm(off - way * part[:, None], axis=1) * EARTH_RADIUS_M
        along_s = self.begin_s[stretch] + self.seconds[stretch] * part
        return GotOn(place, self.piece[stretch], away_m / mps, along_s)


@dataclass(frozen=True, slots=True, eq=False)
class GotOn:
    """Where places get on to pieces: seconds straight to there, and seconds along the piece to there."""

    place: Integers
    piece: Integers
    walk_s: Floats
    along_s: Floats

    def where(self, which: Integers) -> GotOn:
        """Those of the indices *which*, in that order."""
        return GotOn(self.place[which], self.piece[which], self.walk_s[which], self.along_s[which])


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The cells that streets run through and those within OFF_STREET_RINGS of them, by their places in `field`."""

    field: Field
    centers: Floats
    """Unit vectors."""
    neighbours: Sequence[Ids]
    """Of each cell, and itself."""

    @classmethod
    def of(cls, cells: Ids, resolution: int) -> Ground:
        """Round *cells*, those of streets. Raises `TooLarge` (`streets.too_many_nodes`)."""
        new = np.unique(cells)
        known: dict[int, Ids] = {}
        for _ in range(OFF_STREET_RINGS + 1):
            disks = {cell: h3.grid_disk(cell, 1) for cell in new.tolist()}
            known |= disks
            check_nodes(len(known), resolution)
            around = np.unique(np.concatenate([np.empty(0, np.uint64), *disks.values()]))
            new = np.array([cell for cell in around.tolist() if cell not in known], np.uint64)
        field = Field(Hexes.from_cells(np.fromiter(known, np.uint64, len(known)), resolution))
        centers = on_sphere(centers_deg(field.ranks(np.arange(field.size)), resolution))
        return cls(field, centers, [known[cell] for cell in field.cells.tolist()])

    def walks_to_stops(self, cell: Integers, at: Floats, junction: Mask) -> Floats:
        """Metres from each of the points *at*, unit vectors in *cell*, to the stop of its cell: that of them which is
        nearest to its centre, a *junction* if it has one.
        """
        if not len(cell):
            return np.empty(0)
        order = np.lexsort((angle(at, self.centers[cell]), ~junction, cell))
        first = order[firsts(cell[order])]
        stop = np.empty(self.field.size, np.int64)
        stop[cell[first]] = first
        return angle(at, at[stop[cell]]) * EARTH_RADIUS_M

    def on_foot(self, off: Mask, mps: float) -> Arcs:
        """From cell to neighbouring cell, centre to centre, if that is *off* the streets."""
        tail = np.repeat(np.arange(self.field.size), [len(each) for each in self.neighbours])
        head = self.field.places(np.concatenate([np.empty(0, np.uint64), *self.neighbours]))
        walked = (head >= 0) & (head != tail)
        walked[walked] = off[head[walked]]
        tail, head = tail[walked], head[walked]
        metres = angle(self.centers[tail], self.centers[head]) * EARTH_RADIUS_M
        return Arcs(tail, head, metres / mps)


def check_nodes(count: int, resolution: int) -> None:
    """Raises `TooLarge` (`streets.too_many_nodes`) for more than MAX_NODES."""
    if count > MAX_NODES:
        detail = (
            f"At resolution {resolution} the streets need more than the {MAX_NODES:,} nodes of one graph: take fewer "
            "of them or a coarser resolution."
        )
        raise TooLarge(detail, code="streets.too_many_nodes")


@dataclass(frozen=True, slots=True, eq=False)
class Stays:
    """Where pieces run through cells in which they neither begin nor end, in order of pieces; and the junctions."""

    piece: Integers
    cell: Integers
    along_s: Floats
    """Seconds along its piece at the middle of the stay."""
    walk_s: Floats
    """From there to the cell's stop."""
    junction_cell: Integers
    junction_walk_s: Floats

    @classmethod
    def of(
        cls,
        pieces: Pieces,
        stretches: Stretches,
        ground: Ground,
        cell: Integers,
        junction_cell: Integers,
        mps: float,
    ) -> Stays:
        """From the *cell* of each stretch and of each junction, as places of *ground*."""
        piece = stretches.piece
        first = firsts(piece, cell)
        last = np.concatenate((first[1:], [len(cell)]))[: len(first)] - 1
        through = (junction_cell[pieces.ends[piece[first]]] != cell[first, None]).all(axis=1)
        first, last = first[through], last[through]
        end_s = stretches.begin_s[last] + stretches.seconds[last]
        count = len(first)
        walk_s = (
            ground.walks_to_stops(
                np.concatenate((cell[first], junction_cell)),
                np.concatenate((stretches.middle[(first + last) // 2], on_sphere(pieces.nodes_deg))),
                np.arange(count + len(junction_cell)) >= count,
            )
            / mps
        )
        return cls(
            piece[first],
            cell[first],
            (stretches.begin_s[first] + end_s) / 2,
            walk_s[:count],
            junction_cell,
            walk_s[count:],
        )

    def arcs(self, pieces: Pieces, cells: int) -> list[Arcs]:
        """From the junctions to the cells; junctions are the nodes from *cells* on."""
        both = ~pieces.oneway[self.piece]
        ends = pieces.ends[self.piece] + cells
        back_s = pieces.seconds[self.piece] - self.along_s
        return [
            Arcs(cells + np.arange(len(self.junction_cell)), self.junction_cell, self.junction_walk_s),
            Arcs(ends[:, 0], self.cell, self.along_s + self.walk_s),
            Arcs(ends[both, 1], self.cell[both], (back_s + self.walk_s)[both]),
        ]

    def on(self, piece: Integers) -> tuple[Integers, Integers]:
        """The stays on each of *piece*: an index into *piece*, and one into the stays."""
        low, high = np.searchsorted(self.piece, piece), np.searchsorted(self.piece, piece, side="right")
        own, number = repeated(high - low)
        return own, low[own] + number


def graph_of(arcs: Sequence[Arcs], rows: int, columns: int | None = None) -> csr_array:
    """Of several arcs that join the same pair the quickest; a zero is an arc too."""
    columns = rows if columns is None else columns
    tail = np.concatenate([each.tail for each in arcs])
    head = np.concatenate([each.head for each in arcs])
    seconds = np.concatenate([each.seconds for each in arcs])
    order = np.lexsort((seconds, tail * columns + head))
    kept = order[firsts(tail[order], head[order])]
    starts = offsets_of(np.bincount(tail[kept], minlength=rows))
    return csr_array(
        (seconds[kept], head[kept].astype(np.int32), starts.astype(np.int32)), shape=(rows, columns)
    )


def cells_at(deg: Floats, resolution: int) -> Ids:
    """The cell of each of (n, 2) degrees, latitude first."""
    return np.array([h3.latlng_to_cell(lat, lng, resolution) for lat, lng in deg.tolist()], dtype=np.uint64)


def firsts(*keys: Integers) -> Integers:
    """Where a run of equal keys begins."""
    changes = np.zeros(len(keys[0]), np.bool_)
    changes[:1] = True
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changes)


def offsets_of(counts: Integers) -> Integers:
    """Where each of groups of *counts* begins, and at the end the total."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))


def repeated(counts: Integers) -> tuple[Integers, Integers]:
    """0 … counts - 1 one after the other: the index into *counts*, and the number within it."""
    own = np.repeat(np.arange(len(counts)), counts)
    return own, np.arange(len(own)) - offsets_of(counts)[own]
