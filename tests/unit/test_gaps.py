"""The analysis against counting cells one by one."""

from __future__ import annotations

import h3.api.basic_int as h3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import LayersError
from layers.gaps import Cover, analyse
from layers.hexes import Hexes, HexesError, disk
from tests.unit.hexes_shapes import cell_sets

MIDDLE = h3.latlng_to_cell(41.88, -87.63, 8)


@st.composite
def near_sets(draw: st.DrawFn) -> set[int]:
    """Cells of one neighbourhood, so that covers meet."""
    return set(draw(st.lists(st.sampled_from(h3.grid_disk(MIDDLE, 4)), max_size=50)))


def km2(cells: set[int]) -> float:
    return float(sum(map(h3.cell_area, cells)))


def test_covers_of_another_resolution_are_refused() -> None:
    with pytest.raises(HexesError):
        analyse(Hexes.empty(9), [Cover("cfd", Hexes.empty(8))])


def test_without_covers_all_is_gap() -> None:
    area = disk(-87.63, 41.88, 2_000, 9)
    found = analyse(area, [])
    assert (found.gap, found.covered, found.overlap) == (area, Hexes.empty(9), Hexes.empty(9))
    assert found.agencies == ()


def test_who_covers_only_what_lies_outside_is_not_listed() -> None:
    area = disk(-87.63, 41.88, 2_000, 9)
    assert analyse(area, [Cover("far", disk(10, 10, 2_000, 9))]).agencies == ()


@given(
    near_sets(),
    st.lists(st.tuples(st.sampled_from(["cfd", "cpd", "ems"]), near_sets()), max_size=7),
    st.integers(1, 4),
)
def test_the_analysis_is_what_counting_says(
    area: set[int], covers: list[tuple[str, set[int]]], at_least: int
) -> None:
    found = analyse(
        Hexes.from_cells(area, 8),
        [Cover(agency, Hexes.from_cells(cells, 8)) for agency, cells in covers],
        at_least,
    )
    times = {cell: sum(cell in cells for _, cells in covers) for cell in area}
    assert set(found.covered) == {cell for cell in area if times[cell] >= at_least}
    assert set(found.gap) == {cell for cell in area if times[cell] < at_least}
    assert set(found.overlap) == {cell for cell in area if times[cell] > at_least}
    own = {agency: area & set().union(*(c for a, c in covers if a == agency)) for agency, _ in covers}
    for share in found.agencies:
        others = set().union(*(ground for agency, ground in own.items() if agency != share.agency))
        assert share.covers_km2 == pytest.approx(km2(own[share.agency]), rel=1e-5)
        assert share.only_km2 == pytest.approx(km2(own[share.agency] - others), rel=1e-5, abs=1e-12)
    assert [share.agency for share in found.agencies] == sorted(a for a, ground in own.items() if ground)


@given(cell_sets(6), st.lists(cell_sets(6), max_size=4))
def test_covered_and_gap_make_up_the_area(area: set[int], covers: list[set[int]]) -> None:
    whole = Hexes.from_cells(area, 6)
    found = analyse(whole, [Cover("cfd", Hexes.from_cells(cells, 6)) for cells in covers])
    assert found.covered | found.gap == whole
    assert not found.covered.touches(found.gap)
    assert found.overlap - found.covered == Hexes.empty(6)


def test_errors_of_hexes_are_not_of_the_domain() -> None:
    """So that the package can stand alone; `layers.coverage` turns them into errors of the domain."""
    assert not issubclass(HexesError, LayersError)
