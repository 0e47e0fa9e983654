"""A loaded coverage against counting cells one by one."""

from __future__ import annotations

from typing import Any

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import LayersError
from layers.hexes import Field, Hexes, HexesError
from layers.model import FeatureId, LayerName
from layers.planning.coverage import Coverage
from layers.planning.model import Cover, Standing
from tests.unit.planning_cases import AT

MIDDLE = h3.latlng_to_cell(41.88, -87.63, 8)
NEAR = sorted(h3.grid_disk(MIDDLE, 4))


def near_sets() -> st.SearchStrategy[set[int]]:
    """Cells of one neighbourhood, so that covers meet."""
    return st.lists(st.sampled_from(NEAR), max_size=50).map(set)


def cover(field: Field, cells: set[int], agency: str = "cfd", **rest: Any) -> Cover:
    found = {
        "standing": Standing.COUNTS,
        "capabilities": frozenset(),
        "kind": "units",
        "reach_m": None,
    } | rest
    spans = field.spans(Hexes.from_cells(cells, 8))
    return Cover(
        layer=LayerName(f"{agency}.units"),
        id=FeatureId("a"),
        agency=agency,
        name="a",
        place=(0.0, 0.0),
        observed_at=AT,
        spans=spans,
        **found,
    )


def km2(cells: set[int]) -> Any:
    return pytest.approx(sum(map(h3.cell_area, cells)), rel=1e-4, abs=1e-12)


def cells_of(coverage: Coverage, mask: Any) -> set[int]:
    return set(coverage.hexes(mask))


def test_without_covers_all_is_gap() -> None:
    found = Coverage.of(Field(Hexes.from_cells(NEAR, 8)), [])
    assert found.gap.all()
    assert not found.overlap.any()
    assert found.agencies == ()


def test_what_does_not_count_covers_nothing() -> None:
    field = Field(Hexes.from_cells(NEAR, 8))
    for standing in set(Standing) - {Standing.COUNTS}:
        assert Coverage.of(field, [cover(field, set(NEAR), standing=standing)]).gap.all()


@given(
    near_sets(),
    st.lists(st.tuples(st.sampled_from(["cfd", "cpd", "ems"]), near_sets()), max_size=7),
    st.integers(1, 4),
)
def test_the_coverage_is_what_counting_says(
    area: set[int], covers: list[tuple[str, set[int]]], at_least: int
) -> None:
    field = Field(Hexes.from_cells(area, 8))
    found = Coverage.of(field, [cover(field, cells, agency) for agency, cells in covers], at_least)
    times = {cell: sum(cell in cells for _, cells in covers) for cell in area}
    assert cells_of(found, found.gap) == {cell for cell in area if times[cell] < at_least}
    assert cells_of(found, found.overlap) == {cell for cell in area if times[cell] > at_least}
    assert found.km2(found.gap) == km2({cell for cell in area if times[cell] < at_least})
    own = {agency: area & set().union(*(c for a, c in covers if a == agency)) for agency, _ in covers}
    for share in found.agencies:
        others = set().union(*(ground for agency, ground in own.items() if agency != share.agency))
        assert share.covers_km2 == km2(own[share.agency])
        assert share.only_km2 == km2(own[share.agency] - others)
    assert [share.agency for share in found.agencies] == sorted(a for a, ground in own.items() if ground)


@given(near_sets(), st.lists(near_sets(), max_size=6))
def test_who_is_the_only_cover_is_what_counting_says(area: set[int], covers: list[set[int]]) -> None:
    field = Field(Hexes.from_cells(area, 8))
    found = Coverage.of(field, [cover(field, cells) for cells in covers])
    for cell, sole in zip(field.cells.tolist(), found.sole.tolist(), strict=True):
        holders = [at for at, cells in enumerate(covers) if cell in cells]
        assert sole == (holders[0] if len(holders) == 1 else -1)
    lost = [area & cells - set().union(*covers[:at], *covers[at + 1 :]) for at, cells in enumerate(covers)]
    assert found.sole_km2().tolist() == [km2(cells) for cells in lost]


@given(st.lists(st.tuples(st.frozensets(st.sampled_from(["als", "bls", "hazmat"])), near_sets()), max_size=6))
def test_capabilities_are_where_a_cover_has_them(covers: list[tuple[frozenset[str], set[int]]]) -> None:
    field = Field(Hexes.from_cells(NEAR, 8))
    found = Coverage.of(field, [cover(field, cells, capabilities=able) for able, cells in covers])
    for name in ("als", "bls", "hazmat"):
        held = set().union(*(cells for able, cells in covers if name in able))
        mask = found.by_capability.get(name, np.zeros(field.size, bool))
        assert cells_of(found, mask) == held


def test_errors_of_hexes_are_not_of_the_domain() -> None:
    """So that the package can stand alone; `planning.ground` turns them into errors of the domain."""
    assert not issubclass(HexesError, LayersError)
