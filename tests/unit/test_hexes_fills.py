"""Many polygons to cells at once: refusals, then cell for cell what the library's own fill yields of each."""

from __future__ import annotations

from functools import reduce
from typing import Any

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.hexes import Hexes, HexesError, TooManyCells, fill, fills
from layers.hexes.borders import TIE
from layers.hexes.faces import CHILDREN, lattice, on_one_face, rotor
from layers.hexes.filling import border_fills, plain_fill
from layers.hexes.polygons import read_polygons
from layers.hexes.ranks import exists, to_ranks
from layers.hexes.sphere import centers_deg, on_sphere
from tests.unit.hexes_shapes import ODD_PLACES, box, boxes, many, places, slivers, stars, tangles

CHICAGO = box(-87.9, 41.6, -87.5, 42.05)
shapes = st.one_of(stars(), slivers(), tangles(), boxes(), many(stars()), many(tangles()))
city_shapes = st.one_of(stars(largest_deg=0.2), slivers(largest_deg=0.2), tangles(largest_deg=0.2))


def by_library(geometry: dict[str, Any], resolution: int) -> Hexes:
    parts = [plain_fill(polygon, resolution) for polygon in read_polygons(geometry)]
    return reduce(Hexes.__or__, parts, Hexes.empty(resolution))


def by_border(geometries: list[dict[str, Any]], resolution: int) -> list[Hexes]:
    """As `fills` does beyond a little work, all parts of all at once."""
    parts = [read_polygons(geometry) for geometry in geometries]
    polygons = [polygon for part in parts for polygon in part]
    filled = iter(border_fills(polygons, resolution) if polygons else [])
    return [reduce(Hexes.__or__, [next(filled) for _ in part], Hexes.empty(resolution)) for part in parts]


def test_one_that_is_no_polygon_refuses_them_all() -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.geometry"):
        fills([CHICAGO, {"type": "Point", "coordinates": [0, 0]}], 9)


@pytest.mark.parametrize("position", [[1.0], [], 5, None, "x", [None, 1.0], [1.0, "x"]])
def test_what_is_no_position_is_refused(position: Any) -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.geometry"):
        fill({"type": "Polygon", "coordinates": [[position, position, position, position]]}, 9)


def test_each_is_held_to_the_limit_and_not_all_together() -> None:
    limit = fill(CHICAGO, 7).count * 11 // 10
    assert len(fills([CHICAGO] * 5, 7, limit=limit)) == 5
    with pytest.raises(TooManyCells):
        fills([CHICAGO, box(-88.3, 41.6, -87.5, 42.05)], 7, limit=limit)


def test_none_give_none() -> None:
    assert fills([], 9) == []


def test_altitudes_are_dropped_also_where_only_some_have_one() -> None:
    (ring,) = CHICAGO["coordinates"]
    for heights in ([[1.0]] * 5, [[1.0], [], [2.0, 3.0], [], [1.0]]):
        high = [[*position, *height] for position, height in zip(ring, heights, strict=True)]
        assert fill({"type": "Polygon", "coordinates": [high]}, 8) == fill(CHICAGO, 8)


@given(st.lists(shapes, max_size=5), st.integers(0, 5))
def test_all_at_once_are_what_the_library_yields_one_by_one(
    geometries: list[dict[str, Any]], resolution: int
) -> None:
    assert by_border(geometries, resolution) == [by_library(each, resolution) for each in geometries]


@given(st.lists(city_shapes, max_size=4), st.integers(6, 9))
def test_all_at_once_are_what_the_library_yields_in_a_city(
    geometries: list[dict[str, Any]], resolution: int
) -> None:
    assert by_border(geometries, resolution) == [by_library(each, resolution) for each in geometries]


@given(st.one_of(stars(largest_deg=0.002), slivers(largest_deg=0.002)), st.integers(11, 14))
def test_a_block_at_a_fine_resolution_is_what_the_library_yields(
    geometry: dict[str, Any], resolution: int
) -> None:
    assert by_border([geometry], resolution) == [by_library(geometry, resolution)]


@given(st.lists(st.one_of(shapes, city_shapes), max_size=4), st.integers(0, 6), st.booleans())
def test_fills_is_fill_one_by_one(geometries: list[dict[str, Any]], resolution: int, at_least: bool) -> None:
    together = fills(geometries, resolution, at_least_one=at_least)
    assert together == [fill(each, resolution, at_least_one=at_least) for each in geometries]


@given(stars(largest_deg=3.0), places)
def test_outlines_of_cells_hold_their_children_as_the_library_tells(
    star: dict[str, Any], place: tuple[float, float]
) -> None:
    ring = h3.cell_to_boundary(h3.latlng_to_cell(*place[::-1], 4))
    lngs = [lng for _, lng in ring]
    if max(lngs) - min(lngs) < 180:
        cell = {"type": "Polygon", "coordinates": [[(lng, lat) for lat, lng in ring]]}
        assert by_border([cell, star], 7) == [by_library(cell, 7), by_library(star, 7)]


@given(places, st.integers(0, 10), st.integers(1, 5), st.randoms())
def test_descendants_lie_on_the_lattice_of_their_face(
    place: tuple[float, float], resolution: int, steps: int, random: Any
) -> None:
    cell = np.array([h3.latlng_to_cell(*place[::-1], resolution)], np.uint64)
    rank, finest = to_ranks(cell, resolution), resolution + steps
    center = on_sphere(centers_deg(rank, resolution))
    if not on_one_face(rank, resolution, finest, center)[0]:
        return
    seen, below = lattice(rank, resolution, center), rank[0] * 7**steps + random.randrange(7**steps)
    at: complex = 0
    for level in range(resolution + 1, finest + 1):
        at = at * rotor(level) + CHILDREN[below // 7 ** (finest - level) % 7]
    scale = np.prod([rotor(level) for level in range(resolution + 1, finest + 1)])
    found, longer = seen.places(np.zeros(1, np.int64), on_sphere(centers_deg(np.array([below]), finest)))
    assert abs(found[0] - at / scale) <= 0.5 * TIE * longer[0]


@pytest.mark.parametrize("place", ODD_PLACES)
def test_no_pentagon_and_no_pole_is_on_one_face(place: tuple[float, float]) -> None:
    cell = np.array([h3.latlng_to_cell(*place[::-1], 5)], np.uint64)
    rank = to_ranks(cell, 5)
    assert exists(rank, 5).all()
    odd = h3.is_pentagon(int(cell[0])) or abs(place[1]) > 89
    assert not (odd and on_one_face(rank, 5, 9, on_sphere(centers_deg(rank, 5)))[0])
