"""Sets of cells as dissolved GeoJSON polygons, each with its ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes.sets import Hexes
from layers.hexes.sphere import EARTH_RADIUS_M

Position = tuple[float, float]


@dataclass(frozen=True)
class Outline:
    """One connected polygon. `coordinates` are those of a GeoJSON Polygon: closed rings of longitude and latitude."""

    coordinates: list[list[Position]]
    km2: float


def outlines(hexes: Hexes) -> list[Outline]:
    """The dissolved polygons of *hexes*, the largest first: outer rings counter-clockwise, holes clockwise.

    Rings do not jump at the antimeridian: one that crosses it runs on beyond ±180 (179.9, 180.1), and one that
    goes around a pole is closed along ±90. Splitting as RFC 7946 §3.1.9 wants it is the caller's. The ground is
    that of the cells, exact for their great-circle edges. About 3 µs a cell, so this is for drawing: some
    hundred thousand cells at most.
    """
    if not hexes:
        return []
    shape = h3.cells_to_h3shape(hexes.cells(), tight=False)
    found = [_outline([np.array(ring) for ring in (part.outer, *part.holes)]) for part in shape]
    return sorted(found, key=lambda outline: -outline.km2)


def _outline(rings: Sequence[NDArray[np.float64]]) -> Outline:
    """From rings of latitude and longitude, not closed, as the library gives them."""
    km2 = abs(sum(_steradians(ring) for ring in rings)) * (EARTH_RADIUS_M / 1000) ** 2
    outer, *holes = (_unwrapped(ring) for ring in rings)
    middle = (outer[:, 1].min() + outer[:, 1].max()) / 2
    beside = [_shifted(hole, middle) for hole in holes]
    return Outline([[(lng, lat) for lat, lng in ring.tolist()] for ring in (outer, *beside)], km2)


def _unwrapped(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ring closed, each longitude within 180° of the one before; round a pole it is led along the pole."""
    closed = np.vstack((ring, ring[:1]))
    closed[:, 1] = np.unwrap(closed[:, 1], period=360)
    turn = closed[-1, 1] - closed[0, 1]
    if abs(turn) < 180:
        return closed
    # What a ring holds lies on its left: eastward the north pole, westward the south pole.
    pole = 90.0 if turn > 0 else -90.0
    return np.vstack((closed, [(pole, closed[-1, 1]), (pole, closed[0, 1])], closed[:1]))


def _shifted(hole: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    turns = round((middle - (hole[:, 1].min() + hole[:, 1].max()) / 2) / 360)
    return hole + (0.0, 360.0 * turns)


def _steradians(ring: NDArray[np.float64]) -> float:
    """Signed area on the unit sphere left of a ring of great-circle edges, by each edge's excess over the equator.

    tan(E/2) = tan(Δλ/2) · sin((φ₁+φ₂)/2) / cos((φ₂−φ₁)/2) (Todhunter, Spherical Trigonometry, art. 103).
    """
    lat, lng = np.radians(ring).T
    next_lat, turn = np.roll(lat, -1), np.roll(lng, -1) - lng
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    middle, rise = (lat + next_lat) / 2, (next_lat - lat) / 2
    below = 2 * np.arctan2(np.sin(turn / 2) * np.sin(middle), np.cos(turn / 2) * np.cos(rise))
    around = float(turn.sum())
    area = -float(below.sum())
    # A ring round a pole holds the cap between it and that pole, not the belt down to the equator.
    return area + around if abs(around) > np.pi else area
