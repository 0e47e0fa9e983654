"""Sites to choose from, with the ground each would cover: points that are given, or the middles of coarser cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import ArrayLike, NDArray

from layers.errors import Invalid, TooLarge
from layers.hexes import Field, disks
from layers.hexes import ranges as rg
from layers.hexes.ranges import Ranges
from layers.hexes.sphere import centers_deg
from layers.planning.ground import hexes_errors
from layers.planning.placement.model import MAX_CANDIDATES, check_cells

_BATCH = 500
"""Disks at once, before what they reach is counted."""


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """Sites, in order: where each is, how far it reaches, and what that is of the field."""

    lng_lat: NDArray[np.float64]
    """(n, 2) degrees."""
    reach_m: NDArray[np.float64]
    spans: tuple[Ranges, ...]


def candidates_at(field: Field, points: ArrayLike, reach_m: ArrayLike) -> Candidates:
    """Each of *points*, (n, 2) longitude and latitude, reaching *reach_m* metres in a straight line: one, or n.

    A point whose disk lies outside of the field has no spans, and keeps its number. Some 0.2 ms for each. Raises
    `TooLarge` (`placement.too_many_candidates`, `placement.too_many_cells`), and `Invalid` (`h3.disk`) for what is
    no position or no reach.
    """
    lng_lat = np.asarray(points, np.float64).reshape(-1, 2)
    _check_count(len(lng_lat))
    reach = np.broadcast_to(np.asarray(reach_m, np.float64), len(lng_lat))
    spans: list[Ranges] = []
    cells = 0
    for first in range(0, len(lng_lat), _BATCH):
        batch = slice(first, first + _BATCH)
        with hexes_errors():
            made = [field.spans(each) for each in disks(lng_lat[batch], reach[batch], field.area.resolution)]
        cells += sum(int((each[:, 1] - each[:, 0]).sum()) for each in made)
        check_cells(cells)
        spans += made
    return Candidates(lng_lat, reach, tuple(spans))


def free_candidates(field: Field, resolution: int, reach_m: float) -> Candidates:
    """The centres of the cells of *resolution*, the field's or coarser, that lie in the field's area.

    If none does, for the area is smaller than such a cell, the centres of those that touch it. Raises `Invalid`
    (`placement.resolution`) at `/place/resolution`, and what `candidates_at` does.
    """
    if not 0 <= resolution <= field.area.resolution:
        detail = (
            f"Candidates have resolution 0 to {field.area.resolution}, the analysis's own; got {resolution}."
        )
        raise Invalid(detail, pointer="/place/resolution", code="placement.resolution")
    touching = field.area.to_resolution(resolution)
    _check_count(touching.count, "/place/resolution")
    lng_lat = centers_deg(rg.integers(touching.ranges), resolution)[:, ::-1]
    own = [h3.latlng_to_cell(lat, lng, field.area.resolution) for lng, lat in lng_lat.tolist()]
    inside = field.places(np.array(own, np.uint64)) >= 0
    return candidates_at(field, lng_lat[inside] if inside.any() else lng_lat, reach_m)


def _check_count(count: int, pointer: str = "/place/candidates") -> None:
    if count > MAX_CANDIDATES:
        detail = f"{count:,} candidates are more than the limit of {MAX_CANDIDATES:,}."
        raise TooLarge(detail, pointer=pointer, code="placement.too_many_candidates")
