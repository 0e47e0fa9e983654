"""Why a gap is a gap: who would close it but does not count, who is nearest, and what could not be seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.hexes import Hexes
from layers.hexes.ranges import integers
from layers.hexes.sphere import EARTH_RADIUS_M, angle, on_sphere
from layers.planning.coverage import Coverage
from layers.planning.model import OF_ANOTHER_STATUS, Cover, Standing
from layers.planning.notes import statuses_of

MAX_NAMED = 5
"""Features that are named for each reason, those first that would close most; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Covers of one standing that reach into the gap and would close *km2* of it if they counted."""

    standing: Standing
    km2: float
    count: int
    covers: tuple[Cover, ...]
    """The first MAX_NAMED."""
    statuses: tuple[str | None, ...] = ()
    """What their status is, where it is not one of those asked for: the commonest first."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The cover that counts and is nearest to the middle of a gap, and how far it is away."""

    cover: Cover
    distance_m: float


@dataclass(frozen=True, slots=True)
class Explained:
    """One gap with its reasons, those that would close most first. None at all: nobody could reach into it."""

    reached_by: int
    """How many covers reach the best covered of its cells; fewer than asked for, or it would be no gap."""
    reasons: tuple[Reason, ...]
    nobody_km2: float
    """Its ground that none of those with a reason would reach."""
    nearest: Nearest | None


def explain(
    coverage: Coverage, gaps: Sequence[Hexes], middles: Sequence[tuple[float, float]]
) -> list[Explained]:
    """The reasons of each of *gaps*, disjoint parts of the area whose *middles* are longitude and latitude.

    A unit is near if it could reach into the gap: so far its `reach_m`, the rule's reach or its polygon goes.
    """
    places = [integers(coverage.field.spans(gap)) for gap in gaps]
    gap_at = np.full(coverage.field.size, -1, np.int64)
    for at, own in enumerate(places):
        gap_at[own] = at
    missed = _missed(coverage, gap_at, len(gaps))
    nearest = _nearest(coverage, middles)
    return [
        Explained(
            int(coverage.depth[own].max(initial=0)),
            _reasons(coverage, gap_at, at, missed[at]),
            _nobody_km2(coverage, own, missed[at]),
            nearest[at],
        )
        for at, own in enumerate(places)
    ]


def _missed(coverage: Coverage, gap_at: NDArray[np.int64], count: int) -> list[list[tuple[float, int]]]:
    """For each gap what covers that do not count would close of it: km² and the cover's index, largest first."""
    missed: list[list[tuple[float, int]]] = [[] for _ in range(count)]
    for index, cover in enumerate(coverage.covers):
        if cover.counts or not len(cover.spans):
            continue
        places = integers(cover.spans)
        places = places[gap_at[places] >= 0]
        km2 = np.bincount(gap_at[places], coverage.field.km2[places], count)
        for at in np.flatnonzero(km2).tolist():
            missed[at].append((float(km2[at]), index))
    return [sorted(each, reverse=True) for each in missed]


def _reasons(
    coverage: Coverage, gap_at: NDArray[np.int64], gap: int, missed: list[tuple[float, int]]
) -> tuple[Reason, ...]:
    by_standing: dict[Standing, list[Cover]] = {}
    for _, index in missed:
        cover = coverage.covers[index]
        by_standing.setdefault(cover.standing, []).append(cover)
    found = []
    for standing, covers in by_standing.items():
        places = np.unique(np.concatenate([integers(cover.spans) for cover in covers]))
        km2 = float(coverage.field.km2[places[gap_at[places] == gap]].sum())
        statuses = tuple(statuses_of(covers)) if standing in OF_ANOTHER_STATUS else ()
        found.append(Reason(standing, km2, len(covers), tuple(covers[:MAX_NAMED]), statuses))
    return tuple(sorted(found, key=lambda reason: -reason.km2))


def _nobody_km2(coverage: Coverage, own: NDArray[np.int64], missed: Sequence[tuple[float, int]]) -> float:
    """The ground of the places *own* that no cover of *missed* reaches."""
    reached = [integers(coverage.covers[index].spans) for _, index in missed]
    left = np.setdiff1d(own, np.concatenate(reached)) if reached else own
    return float(coverage.field.km2[left].sum())


def _nearest(coverage: Coverage, middles: Sequence[tuple[float, float]]) -> list[Nearest | None]:
    counting = [cover for cover in coverage.covers if cover.counts]
    if not counting:
        return [None] * len(middles)
    at = on_sphere(np.array([cover.place[::-1] for cover in counting]))
    found: list[Nearest | None] = []
    for lng, lat in middles:
        away = angle(at, on_sphere(np.array([[lat, lng]])))
        first = int(away.argmin())
        found.append(Nearest(counting[first], float(away[first]) * EARTH_RADIUS_M))
    return found
