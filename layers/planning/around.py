"""One cell of a loaded coverage: who covers it, who is next nearest, who would cover it but does not count. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.hexes.sphere import EARTH_RADIUS_M, angle, centers_deg, on_sphere
from layers.planning.coverage import Coverage
from layers.planning.model import Cover

MAX_NEXT = 5
"""Covers that are named though they do not reach the cell."""


@dataclass(frozen=True, slots=True)
class Near:
    """A cover, and how far from the cell's centre it is; of a polygon that is its middle."""

    cover: Cover
    distance_m: float


@dataclass(frozen=True, slots=True)
class Around:
    """What there is to say of one cell; each part in order of distance."""

    center: tuple[float, float]
    """Longitude and latitude."""
    km2: float
    reaching: tuple[Near, ...]
    """The covers that count here: as many as the cell is deep."""
    next: tuple[Near, ...]
    """The nearest MAX_NEXT that count and do not reach it."""
    idle: tuple[Near, ...]
    """Those that would reach it and do not count; their standing says why."""


def around(coverage: Coverage, place: int) -> Around:
    """What there is to say of the cell at *place* of the field."""
    field = coverage.field
    center = centers_deg(field.ranks(np.array([place])), field.area.resolution)
    if not coverage.covers:
        return Around(_lng_lat(center), float(field.km2[place]), (), (), ())
    places = on_sphere(np.array([cover.place[::-1] for cover in coverage.covers]))
    away_m = angle(places, on_sphere(center)) * EARTH_RADIUS_M
    counts = np.array([cover.counts for cover in coverage.covers])
    reaches = _reaching(coverage.covers, place)

    def near(which: NDArray[np.bool_], most: int | None = None) -> tuple[Near, ...]:
        at = np.flatnonzero(which)
        order = at[np.argsort(away_m[at], kind="stable")][:most].tolist()
        return tuple(Near(coverage.covers[index], float(away_m[index])) for index in order)

    return Around(
        _lng_lat(center),
        float(field.km2[place]),
        near(counts & reaches),
        near(counts & ~reaches, MAX_NEXT),
        near(~counts & reaches),
    )


def _reaching(covers: Sequence[Cover], place: int) -> NDArray[np.bool_]:
    spans = np.concatenate([cover.spans for cover in covers])
    owner = np.repeat(np.arange(len(covers)), [len(cover.spans) for cover in covers])
    held = owner[(spans[:, 0] <= place) & (place < spans[:, 1])]
    return np.bincount(held, minlength=len(covers)) > 0


def _lng_lat(center: NDArray[np.float64]) -> tuple[float, float]:
    lat, lng = center[0].tolist()
    return lng, lat
