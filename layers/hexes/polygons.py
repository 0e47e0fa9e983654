"""GeoJSON polygons as this package reads them: rings of degrees, and their ground."""

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
_BOUNDS = np.array([90.0, 180.0])


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


def _outer_and_holes(rings: list[Ring]) -> tuple[Ring, tuple[Ring, ...]]:
    return rings[0], tuple(rings[1:])


def _ring(positions: Sequence[Sequence[float]]) -> Ring:
    ring = _lat_lng(positions)
    if len(ring) > 1 and ring[0].tolist() == ring[-1].tolist():
        ring = ring[:-1]
    if len(ring) < 3 or not (abs(ring) <= _BOUNDS).all():
        detail = "A ring has three corners or more, at longitudes of ±180 and latitudes of ±90 degrees."
        raise HexesError(detail, code="h3.geometry")
    return _without_long_edges(ring)


def _lat_lng(positions: Sequence[Sequence[float]]) -> Ring:
    try:
        return np.array(positions, dtype=np.float64)[:, [1, 0]]
    except ValueError:  # Altitudes here and there.
        return np.array([(lat, lng) for lng, lat, *_ in positions], dtype=np.float64).reshape(-1, 2)


def _without_long_edges(ring: Ring) -> Ring:
    if np.ptp(ring[:, 1]) < _LONGEST_EDGE_DEG:
        return ring
    span = abs(np.roll(ring[:, 1], -1) - ring[:, 1])
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
