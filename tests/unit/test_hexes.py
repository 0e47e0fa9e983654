"""Sets of cells: refusals, then their algebra held against Python sets and the h3 library."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections import Counter
from typing import Any

import h3.api.basic_int as h3
import h3.api.basic_str as h3_text
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import layers.hexes
from layers.hexes import Hexes, HexesError, depth, disk, fills, union, union_by
from layers.hexes.filling import plain_fill
from layers.hexes.polygons import read_polygons
from layers.hexes.ranks import exists, rank_count, to_ids, to_ranks
from tests.unit.hexes_shapes import ODD_PLACES, cell_sets, stars

CHICAGO = h3.latlng_to_cell(41.88, -87.63, 9)
resolutions = st.integers(0, 15)


def refused(code: str) -> pytest.RaisesExc[HexesError]:
    return pytest.raises(HexesError, check=lambda error: error.code == code)


@pytest.mark.parametrize("resolution", [-1, 16, 9.0, True, "9", None])
def test_what_is_no_resolution_is_refused(resolution: Any) -> None:
    with refused("h3.resolution"):
        Hexes.empty(resolution)


@pytest.mark.parametrize(
    "cell",
    [0, -1, 2**64, CHICAGO + 1, CHICAGO ^ 1 << 52, CHICAGO | 1 << 63, 0x8001FFFFFFFFFFF, "", "zz", None, 1.5],
)
def test_what_is_no_cell_is_refused(cell: Any) -> None:
    with refused("h3.cell"):
        Hexes.from_cells([cell], 9)


def test_the_cell_that_a_pentagon_lacks_is_refused() -> None:
    pentagon = h3.get_pentagons(4)[0]
    lacking = (pentagon & ~(7 << 30)) + (1 << 52) | 1 << 30
    assert not h3.is_valid_cell(lacking)
    with refused("h3.cell"):
        Hexes.from_cells([lacking], 5)


def test_cells_of_two_resolutions_are_refused() -> None:
    with refused("h3.cell"):
        Hexes.from_cells([CHICAGO, h3.cell_to_parent(CHICAGO)])


def test_nothing_says_no_resolution() -> None:
    with refused("h3.resolution"):
        Hexes.from_cells([])


@pytest.mark.parametrize("operation", ["__or__", "__and__", "__sub__", "touches"])
def test_sets_of_two_resolutions_do_not_mix(operation: str) -> None:
    with refused("h3.resolution"):
        getattr(Hexes.empty(8), operation)(Hexes.empty(9))


def test_depth_of_two_resolutions_is_refused() -> None:
    with refused("h3.resolution"):
        depth([Hexes.empty(8), Hexes.empty(9)], 9)


def test_ranks_beyond_the_resolution_are_refused() -> None:
    with refused("h3.ranks"):
        Hexes.from_ranges(0, np.array([[0, 123]]))


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\0" * 7,
        b"\0" * 16,
        np.array([16], "<i8").tobytes(),
        np.array([-1], "<i8").tobytes(),
        np.array([0, 5, 5], "<i8").tobytes(),
        np.array([0, 5, 3], "<i8").tobytes(),
        np.array([0, -1, 3], "<i8").tobytes(),
        np.array([0, 120, 123], "<i8").tobytes(),
        np.array([0, 1, 3, 3, 4], "<i8").tobytes(),
    ],
)
def test_what_is_not_packed_hexes_is_refused(packed: bytes) -> None:
    with refused("h3.packed"):
        Hexes.unpack(packed)


def test_a_set_cannot_be_changed() -> None:
    hexes = Hexes.from_cells([CHICAGO])
    with pytest.raises(ValueError, match="read-only"):
        hexes.ranges[0, 0] = 0


def test_importing_hexes_imports_no_shapely() -> None:
    code = "import sys, layers.hexes; sys.exit('shapely' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_example_of_the_package_runs_and_says_what_it_says() -> None:
    assert doctest.testmod(layers.hexes) == (0, 17)


@pytest.mark.parametrize("resolution", [0, 1, 2, 3])
def test_every_cell_of_the_world_has_its_own_rank_and_comes_back(resolution: int) -> None:
    ids = np.sort(np.array(h3.uncompact_cells(h3.get_res0_cells(), resolution), dtype=np.uint64))
    ranks = to_ranks(ids, resolution)
    assert (np.diff(ranks) > 0).all()
    assert (to_ids(ranks, resolution) == ids).all()
    every = np.arange(rank_count(resolution))
    assert (every[exists(every, resolution)] == ranks).all()


@given(st.floats(-90, 90), st.floats(-180, 180), resolutions)
def test_ranks_count_children_in_order(lat: float, lng: float, resolution: int) -> None:
    cell = h3.latlng_to_cell(lat, lng, resolution)
    (rank,) = to_ranks(np.array([cell], np.uint64), resolution)
    assert to_ids(np.array([rank]), resolution).tolist() == [cell]
    if resolution < 15:
        children = to_ranks(np.array(h3.cell_to_children(cell), np.uint64), resolution + 1)
        assert set(children // 7) == {rank}


@pytest.mark.parametrize("resolution", [0, 1, 4, 6])
def test_the_world_has_as_many_cells_as_the_library_says(resolution: int) -> None:
    assert Hexes.world(resolution).count == h3.get_num_cells(resolution)


@given(cell_sets(7))
def test_a_set_gives_back_its_cells(cells: set[int]) -> None:
    hexes = Hexes.from_cells([*cells, *cells], 7)
    assert hexes.cells().tolist() == sorted(cells)
    assert hexes.count == len(cells)
    assert bool(hexes) == bool(cells)
    assert hexes == Hexes.from_cells([h3_text.int_to_str(cell) for cell in cells], 7)
    assert Hexes.unpack(hexes.pack()) == hexes


@given(cell_sets(6), cell_sets(6))
def test_algebra_is_that_of_python_sets(left: set[int], right: set[int]) -> None:
    a, b = Hexes.from_cells(left, 6), Hexes.from_cells(right, 6)
    assert set(a | b) == left | right
    assert set(a & b) == left & right
    assert set(a - b) == left - right
    assert a.touches(b) == bool(left & right)


@given(st.data(), cell_sets(6))
def test_equal_sets_are_equal_however_they_were_made(data: st.DataObject, cells: set[int]) -> None:
    whole = Hexes.from_cells(cells, 6)
    some = Hexes.from_cells(data.draw(st.sets(st.sampled_from(sorted(cells)))) if cells else [], 6)
    again = (whole - some) | some
    assert again == whole
    assert hash(again) == hash(whole)


@given(cell_sets(5))
def test_membership_is_that_of_a_python_set(cells: set[int]) -> None:
    hexes = Hexes.from_cells(cells, 5)
    for cell in h3.grid_disk(next(iter(cells), h3.latlng_to_cell(0, 0, 5)), 3):
        assert (cell in hexes) == (cell in cells)


@given(cell_sets(6))
def test_compaction_is_that_of_the_library(cells: set[int]) -> None:
    assert set(Hexes.from_cells(cells, 6).compact_cells().tolist()) == set(h3.compact_cells(cells))


def test_the_world_compacts_to_its_base_cells() -> None:
    assert sorted(Hexes.world(5).compact_cells().tolist()) == sorted(h3.get_res0_cells())


def test_compaction_stops_where_it_is_told() -> None:
    levels = {h3.get_resolution(cell) for cell in Hexes.world(4).compact_cells(coarsest=2).tolist()}
    assert levels == {2}


@given(cell_sets(5), st.integers(0, 8))
def test_another_resolution_is_all_descendants_or_all_ancestors(cells: set[int], resolution: int) -> None:
    moved = set(Hexes.from_cells(cells, 5).to_resolution(resolution))
    if resolution >= 5:
        assert moved == {child for cell in cells for child in h3.cell_to_children(cell, resolution)}
    else:
        assert moved == {h3.cell_to_parent(cell, resolution) for cell in cells}


@given(st.lists(cell_sets(6), max_size=6))
def test_depth_counts_the_sets_of_each_cell(sets: list[set[int]]) -> None:
    depths = depth([Hexes.from_cells(cells, 6) for cells in sets], 6)
    counted: dict[int, int] = {}
    for cells in sets:
        for cell in cells:
            counted[cell] = counted.get(cell, 0) + 1
    for count in range(1, len(sets) + 2):
        assert set(depths.at_least(count)) == {cell for cell, times in counted.items() if times >= count}
        assert set(depths.exactly(count)) == {cell for cell, times in counted.items() if times == count}
    ranges, counts = depths.pieces()
    assert ((ranges[:, 1] - ranges[:, 0]) * counts).sum() == sum(counted.values())
    assert (ranges[1:, 0] >= ranges[:-1, 1]).all()


@given(st.lists(st.tuples(st.sampled_from("abc"), cell_sets(6)), max_size=6))
def test_depth_by_group_counts_each_group_once(members: list[tuple[str, set[int]]]) -> None:
    groups = [group for group, _ in members]
    sets = [Hexes.from_cells(cells, 6) for _, cells in members]
    united: dict[str, set[int]] = {}
    for group, cells in members:
        united.setdefault(group, set()).update(cells)
    assert {group: set(ground) for group, ground in union_by(sets, 6, groups).items()} == united
    twice = {
        cell for cells in united.values() for cell in cells if sum(cell in u for u in united.values()) >= 2
    }
    assert set(depth(sets, 6, groups).at_least(2)) == twice


@given(st.lists(stars(largest_deg=3.0), max_size=5))
def test_depth_of_shapes_counts_those_that_the_library_finds_in_each_cell(
    shapes: list[dict[str, Any]],
) -> None:
    cells = [plain_fill(read_polygons(shape)[0], 5) for shape in shapes]
    counted = Counter(cell for each in cells for cell in each)
    depths = depth(fills(shapes, 5, at_least_one=False), 5)
    for count in range(1, len(shapes) + 1):
        assert set(depths.exactly(count)) == {cell for cell, times in counted.items() if times == count}


def test_the_union_of_nothing_is_empty() -> None:
    assert union([], 9) == Hexes.empty(9)
    assert Hexes.empty(9).area_km2 == 0
    assert Hexes.empty(9).compact_cells().tolist() == []


@given(cell_sets(7))
def test_area_is_the_sum_of_true_cell_areas(cells: set[int]) -> None:
    exact = sum(h3.cell_area(cell) for cell in cells)
    assert Hexes.from_cells(cells, 7).area_km2 == pytest.approx(exact, rel=5e-5, abs=1e-12)


def test_the_area_of_the_world_is_that_of_the_sphere() -> None:
    assert Hexes.world(7).area_km2 == pytest.approx(4 * np.pi * 6371.007180918475**2, rel=1e-9)


@pytest.mark.parametrize("place", ODD_PLACES)
def test_ground_of_coarse_cells_is_that_of_all_their_descendants(place: tuple[float, float]) -> None:
    lng, lat = place
    fine = h3.cell_to_children(h3.latlng_to_cell(lat, lng, 4), 8)
    assert Hexes.from_cells(fine).area_km2 == pytest.approx(sum(map(h3.cell_area, fine)), rel=5e-5)


def test_by_their_centres_hexes_do_not_become_finer() -> None:
    with refused("h3.resolution"):
        Hexes.from_cells([CHICAGO]).by_center(10)


@pytest.mark.parametrize("place", ODD_PLACES)
def test_by_their_centres_coarser_cells_are_those_whose_innermost_descendant_is_in(
    place: tuple[float, float],
) -> None:
    fine = disk(*place, 40_000, 8)
    wanted = {cell for cell in fine.to_resolution(6) if h3.cell_to_center_child(cell, 8) in fine}
    assert set(fine.by_center(6)) == wanted
    assert fine.by_center(8) == fine
