"""The edges of many rings: which points each ring holds, told as the H3 library tells it, and the same edges in pieces
short enough to be taken for straight on the sphere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from layers.hexes.polygons import Ring
from layers.hexes.ranges import runs

Mask = NDArray[np.bool_]

# The library has centres in radians where its interface gives degrees, so a point within about 1e-12 radians (6 µm) of
# an edge may be told differently.
TIE = 1e-12
# Pairs of a point and an edge looked at together: bounds the memory to some 60 MB.
_PAIRS = 1 << 20
# Pieces are no longer than this (radians), so that those near a cell are on its side of the earth.
_LONGEST = 0.1


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces of edges, sorted by ring: those of ring i are `first[i]` to `first[i + 1]`.

    `ends` are unit vectors, (n, 2, 3). All of a piece is within `reach` radians of `middle`, and within `bulge` radians
    of the great circle between its ends.
    """

    first: NDArray[np.int64]
    ends: NDArray[np.float64]
    middle: NDArray[np.float64]
    reach: NDArray[np.float64]
    bulge: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Border:
    """The edges of some rings, (n, 2) radians, latitude first: those of ring i are `first[i]` to `first[i + 1]`."""

    first: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]

    @classmethod
    def of(cls, rings: Sequence[Ring]) -> Border:
        """The border of *rings*."""
        lengths = np.array([len(ring) for ring in rings], dtype=np.int64)
        first = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        start = np.radians(np.concatenate(rings)) if len(rings) else np.empty((0, 2))
        following = np.arange(1, len(start) + 1)
        following[first[1:] - 1] = first[:-1]
        return cls(first, start, start[following])

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """For each ring the least and the greatest latitude and longitude, (n, 2, 2)."""
        least = np.minimum.reduceat(self.start, self.first[:-1])
        return np.stack((least, np.maximum.reduceat(self.start, self.first[:-1])), axis=1)

    def hold(self, points: NDArray[np.float64], ring: NDArray[np.int64]) -> tuple[Mask, Mask]:
        """Which points (n, 2), degrees, latitude first, lie in their *ring*, and of which that is sure.

        The library casts a ray along the parallel and counts edges, by the very arithmetic used here; only within
        `TIE` of an edge can the two differ.
        """
        lat, lng = np.radians(points).T
        inside, sure = np.zeros(len(ring), bool), np.ones(len(ring), bool)
        for point, edge in self._level_pairs(lat, ring):
            crossed, close = self._cast(lat[point], lng[point], edge)
            inside ^= np.bincount(point[crossed], minlength=len(ring)) % 2 == 1
            sure[point[close]] = False
        return inside, sure

    def _level_pairs(
        self, lat: NDArray[np.float64], ring: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs of a point and an edge of its ring that the ray from the point may meet, some at a time."""
        low = np.minimum(self.start[:, 0], self.end[:, 0]) - TIE
        high = np.maximum(self.start[:, 0], self.end[:, 0]) + TIE
        counts = np.diff(self.first)[ring]
        batch = np.cumsum(counts) // _PAIRS
        for points in np.split(np.arange(len(ring)), np.flatnonzero(np.diff(batch)) + 1):
            edges = runs(self.first[ring[points]], counts[points])
            lats = np.repeat(lat[points], counts[points])
            level = np.flatnonzero((low[edges] <= lats) & (lats <= high[edges]))
            yield np.repeat(points, counts[points])[level], edges[level]

    def _cast(
        self, lat: NDArray[np.float64], lng: NDArray[np.float64], edge: NDArray[np.int64]
    ) -> tuple[Mask, Mask]:
        """Which rays meet their edge, and which points are too close to it to tell."""
        start, end = self.start[edge], self.end[edge]
        swap = (start[:, 0] > end[:, 0])[:, None]
        (low_lat, low_lng), (high_lat, high_lng) = np.where(swap, end, start).T, np.where(swap, start, end).T
        rise, run = high_lat - low_lat, high_lng - low_lng
        flat = rise == 0
        climb = np.where(flat, 1.0, rise)
        at = low_lng + run * ((lat - low_lat) / climb)
        close = abs(at - lng) <= TIE * (1 + abs(run / climb))
        along = (lng >= np.minimum(low_lng, high_lng) - TIE) & (lng <= np.maximum(low_lng, high_lng) + TIE)
        met = (at > lng) & (low_lat <= lat) & (lat < high_lat)
        return met & ~flat, np.where(flat, along, close)

    def pieces(self, bulge: float) -> Pieces:
        """The edges cut into pieces that bulge by no more than *bulge* radians.

        An edge is straight in latitude φ and longitude λ. Along it, for a parameter from 0 to 1, the covariant
        acceleration is Δλ sin φ (−2 Δφ, cos φ Δλ); over n pieces an eighth of that bounds n² times the bulge.
        """
        rise, turn = (abs(self.end - self.start)).T
        sine, cosine = _extremes(self.start[:, 0], self.end[:, 0])
        length = np.hypot(rise, cosine * turn)
        bend = turn * sine * np.hypot(2 * rise, cosine * turn) / 8
        counts = np.maximum(np.ceil(np.maximum(np.sqrt(bend / bulge), length / _LONGEST)), 1).astype(np.int64)
        edge = np.repeat(np.arange(len(counts)), counts)
        step = runs(np.zeros(len(counts), np.int64), counts)
        shares = (step[:, None] + np.array([0.0, 0.5])) / counts[edge][:, None]
        lat, lng = (self.start[edge][:, None] + (self.end - self.start)[edge][:, None] * shares[..., None]).T
        corner, middle = np.stack(
            (np.cos(lat) * np.cos(lng), np.cos(lat) * np.sin(lng), np.sin(lat)), axis=-1
        )
        ring_of_edge = np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))
        first = np.concatenate(
            (np.zeros(1, np.int64), np.cumsum(np.bincount(ring_of_edge, counts).astype(np.int64)))
        )
        following = np.arange(1, len(corner) + 1)
        following[first[1:] - 1] = first[:-1]
        return Pieces(
            first, np.stack((corner, corner[following]), axis=1), middle,
            (length / counts)[edge] / 2, (bend / counts**2)[edge],
        )  # fmt: skip


def _extremes(
    start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The greatest sine and cosine, without sign, of any latitude from *start* to *end*."""
    farthest = np.maximum(abs(start), abs(end))
    nearest = np.where(start * end < 0, 0.0, np.minimum(abs(start), abs(end)))
    return np.sin(farthest), np.cos(nearest)
