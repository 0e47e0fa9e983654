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
    # Signed areas add up to that of what is left of all rings, less whole spheres where one goes round a pole.
    steradians = sum(_steradians(ring) for ring in rings) % (4 * np.pi)
    outer, *holes = (_unwrapped(ring) for ring in rings)
    polar = next((hole for hole in holes if _turn(hole)), None) if _turn(outer) else None
    if polar is not None:
        belt = _joined(outer, polar)
        holes = [hole for hole in holes if hole is not polar]
    else:
        belt = _led_to_pole(outer) if _turn(outer) else outer
    middle = (belt[:, 1].min() + belt[:, 1].max()) / 2
    beside = [_moved(hole, middle - (hole[:, 1].min() + hole[:, 1].max()) / 2) for hole in holes]
    coordinates = [[(lng, lat) for lat, lng in ring.tolist()] for ring in (belt, *beside)]
    return Outline(coordinates, float(steradians) * (EARTH_RADIUS_M / 1000) ** 2)


def _unwrapped(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ring closed, each longitude within 180° of the one before."""
    closed = np.vstack((ring, ring[:1]))
    closed[:, 1] = np.unwrap(closed[:, 1], period=360)
    return closed


def _turn(ring: NDArray[np.float64]) -> int:
    """How often an unwrapped ring goes round the north pole eastward, or the south pole westward if negative."""
    return round(float(ring[-1, 1] - ring[0, 1]) / 360)


def _led_to_pole(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    # What a ring holds lies on its left: eastward the north pole, westward the south pole.
    pole = 90.0 * _turn(ring)
    return np.vstack((ring, [(pole, ring[-1, 1]), (pole, ring[0, 1])], ring[:1]))


def _joined(outer: NDArray[np.float64], hole: NDArray[np.float64]) -> NDArray[np.float64]:
    """A belt round a pole as one ring: along *outer*, across the seam, back along *hole*, across the seam."""
    away = (hole[:-1, 1] - outer[-1, 1] + 180) % 360 - 180
    seam = int(abs(away).argmin())
    back = _unwrapped(np.roll(hole[:-1], -seam, axis=0))
    return np.vstack((outer, _moved(back, outer[-1, 1] - back[0, 1]), outer[:1]))


def _moved(ring: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """*ring* turned east by the whole circles nearest to *degrees*."""
    moved: NDArray[np.float64] = ring + np.array([0.0, 360.0 * round(degrees / 360)])
    return moved


def _steradians(ring: NDArray[np.float64]) -> float:
    """Signed area on the unit sphere left of a ring of great-circle edges, by each edge's excess over the equator.

    tan(E/2) = tan(Δλ/2) · sin((φ₁+φ₂)/2) / cos((φ₂−φ₁)/2) (Todhunter, Spherical Trigonometry, art. 103).
    """
    lat, lng = np.radians(ring).T
    next_lat, turn = np.roll(lat, -1), np.roll(lng, -1) - lng
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    middle, rise = (lat + next_lat) / 2, (next_lat - lat) / 2
    below = 2 * np.arctan2(np.sin(turn / 2) * np.sin(middle), np.cos(turn / 2) * np.cos(rise))
    # A ring round a pole holds the cap between it and that pole, not the belt down to the equator.
    return float(round(abs(turn.sum()) / (2 * np.pi)) * 2 * np.pi - below.sum())
