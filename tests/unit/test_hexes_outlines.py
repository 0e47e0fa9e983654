"""Dissolved outlines and connected patches, held against a flood fill in Python and the sums of cell areas."""

from __future__ import annotations

import h3.api.basic_int as h3
import pytest
import shapely
from hypothesis import example, given

from layers.hexes import Hexes, disk, fill, outlines, patches
from tests.unit.hexes_shapes import ODD_PLACES, box, cell_sets


def flooded(cells: set[int]) -> list[set[int]]:
    """Connected pieces by flood fill."""
    left, pieces = set(cells), []
    while left:
        piece, edge = set(), {left.pop()}
        while edge:
            piece |= edge
            edge = {near for cell in edge for near in h3.grid_disk(cell, 1)} & left
            left -= edge
        pieces.append(piece)
    return pieces


def km2(cells: set[int]) -> float:
    return float(sum(map(h3.cell_area, cells)))


def test_nothing_has_no_outlines_and_no_patches() -> None:
    assert outlines(Hexes.empty(9)) == []
    assert patches(Hexes.empty(9)) == []


@given(cell_sets(6))
@example(set(h3.cell_to_children(h3.get_pentagons(4)[0], 6)))
def test_patches_are_those_of_a_flood_fill(cells: set[int]) -> None:
    found = patches(Hexes.from_cells(cells, 6))
    assert {frozenset(patch.hexes) for patch in found} == set(map(frozenset, flooded(cells)))
    assert [p.km2 for p in found] == pytest.approx(sorted(map(km2, flooded(cells)), reverse=True), rel=5e-5)


@given(cell_sets(6))
@example(set(h3.cell_to_children(h3.get_pentagons(4)[0], 6)))
def test_each_patch_has_the_cells_that_a_flood_fill_finds(cells: set[int]) -> None:
    found = patches(Hexes.from_cells(cells, 6))
    assert {frozenset(patch.hexes) for patch in found} == set(map(frozenset, flooded(cells)))
    assert all(patch.km2 == pytest.approx(km2(set(patch.hexes)), rel=5e-5) for patch in found)
    assert all(patch.hexes == Hexes.from_cells(patch.hexes) for patch in found)


def test_the_only_patch_of_the_world_is_the_world() -> None:
    assert [patch.hexes for patch in patches(Hexes.world(5))] == [Hexes.world(5)]


@pytest.mark.parametrize("place", ODD_PLACES)
def test_patches_of_a_large_ragged_set_are_those_of_a_flood_fill(place: tuple[float, float]) -> None:
    ring = disk(*place, 150_000, 6) - disk(*place, 60_000, 6)
    ragged = ring - Hexes.from_cells([cell for cell in ring if cell % 5 == 0 or (cell >> 27) % 7 == 3], 6)
    assert [p.km2 for p in patches(ragged)] == pytest.approx(
        sorted(map(km2, flooded(set(ragged))), reverse=True), rel=5e-5
    )


@given(cell_sets(6))
def test_the_centre_of_a_patch_lies_in_it(cells: set[int]) -> None:
    pieces = flooded(cells)
    centers = {
        h3.latlng_to_cell(lat, lng, 6) for lng, lat in (p.center for p in patches(Hexes.from_cells(cells, 6)))
    }
    assert all(len(piece & centers) == 1 for piece in pieces)


def test_the_patch_round_a_lake_has_its_centre_on_land() -> None:
    ring = disk(10, 50, 20_000, 8) - disk(10, 50, 12_000, 8)
    (patch,) = patches(ring)
    assert h3.latlng_to_cell(*reversed(patch.center), 8) in ring


@given(cell_sets(6))
def test_outlines_have_the_ground_of_their_cells(cells: set[int]) -> None:
    found = outlines(Hexes.from_cells(cells, 6))
    assert [o.km2 for o in found] == pytest.approx(sorted(map(km2, flooded(cells)), reverse=True), rel=1e-4)


@pytest.mark.parametrize("place", ODD_PLACES)
def test_outlines_are_valid_polygons_also_round_a_pole_and_a_hole(place: tuple[float, float]) -> None:
    ring = disk(*place, 900_000, 4) - disk(*place, 300_000, 4)
    (outline,) = outlines(ring)
    polygon = shapely.Polygon(outline.coordinates[0], outline.coordinates[1:])
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    assert outline.km2 == pytest.approx(km2(set(ring)), rel=5e-5)


def test_outlines_hold_the_centres_of_their_cells_and_no_others() -> None:
    gap = fill(box(-88, 41.6, -87.5, 42), 8) - disk(-87.7, 41.8, 9_000, 8)
    whole = shapely.union_all([shapely.Polygon(o.coordinates[0], o.coordinates[1:]) for o in outlines(gap)])
    for cell in fill(box(-88.1, 41.5, -87.4, 42.1), 8):
        lat, lng = h3.cell_to_latlng(cell)
        assert shapely.contains_xy(whole, lng, lat) == (cell in gap)


def test_an_outline_across_the_antimeridian_runs_on() -> None:
    (outline,) = outlines(disk(180, 10, 50_000, 6))
    lngs = [lng for lng, _ in outline.coordinates[0]]
    assert max(lngs) - min(lngs) < 2
    assert abs(max(lngs, key=abs)) > 180
