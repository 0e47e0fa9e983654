"""Zones told apart, against counting cell by cell: they may overlap, lie apart and be smaller than a cell."""

from __future__ import annotations

from typing import Any

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.hexes import fill
from layers.planning.coverage import Coverage, load
from layers.planning.jurisdictions import Jurisdiction, jurisdictions
from layers.planning.model import Case, CellValues, Rule, Weights, Zone
from layers.planning.weights import weigh
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

corners = st.tuples(
    st.floats(-87.7, -87.6), st.floats(41.8, 41.9), st.floats(1e-5, 0.06), st.floats(1e-5, 0.06)
)
places = st.tuples(st.floats(-87.72, -87.55), st.floats(41.78, 41.96), st.floats(0, 4000))


def zone(id: str, west: float, south: float, width: float, height: float) -> Zone:
    return Zone(id, id.title(), box(west, south, west + width, south + height))


def told(
    zones: list[Zone], units: list[tuple[float, float, float]], at_least: int
) -> tuple[Coverage, list[Jurisdiction]]:
    rows = [row(f"u{n}", lng=lng, lat=lat, reach_m=reach) for n, (lng, lat, reach) in enumerate(units)]
    case = Case(zones[0].geometry, 8, Rule(at_least), (source("units", *rows),), AT, zones=tuple(zones))
    found, _ = load(case)
    weights = Weights("people", CellValues(8, found.field.ranks(np.arange(found.field.size)), _counts(found)))
    return found, jurisdictions(found, zones, weigh(weights, found.field))


def _counts(found: Coverage) -> Any:
    return np.arange(found.field.size, dtype=float) % 7


@settings(deadline=None, max_examples=60)
@given(st.lists(corners, min_size=1, max_size=6), st.lists(places, max_size=5), st.integers(1, 2))
def test_each_zone_has_what_its_cells_have(
    boxes: list[tuple[float, float, float, float]], units: list[tuple[float, float, float]], at_least: int
) -> None:
    zones = [zone(f"z{n}", *each) for n, each in enumerate(boxes)]
    found, rows = told(zones, units, at_least)
    depth = dict(zip(found.field.cells.tolist(), found.depth.tolist(), strict=True))
    people = dict(zip(found.field.cells.tolist(), _counts(found).tolist(), strict=True))
    reaches = [set(found.field.hexes_in(cover.spans)) for cover in found.covers]
    for each in rows:
        cells = set(fill(each.zone.geometry, 8))
        parts = {
            "all": cells,
            "covered": {cell for cell in cells if depth[cell] >= at_least},
            "gap": {cell for cell in cells if depth[cell] < at_least},
            "overlap": {cell for cell in cells if depth[cell] > at_least},
        }
        assert each.cells == len(cells)
        assert each.covers == sum(bool(cells & reach) for reach in reaches)
        for name, part in parts.items():
            assert getattr(each.km2, name) == pytest.approx(sum(map(h3.cell_area, part)), abs=1e-9)
            assert getattr(each.weight, name) == sum(people[cell] for cell in part)
        assert (each.worst is None) == (not parts["gap"])
        if each.worst is not None:
            assert set(each.worst.hexes) <= parts["gap"]
            assert each.worst.km2 == pytest.approx(largest_km2(parts["gap"]), rel=5e-5)


def largest_km2(cells: set[int]) -> float:
    """By flood fill."""
    left, largest = set(cells), 0.0
    while left:
        piece, edge = set(), {left.pop()}
        while edge:
            piece |= edge
            edge = {near for cell in edge for near in h3.grid_ring(cell, 1)} & left
            left -= edge
        largest = max(largest, sum(map(h3.cell_area, piece)))
    return largest


def test_without_covers_and_weights_all_is_gap() -> None:
    zones = [zone("a", -87.65, 41.85, 0.03, 0.03)]
    found, _ = told(zones, [], 1)
    (only,) = jurisdictions(found, zones, None)
    assert (only.weight, only.covers, only.km2.covered, only.km2.covered_share) == (None, 0, 0.0, 0.0)
