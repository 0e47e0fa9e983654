"""Weights on the cells of an area: against dictionaries, and nothing is lost or counted twice."""

from __future__ import annotations

import json
import random
from typing import Any

import h3.api.basic_str as h3
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.hexes import Field, Hexes, fill
from layers.planning.cell_rows import cells_of
from layers.planning.model import CellValues, FeatureValues, Weights
from layers.planning.weights import Demand, narrowed, weigh
from tests.unit.hexes_shapes import box

AREA = box(-87.70, 41.85, -87.60, 41.93)
PENTAGON = h3.get_pentagons(3)[4]


def field(resolution: int = 8) -> Field:
    return Field(fill(AREA, resolution))


def on(found: Field, cells: dict[str, float]) -> Demand:
    """*cells* as an analysis weighs with them: first what is near, then on the field."""
    near, elsewhere = narrowed(cells_of(cells, ""), found.area)
    return weigh(Weights("people", near, elsewhere), found)


def by_cell(found: Field, demand: Demand) -> dict[str, float]:
    values = zip(found.cells.tolist(), demand.values.tolist(), strict=True)
    return {f"{cell:x}": value for cell, value in values}


def spread(cells: dict[str, float], resolution: int) -> dict[str, float]:
    """The oracle: each cell's value summed into its ancestor, or spread over its descendants by their ground."""
    found: dict[str, float] = {}
    for cell, value in cells.items():
        if h3.get_resolution(cell) >= resolution:
            parts = {h3.cell_to_parent(cell, resolution): 1.0}
        else:
            parts = {child: h3.cell_area(child) for child in h3.cell_to_children(cell, resolution)}
        for part, km2 in parts.items():
            found[part] = found.get(part, 0.0) + value * km2 / sum(parts.values())
    return found


def around(resolution: int, count: int, seed: int) -> dict[str, float]:
    """Cells in and around the area with whole values."""
    cells = sorted(fill(box(-87.75, 41.80, -87.55, 41.98), resolution).cells().tolist())
    drawn = random.Random(seed)
    return {f"{cell:x}": float(drawn.randrange(1000)) for cell in drawn.sample(cells, min(count, len(cells)))}


@settings(deadline=None, max_examples=40)
@given(st.integers(5, 10), st.integers(1, 200), st.integers(0, 2**32))
def test_a_table_of_any_resolution_weighs_what_dictionaries_say(
    resolution: int, count: int, seed: int
) -> None:
    cells, found = around(resolution, count, seed), field()
    demand = on(found, cells)
    expected = spread(cells, 8)
    for cell, value in by_cell(found, demand).items():
        assert value == pytest.approx(expected.get(cell, 0.0), rel=1e-4, abs=1e-12)
    outside = sum(value for cell, value in expected.items() if cell not in found.area)
    assert demand.total == sum(cells.values())
    assert demand.inside + demand.outside == pytest.approx(demand.total, rel=1e-12)
    assert demand.outside == pytest.approx(outside, rel=1e-4, abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(8, 10), st.integers(0, 2**32))
def test_whole_numbers_of_cells_no_coarser_are_added_up_exactly(resolution: int, seed: int) -> None:
    cells, found = around(resolution, 300, seed), field()
    demand = on(found, cells)
    inside = {cell: value for cell, value in spread(cells, 8).items() if cell in found.area}
    assert {cell: value for cell, value in by_cell(found, demand).items() if cell in inside} == inside
    assert (demand.inside, demand.outside) == (
        sum(inside.values()),
        sum(cells.values()) - sum(inside.values()),
    )


def test_a_coarse_cell_that_lies_wholly_in_the_area_gives_all_it_has() -> None:
    area = Field(Hexes.from_cells([PENTAGON]).to_resolution(6))
    demand = on(area, {PENTAGON: 1000.0})
    assert demand.inside == pytest.approx(1000.0, rel=1e-12)
    assert demand.outside == pytest.approx(0.0, abs=1e-9)


def test_a_coarse_pentagon_half_in_the_area_gives_the_share_of_its_ground() -> None:
    children = sorted(h3.cell_to_children(PENTAGON, 6))
    half = Field(Hexes.from_cells(children[::2]))
    expected = sum(map(h3.cell_area, children[::2])) / sum(map(h3.cell_area, children))
    assert on(half, {PENTAGON: 1.0}).inside == pytest.approx(expected, rel=1e-4)


def test_a_table_elsewhere_weighs_nothing_here_and_is_said_to_be_outside() -> None:
    demand = on(field(), {PENTAGON: 7.0, h3.latlng_to_cell(10, 10, 3): 3.0})
    assert (demand.inside, demand.outside, demand.total) == (0.0, 10.0, 10.0)


def of_features(
    points: list[tuple[float, float, float]], shapes: list[tuple[dict[str, Any], float]]
) -> Weights:
    where = np.array([point[:2] for point in points], np.float64).reshape(-1, 2)
    texts = tuple(json.dumps(shape) for shape, _ in shapes)
    weigh_points, weigh_shapes = ([each[-1] for each in some] for some in (points, shapes))
    return Weights("calls", FeatureValues(where, np.array(weigh_points), texts, np.array(weigh_shapes)), 5.0)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.floats(-87.8, -87.5), st.floats(41.8, 42.0), st.integers(0, 50)), max_size=20),
    st.lists(st.tuples(st.floats(-87.8, -87.6), st.floats(41.8, 41.9), st.integers(0, 50)), max_size=4),
)
def test_points_weigh_in_their_cell_and_polygons_all_over_their_ground(
    points: list[tuple[float, float, int]], corners: list[tuple[float, float, int]]
) -> None:
    found = field()
    shapes = [(box(lng, lat, lng + 0.08, lat + 0.06), float(value)) for lng, lat, value in corners]
    demand = weigh(of_features([(x, y, float(v)) for x, y, v in points], shapes), found)
    expected: dict[str, float] = dict.fromkeys((f"{cell:x}" for cell in found.cells.tolist()), 0.0)
    for lng, lat, value in points:
        cell = h3.latlng_to_cell(lat, lng, 8)
        expected[cell] = expected.get(cell, 0.0) + value
    for shape, weight in shapes:
        cells = [f"{cell:x}" for cell in fill(shape, 8)]
        whole_km2 = sum(map(h3.cell_area, cells))
        for cell in cells:
            expected[cell] = expected.get(cell, 0.0) + weight * h3.cell_area(cell) / whole_km2
    for cell, weight in by_cell(found, demand).items():
        assert weight == pytest.approx(expected[cell], rel=1e-6, abs=1e-9)
    assert demand.total == 5 + sum(each[-1] for each in (*points, *corners))
    assert demand.inside + demand.outside == pytest.approx(demand.total)


def test_a_county_gives_a_block_its_share() -> None:
    block = Field(fill(box(-87.66, 41.87, -87.62, 41.9), 9))
    county = box(-88.2, 41.5, -87.2, 42.1)
    demand = weigh(of_features([], [(county, 5_000_000.0)]), block)
    share = block.area.area_km2 / fill(county, 9).area_km2
    assert demand.inside == pytest.approx(5_000_000 * share, rel=1e-4)


def test_no_area_and_no_weights_come_to_nothing() -> None:
    empty = CellValues(8, np.empty(0, np.int64), np.empty(0))
    assert weigh(Weights("people", empty), field()).total == 0.0
    assert weigh(Weights("people", empty, 3.0), Field(Hexes.empty(8))).outside == 3.0
