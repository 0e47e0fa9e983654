"""Weights: what the ground of an area weighs, cell by cell, so that an answer counts people and not only km². Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import orjson
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes import Field, Hexes, fills
from layers.hexes.area import COARSEST, cell_areas_km2
from layers.hexes.ranges import Ranges, integers, position
from layers.hexes.ranks import Ids, Ranks, to_ids
from layers.planning.model import CellValues, FeatureValues, Weights

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Demand:
    """What each cell of an area weighs. `values` has one for each place of the area's field."""

    weights: Weights
    values: Floats
    total: float
    """All that was given, in the area or not."""

    @cached_property
    def inside(self) -> float:
        """What lies in the area."""
        return float(self.values.sum())

    @property
    def outside(self) -> float:
        """What does not."""
        return max(self.total - self.inside, 0.0)

    def sum(self, mask: NDArray[np.bool_]) -> float:
        """What the cells of *mask* weigh."""
        return float(self.values[mask].sum())


def weigh(weights: Weights, field: Field) -> Demand:
    """*weights* on the cells of *field*.

    The value of a coarser cell, or of a polygon, is spread over all its cells by their ground, whether or not they
    are in the area: nothing is lost, and nothing counted twice. Ground outside of the area is measured as
    `Hexes.area_km2` does, within 5e-5 of it.
    """
    match weights.given:
        case CellValues() as given:
            return Demand(weights, _of_cells(given, field), weights.elsewhere + float(given.values.sum()))
        case FeatureValues() as given:
            total = float(given.at_points.sum() + given.at_shapes.sum())
            return Demand(
                weights, _of_points(given, field) + _of_shapes(given, field), weights.elsewhere + total
            )


def narrowed(given: CellValues, area: Hexes) -> tuple[CellValues, float]:
    """Of *given* what lies on *area*, no finer than its cells, and the sum of what does not.

    Finer cells are summed into those of the area; coarser ones are kept whole if any of their ground is in it.
    """
    finer = given.resolution - area.resolution
    ranks = given.ranks // 7 ** max(finer, 0)
    near = position(area.ranges if finer >= 0 else area.to_resolution(given.resolution).ranges, ranks) >= 0
    # Ascending, so equal ones follow each other.
    kept, owner = np.unique(ranks[near], return_inverse=True)
    sums = np.bincount(owner, given.values[near], len(kept)).astype(np.float64)
    resolution = min(given.resolution, area.resolution)
    return CellValues(resolution, kept, sums), float(given.values[~near].sum())


def _of_cells(given: CellValues, field: Field) -> Floats:
    ranks = integers(field.area.ranges)
    owner = _owners(given, ranks // 7 ** (field.area.resolution - given.resolution))
    own = owner >= 0
    inside_km2 = np.bincount(owner[own], field.km2[own], len(given.ranks))
    whole_km2 = inside_km2 + _outside_km2(given, inside_km2 > 0, field)
    values = np.zeros(field.size)
    values[own] = given.values[owner[own]] * (field.km2[own] / whole_km2[owner[own]])
    return values


def _outside_km2(given: CellValues, touched: NDArray[np.bool_], field: Field) -> Floats:
    """For each of *given* that is *touched* by the area, its ground that is not in it."""
    resolution, steps = field.area.resolution, 7 ** (field.area.resolution - given.resolution)
    first: NDArray[np.int64] = given.ranks[touched] * steps
    beyond = Hexes.from_ranges(resolution, np.column_stack((first, first + steps))) - field.area
    found = np.zeros(len(given.ranks))
    # No block is coarser than the cell that it is a part of: part of each is in the area.
    for level, ranks in beyond.blocks(max(COARSEST, given.resolution)):
        owner = _owners(given, ranks // 7 ** (level - given.resolution))
        found += np.bincount(owner, cell_areas_km2(to_ids(ranks, level)), len(found))
    return found


def _owners(given: CellValues, ranks: Ranks) -> NDArray[np.int64]:
    """For each of *ranks*, of the resolution of *given*, its index in there, or -1."""
    if not len(given.ranks):
        return np.full(len(ranks), -1, np.int64)
    at = np.searchsorted(given.ranks, ranks)
    at[at == len(given.ranks)] = 0
    return np.where(given.ranks[at] == ranks, at, -1)


def _of_points(given: FeatureValues, field: Field) -> Floats:
    resolution = field.area.resolution
    cells: Ids = np.array(
        [h3.latlng_to_cell(lat, lng, resolution) for lng, lat in given.lng_lat.tolist()], np.uint64
    )
    places = field.places(cells)
    inside = places >= 0
    return np.bincount(places[inside], given.at_points[inside], field.size).astype(np.float64)


def _of_shapes(given: FeatureValues, field: Field) -> Floats:
    values = np.zeros(field.size)
    filled = fills([orjson.loads(shape) for shape in given.shapes], field.area.resolution)
    for hexes, value in zip(filled, given.at_shapes.tolist(), strict=True):
        spans = field.spans(hexes)
        if value and len(spans):
            per_km2 = value / _ground_km2(hexes, spans, field)
            for first, end in spans.tolist():
                values[first:end] += field.km2[first:end] * per_km2
    return values


def _ground_km2(hexes: Hexes, spans: Ranges, field: Field) -> float:
    """The ground of *hexes*, of which *spans* are in the area, measured as that of the area is."""
    inside_km2 = float(field.km2[integers(spans)].sum())
    if hexes.count == int((spans[:, 1] - spans[:, 0]).sum()):
        return inside_km2
    return inside_km2 + (hexes - field.area).area_km2
