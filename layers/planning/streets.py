"""How far one gets along streets in so many minutes: cost-distance over H3 cells, with the streets as they join.

Handed the features of a `roads` layer; `planning.ground` asks it for what units and stations reach. Pure, and heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import orjson
import shapely
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree

from layers.errors import Invalid, TooLarge
from layers.hexes import Field, Hexes
from layers.hexes.ranks import check_resolution
from layers.hexes.sphere import EARTH_RADIUS_M, mean_spacing, on_sphere
from layers.planning.model import Row
from layers.planning.street_parts import (
    Arcs,
    Floats,
    GotOn,
    Ground,
    Integers,
    Lines,
    Mask,
    Pieces,
    Stays,
    Stretches,
    cells_at,
    check_nodes,
    firsts,
    graph_of,
    offsets_of,
)

RESOLUTION = 10
"""Cells 130 m apart, about a block of a city."""
OFF_STREET_KMH = 5.0
"""On foot."""
DEFAULT_SPEED_KMH = 30.0
"""Of a street whose feature states none."""
MAX_MINUTES = 240.0
MAX_PLACES = 5_000
"""Places of one question: some 2 ms each for eight minutes in a city."""
BATCH_BYTES = 64_000_000
"""Of seconds held at once: places are worked out in batches of as many as fit, 180 with the streets of a city."""

_STRETCHES_A_CELL = 4
_LONGEST_STRETCH_M = 100.0
_BATCH_PLACES = 256
# A place gets on to the streets by the nearest, and by those that are as near as far as can be told. Not by any that
# is near: nobody drives across a yard or off a bridge to save time.
_BESIDE_M = 1.0
# Stretches looked at for that: those with the nearest middles.
_NEAR = 32


def read_lines(rows: Sequence[Row]) -> Lines:
    """The streets that *rows*, features of a `roads` layer, draw; each part of a MultiLineString is one.

    One that states no `speed_kmh` has DEFAULT_SPEED_KMH. Raises `TooLarge` (`streets.too_many_vertices`).
    """
    drawn = [row for row in rows if row.shape is not None]
    parts, owner = shapely.get_parts(shapely.from_geojson([row.shape for row in drawn]), return_index=True)
    lng_lat, line = shapely.get_coordinates(parts, return_index=True)
    stated = [orjson.loads(row.properties) for row in drawn]
    speeds = np.array([each.get("speed_kmh", DEFAULT_SPEED_KMH) for each in stated], np.float64)
    oneways = np.array([each.get("oneway", False) for each in stated], np.bool_)
    return Lines(lng_lat, offsets_of(np.bincount(line, minlength=len(parts))), speeds[owner], oneways[owner])


@dataclass(frozen=True, eq=False)
class Streets:
    """A graph whose nodes are the cells of `field`, by their places, then the junctions of the streets.

    Streets join where they have a vertex in common (to 1e-7°), as in OpenStreetMap and in the centrelines of cities;
    where they merely cross, one passes over the other. From junction to junction an arc costs the seconds on the
    street. Arcs lead from the streets to the cells that they run through, and from cell to neighbouring cell on foot
    where there is no street to go on; none leads from a cell to a street: one gets on to the streets once, where one
    starts, and off them once. (With cells alone as nodes, whatever runs through one cell is joined there: measured by
    `bench_streets`, such times are 18 % off in the mean, mostly too short.)

    A cell's time is that of one point, its stop: the junction nearest to its centre, or, where it has none, the street
    that runs through nearest to it. From other streets of the cell one walks there. So times along streets are exact,
    and what the cell size brings is the way within a cell. With the streets of Chicago, against the shortest paths of
    their own graph to all junctions one to eight minutes away, `test_streets.py` bounds the error as measured: at
    resolution 10 it is 2.0 % in the mean and 10 % at the 95th percentile, and of the cells that either says are reached
    in eight minutes both say 98 %; at resolution 9 it is 5.0 % and 16 %, and 96 % of the cells.
    """

    field: Field
    arcs: csr_array
    """Seconds from node (row) to node (column)."""
    off_street_mps: float
    pieces: Pieces
    stretches: Stretches
    stays: Stays

    @classmethod
    def build(
        cls, lines: Lines, resolution: int = RESOLUTION, *, off_street_kmh: float = OFF_STREET_KMH
    ) -> Streets:
        """The graph of *lines* at *resolution*. It may be kept as long as the lines are the same: nothing changes it.

        Raises `TooLarge` (`streets.too_long`, `streets.too_many_nodes`), `Invalid` (`streets.speed`).
        """
        if not 0 < off_street_kmh <= 200:
            raise Invalid("The speed off the streets is above 0 and at most 200 km/h.", code="streets.speed")
        mps = off_street_kmh / 3.6
        step_m = mean_spacing(check_resolution(resolution)) * EARTH_RADIUS_M / _STRETCHES_A_CELL
        pieces = Pieces.of(lines)
        stretches = Stretches.of(pieces, min(step_m, _LONGEST_STRETCH_M))
        cells = cells_at(stretches.middle_deg, resolution)
        junction_cells = cells_at(pieces.nodes_deg, resolution)
        pieces, junction_cells = pieces.in_order_of(junction_cells), np.sort(junction_cells)
        ground = Ground.of(np.concatenate((cells, junction_cells)), resolution)
        field = ground.field
        check_nodes(field.size + len(junction_cells), resolution)
        cell, junction_cell = field.places(cells), field.places(junction_cells)
        stays = Stays.of(pieces, stretches, ground, cell, junction_cell, mps)
        off = np.ones(field.size, np.bool_)
        off[cell[pieces.main[stretches.piece]]] = off[junction_cell[pieces.ends[pieces.main]]] = False
        arcs = [*pieces.arcs(field.size), *stays.arcs(pieces, field.size), ground.on_foot(off, mps)]
        return cls(field, graph_of(arcs, field.size + len(junction_cells)), mps, pieces, stretches, stays)

    def reach(self, places: ArrayLike, minutes: float) -> list[Hexes]:
        """For each of *places*, (n, 2) longitude and latitude in degrees, the cells reached from it within *minutes*.

        Driving away from the place, which matters on one-way streets. Its own cell is always among them, and is all
        where no street is near. Time follows the ground reached; memory is bounded by BATCH_BYTES.
        Raises `Invalid` (`streets.place`, `streets.minutes`), `TooLarge` (`streets.too_many_places`).
        """
        lng_lat, limit_s = _checked(places), _limit_s(minutes)
        own = cells_at(lng_lat[:, ::-1], self.field.area.resolution)
        found = [
            self.field.hexes(each <= limit_s) for batch in self._batches(lng_lat, limit_s) for each in batch
        ]
        outside = self.field.places(own) < 0
        return [
            hexes | Hexes.from_cells([cell]) if alone else hexes
            for hexes, cell, alone in zip(found, own.tolist(), outside.tolist(), strict=True)
        ]

    def times(self, places: ArrayLike, minutes: float = MAX_MINUTES) -> Floats:
        """Seconds from each of *places* to each place of `field`, (n, field.size); infinite beyond *minutes*.

        Raises as `reach` does, and `TooLarge` (`streets.too_many_places`) for more than BATCH_BYTES of seconds.
        """
        limit_s = _limit_s(minutes)
        lng_lat = _checked(places, limit=max(BATCH_BYTES // (8 * max(self.field.size, 1)), 1))
        return np.concatenate([np.empty((0, self.field.size)), *self._batches(lng_lat, limit_s)])

    def quickest(self, places: ArrayLike, minutes: float = MAX_MINUTES) -> Floats:
        """Seconds to each place of `field` from whichever of *places* is there first; infinite beyond *minutes*.

        All of them at once cost about what one does that reaches as far. Raises as `reach` does.
        """
        lng_lat, limit_s = _checked(places), _limit_s(minutes)
        if not len(lng_lat):
            return np.full(self.field.size, np.inf)
        graph, starts = self._from(lng_lat)
        seconds: Floats = dijkstra(graph, indices=starts, limit=limit_s, min_only=True)
        return seconds[: self.field.size]

    def _batches(self, lng_lat: Floats, limit_s: float) -> Iterator[Floats]:
        size = max(min(BATCH_BYTES // (8 * (self.arcs.shape[0] + _BATCH_PLACES)), _BATCH_PLACES), 1)
        for first in range(0, len(lng_lat), size):
            graph, starts = self._from(lng_lat[first : first + size])
            yield dijkstra(graph, indices=starts, limit=limit_s)[:, : self.field.size]

    def _from(self, lng_lat: Floats) -> tuple[csr_array, Integers]:
        """The graph with a node more for each place, from which arcs lead to its cell and on to the streets near it."""
        count = self.arcs.shape[0]
        cell = self.field.places(cells_at(lng_lat[:, ::-1], self.field.area.resolution))
        inside = np.flatnonzero(cell >= 0)
        here = Arcs(inside, cell[inside], np.zeros(len(inside)))
        starts = graph_of(
            [here, *self._boardings(on_sphere(lng_lat[:, ::-1]))], len(lng_lat), count + len(lng_lat)
        )
        arcs = self.arcs
        graph = csr_array(
            (
                np.concatenate((arcs.data, starts.data)),
                np.concatenate((arcs.indices, starts.indices)),
                np.concatenate((arcs.indptr, arcs.indptr[-1] + starts.indptr[1:])),
            ),
            shape=(count + len(lng_lat), count + len(lng_lat)),
        )
        return graph, np.arange(count, count + len(lng_lat))

    def _boardings(self, at: Floats) -> list[Arcs]:
        """Arcs from places, unit vectors, straight to the streets near them and along those to what lies on them."""
        if not len(self.stretches.piece):
            return []
        pieces, stays, got = self.pieces, self.stays, self._got_on(at)
        both = ~pieces.oneway[got.piece]
        junctions = self.field.size + pieces.ends[got.piece]
        ahead_s = got.walk_s + np.maximum(pieces.seconds[got.piece] - got.along_s, 0.0)
        own, stay = stays.on(got.piece)
        on_s = stays.along_s[stay] - got.along_s[own]
        open_ = (on_s >= 0) | both[own]
        stay_s = got.walk_s[own] + abs(on_s) + stays.walk_s[stay]
        return [
            Arcs(got.place, junctions[:, 1], ahead_s),
            Arcs(got.place[both], junctions[both, 0], (got.walk_s + got.along_s)[both]),
            Arcs(got.place[own][open_], stays.cell[stay][open_], stay_s[open_]),
        ]

    def _got_on(self, at: Floats) -> GotOn:
        """By which streets places, unit vectors, get on: of each of these once, at its nearest point."""
        near = self._tree.query(at, k=min(_NEAR, len(self.stretches.piece)))[1].reshape(len(at), -1)
        found = self.stretches.nearest(at, near, self.off_street_mps)
        beside_s = _BESIDE_M / self.off_street_mps
        main_s = np.where(self.pieces.main[found.piece], found.walk_s, np.inf)
        nearest = _as_near(found.walk_s, near.shape, beside_s) | _as_near(main_s, near.shape, beside_s)
        found = found.where(np.flatnonzero(nearest))
        found = found.where(np.lexsort((found.walk_s, found.piece, found.place)))
        return found.where(firsts(found.place, found.piece))

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.stretches.middle)


def _as_near(walk_s: Floats, shape: tuple[int, ...], beside_s: float) -> Mask:
    """Which of *walk_s*, folded to *shape*, are finite and at most *beside_s* above the lowest of their row."""
    rows = walk_s.reshape(shape)
    near: Mask = (np.isfinite(rows) & (rows <= rows.min(axis=1, keepdims=True) + beside_s)).ravel()
    return near


def _limit_s(minutes: float) -> float:
    if not 0 <= minutes <= MAX_MINUTES:
        detail = f"Expected minutes from 0 to {MAX_MINUTES:g}; got {minutes!r}."
        raise Invalid(detail, code="streets.minutes")
    return minutes * 60


def _checked(places: ArrayLike, limit: int = MAX_PLACES) -> Floats:
    lng_lat = np.asarray(places, dtype=np.float64).reshape(-1, 2)
    if len(lng_lat) > min(limit, MAX_PLACES):
        detail = f"{len(lng_lat):,} places are more than the {min(limit, MAX_PLACES):,} of one question along streets."
        raise TooLarge(detail, code="streets.too_many_places")
    if not (np.isfinite(lng_lat).all() and (abs(lng_lat) <= (180.0, 90.0)).all()):
        raise Invalid("A place has a longitude of ±180 and a latitude of ±90 degrees.", code="streets.place")
    return lng_lat
