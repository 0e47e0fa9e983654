"""GeoJSON polygons as this package reads them: rings of radians or degrees, their ground, points along them,
and which points they hold by the very arithmetic of the H3 library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from h3 import LatLngPoly
from numpy.typing import NDArray

from layers.hexes.errors import HexesError

Ring = NDArray[np.float64]
"""(n, 2) degrees, latitude first, not closed."""

# The library takes an edge of more than 180° of longitude for one that crosses the antimeridian the short way.
# GeoJSON (RFC 7946 §3.1.9) knows no such edge, so long ones are cut into pieces it cannot misread.
_LONGEST_EDGE_DEG = 180.0


@dataclass(frozen=True, eq=False)
class Polygon:
    """An outer ring and its holes. Edges are straight in longitude and latitude, as GeoJSON has them."""

    outer: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The outer ring, then the holes."""
        return (self.outer, *self.holes)

    def for_h3(self) -> LatLngPoly:
        """The same polygon as the library takes it."""
        return LatLngPoly(*([tuple(point) for point in ring.tolist()] for ring in self.rings))


def read_polygons(geometry: Mapping[str, Any]) -> list[Polygon]:
    """The polygons of a GeoJSON Polygon or MultiPolygon; anything else is `HexesError` with code `h3.geometry`.

    Altitudes are dropped. Positions outside ±180 and ±90 are refused; whether rings cross themselves is the
    caller's to know.
    """
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon") or not isinstance(coordinates, Sequence):
        raise HexesError(
            f"Hexes are filled from a Polygon or a MultiPolygon; got {kind!r}.", code="h3.geometry"
        )
    parts = [coordinates] if kind == "Polygon" else coordinates
    try:
        return [Polygon(*_outer_and_holes([_ring(ring) for ring in part])) for part in parts if part]
    except (TypeError, ValueError, IndexError):
        raise HexesError("A polygon is lists of [longitude, latitude].", code="h3.geometry") from None


def ground_m2(polygon: Polygon, radius_m: float) -> float:
    """Area of *polygon* on a sphere of *radius_m*, in m²: exact for edges straight in longitude and latitude."""
    outer, *holes = (_steradians(ring) for ring in polygon.rings)
    return float(max(outer - sum(holes), 0.0) * radius_m**2)


def along(ring: Ring, step: float) -> Ring:
    """Points (n, 2) along a ring, corners first, none further than *step* radians from the next along its edge."""
    ends = np.roll(ring, -1, axis=0)
    widest = np.cos(np.radians(np.minimum(abs(ring[:, 0]), abs(ends[:, 0]))))
    length = np.radians(np.hypot(ends[:, 0] - ring[:, 0], (ends[:, 1] - ring[:, 1]) * widest))
    pieces = np.maximum(np.ceil(length / step), 1).astype(np.int64)
    edge = np.repeat(np.arange(len(ring)), pieces)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[edge]
    points: Ring = ring[edge] + (ends - ring)[edge] * share[:, None]
    return points


def held(polygon: Polygon, points_deg: NDArray[np.float64]) -> tuple[NDArray[np.bool_], bool]:
    """Which points (n, 2), latitude first, the polygon holds, and whether that is sure for all of them.

    The library casts a ray along the parallel and counts edges. It has centres in radians where its interface
    gives degrees, so a point within about 1e-12 radians (6 µm) of an edge may be told differently: then the
    second answer is False.
    """
    order = np.argsort(points_deg[:, 0])
    lat, lng = np.radians(points_deg[order]).T
    inside, sure = _cast(polygon.outer, lat, lng)
    for hole in polygon.holes:
        within, sure_too = _cast(hole, lat, lng)
        inside &= ~within
        sure &= sure_too
    answer = np.empty_like(inside)
    answer[order] = inside
    return answer, sure


_TIE = 1e-12


def _cast(ring: Ring, lat: NDArray[np.float64], lng: NDArray[np.float64]) -> tuple[NDArray[np.bool_], bool]:
    """Even-odd rule for points in ascending order of latitude; radians."""
    start = np.radians(ring)
    end = np.roll(start, -1, axis=0)
    swap = (start[:, 0] > end[:, 0])[:, None]
    low, high = np.where(swap, end, start), np.where(swap, start, end)
    first = np.searchsorted(lat, low[:, 0] - _TIE)
    last = np.searchsorted(lat, high[:, 0] + _TIE, side="right")
    inside, sure = np.zeros(len(lat), dtype=bool), True
    for edge in np.flatnonzero(first < last).tolist():
        (low_lat, low_lng), (high_lat, high_lng) = low[edge].tolist(), high[edge].tolist()
        here = slice(first[edge], last[edge])
        near, point = lat[here], lng[here]
        sure &= not _level_with(near, point, low_lat, high_lat, max(low_lng, high_lng))
        if low_lat == high_lat:
            continue
        slope = (high_lng - low_lng) / (high_lat - low_lat)
        at = low_lng + (high_lng - low_lng) * ((near - low_lat) / (high_lat - low_lat))
        sure &= bool((abs(at - point) > _TIE * (1 + abs(slope))).all())
        inside[here] ^= (at > point) & (near > low_lat) & (near < high_lat)
    return inside, sure


def _level_with(
    lat: NDArray[np.float64], lng: NDArray[np.float64], low: float, high: float, east: float
) -> bool:
    """Whether a point lies level with a corner that its ray may meet (*lat* ascending)."""
    for corner in (low, high):
        first, last = np.searchsorted(lat, (corner - _TIE, corner + _TIE))
        if (lng[first:last] <= east + _TIE).any():
            return True
    return False


def _outer_and_holes(rings: list[Ring]) -> tuple[Ring, tuple[Ring, ...]]:
    return rings[0], tuple(rings[1:])


def _ring(positions: Sequence[Sequence[float]]) -> Ring:
    ring = np.array([(lat, lng) for lng, lat, *_ in positions], dtype=np.float64).reshape(-1, 2)
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    if len(ring) < 3 or not (np.isfinite(ring).all() and (abs(ring) <= (90.0, 180.0)).all()):
        detail = "A ring has three corners or more, at longitudes of ±180 and latitudes of ±90 degrees."
        raise HexesError(detail, code="h3.geometry")
    return _without_long_edges(ring)


def _without_long_edges(ring: Ring) -> Ring:
    span = abs(np.roll(ring[:, 1], -1) - ring[:, 1])
    if (span < _LONGEST_EDGE_DEG).all():
        return ring
    ends = np.roll(ring, -1, axis=0)
    pieces = np.where(span < _LONGEST_EDGE_DEG, 1, 4)
    edge = np.repeat(np.arange(len(ring)), pieces)
    share = np.concatenate([np.arange(n) / n for n in pieces])
    points: Ring = ring[edge] + (ends - ring)[edge] * share[:, None]
    return points


def _steradians(ring: Ring) -> float:
    """|∮ sin φ dλ|; along a straight edge the mean of sin φ is −Δcos φ / Δφ, near the parallel sin of the middle."""
    lat, lng = np.radians(ring).T
    next_lat, next_lng = np.roll(lat, -1), np.roll(lng, -1)
    rise = next_lat - lat
    flat = abs(rise) < 1e-6
    mean = np.where(
        flat,
        np.sin((lat + next_lat) / 2),
        (np.cos(lat) - np.cos(next_lat)) / np.where(flat, 1.0, rise),
    )
    return abs(float((mean * (next_lng - lng)).sum()))
