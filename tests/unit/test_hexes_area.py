"""Ground of sets against geodesic polygons: on H3's sphere, and how far that is from the ellipsoid of WGS 84."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import assume, given
from pyproj import Geod

from layers.hexes import Hexes, disk, fill, outlines
from layers.hexes.area import cell_areas_km2
from layers.hexes.filling import _SMALLEST
from layers.hexes.sphere import EARTH_RADIUS_M, mean_spacing
from tests.unit.hexes_shapes import cell_sets, stars

SPHERE = Geod(a=EARTH_RADIUS_M, b=EARTH_RADIUS_M)
WGS84 = Geod(ellps="WGS84")


def ground(ring: Any, geod: Geod = SPHERE) -> tuple[float, float]:
    """km² and perimeter in km of a ring whose edges are geodesics."""
    m2, perimeter_m = geod.polygon_area_perimeter(*np.array(ring).T)
    return abs(m2) / 1e6, perimeter_m / 1e3


def straight(ring: list[list[float]]) -> list[list[float]]:
    """The ring with so many corners that its edges are straight in longitude and latitude."""
    corners, shares = np.array(ring), np.linspace(0, 1, 64, endpoint=False)[:, None]
    edges = [start + (end - start) * shares for start, end in pairwise(corners)]
    return [*np.concatenate(edges).tolist(), ring[0]]


@given(cell_sets(6))
def test_outlines_have_the_ground_of_their_geodesic_polygons(cells: set[int]) -> None:
    for outline in outlines(Hexes.from_cells(cells, 6)):
        assume(all(abs(lat) < 90 for _, lat in outline.coordinates[0]))
        outer, *holes = (ground(ring)[0] for ring in outline.coordinates)
        assert outline.km2 == pytest.approx(outer - sum(holes), rel=1e-6)


@given(stars())
def test_a_fill_has_the_ground_of_its_polygon_but_for_half_of_the_cells_on_its_border(
    star: dict[str, Any],
) -> None:
    rings = [ground(straight(ring)) for ring in star["coordinates"]]
    spacing_km = mean_spacing(6) * EARTH_RADIUS_M / 1e3
    exact = rings[0][0] - sum(km2 for km2, _ in rings[1:])
    border = sum(perimeter for _, perimeter in rings) * spacing_km / 2
    corners = sum(map(len, star["coordinates"])) * spacing_km**2
    assert abs(fill(star, 6).area_km2 - exact) <= border + corners


@pytest.mark.parametrize(
    ("lat", "percent"), [(0.0, -0.447), (30.0, -0.113), (41.88, 0.150), (60.0, 0.560), (89.0, 0.899)]
)
def test_the_ellipsoid_has_other_ground_than_the_sphere(lat: float, percent: float) -> None:
    hexes = disk(10, lat, 20_000, 8)
    (outline,) = outlines(hexes)
    km2, _ = ground(outline.coordinates[0], WGS84)
    assert km2 / hexes.area_km2 - 1 == pytest.approx(percent / 100, abs=2e-5)


@pytest.mark.parametrize("resolution", [0, 1, 2, 3, 4])
def test_no_cell_is_smaller_than_the_bound_that_skips_estimates(resolution: int) -> None:
    cells = h3.uncompact_cells(h3.get_res0_cells(), resolution)
    mean = 4 * np.pi * (EARTH_RADIUS_M / 1e3) ** 2 / len(cells)
    tried = np.array([*cells[:: max(len(cells) // 5_000, 1)], *h3.get_pentagons(resolution)], np.uint64)
    assert (cell_areas_km2(tried) > _SMALLEST * mean).all()
