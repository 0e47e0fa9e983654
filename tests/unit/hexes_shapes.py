"""Places, polygons and sets of cells for the tests of `layers.hexes`: everywhere, and where H3 is at its oddest."""

from __future__ import annotations

import math
from typing import Any

import h3.api.basic_int as h3
from hypothesis import strategies as st

ODD_PLACES = [
    (0.0, 90.0),
    (-120.0, -89.9),
    (180.0, 10.0),
    (-179.99, -45.0),
    (0.0, 0.0),
    *[tuple(reversed(h3.cell_to_latlng(cell))) for cell in h3.get_pentagons(0)],
]
"""Longitude and latitude of the poles, the antimeridian and every pentagon."""

places = st.sampled_from(ODD_PLACES) | st.tuples(st.floats(-180, 180), st.floats(-90, 90))


@st.composite
def cell_sets(draw: st.DrawFn, resolution: int) -> set[int]:
    """Some cells near one place: ragged, with whole families among them."""
    lng, lat = draw(places)
    middle = h3.latlng_to_cell(lat, lng, resolution)
    near = h3.grid_disk(middle, draw(st.integers(0, 6)))
    cells = set(draw(st.lists(st.sampled_from(near), max_size=40)))
    if draw(st.booleans()):
        up = draw(st.integers(0, min(resolution, 3)))
        cells |= set(h3.cell_to_children(h3.cell_to_parent(middle, resolution - up), resolution))
    return cells


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """A GeoJSON box."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


@st.composite
def stars(draw: st.DrawFn, *, largest_deg: float = 8.0) -> dict[str, Any]:
    """A polygon seen whole from its middle, convex or spiky, maybe with a hole; within ±180 and ±90."""
    lng, lat = draw(places)
    size = draw(st.floats(0.001, largest_deg))
    lng, lat = max(min(lng, 180 - size), size - 180), max(min(lat, 90 - size), size - 90)
    radii = draw(st.lists(st.floats(0.2, 1.0), min_size=3, max_size=24))
    rings = [_star(lng, lat, size, radii)]
    if draw(st.booleans()):
        rings.append(
            _star(lng, lat, size * 0.15, draw(st.lists(st.floats(0.3, 1.0), min_size=4, max_size=9)))[::-1]
        )
    return {"type": "Polygon", "coordinates": rings}


@st.composite
def slivers(draw: st.DrawFn, *, largest_deg: float = 8.0) -> dict[str, Any]:
    """A triangle or a strip that is far longer than wide, or has no width at all."""
    lng, lat = draw(places)
    reach = st.floats(-largest_deg, largest_deg)
    end = [min(max(lng + draw(reach), -180), 180), min(max(lat + draw(reach), -90), 90)]
    width = draw(st.sampled_from([0.0, 1e-13, 1e-6, 1e-3, 0.02]))
    side = [min(lng + width, 180), lat], [min(end[0] + width, 180), end[1]]
    corners = draw(st.sampled_from([[[lng, lat], end, side[0]], [[lng, lat], end, side[1], side[0]]]))
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


@st.composite
def tangles(draw: st.DrawFn, *, largest_deg: float = 8.0) -> dict[str, Any]:
    """Rings that cross themselves and one another: no polygon, but the even-odd rule says what each holds."""
    lng, lat = draw(places)
    lng, lat = (
        max(min(lng, 180 - largest_deg), largest_deg - 180),
        max(min(lat, 90 - largest_deg), largest_deg - 90),
    )
    step = st.floats(-largest_deg, largest_deg)
    corners = st.lists(
        st.tuples(step, step).map(lambda by: [lng + by[0], lat + by[1]]), min_size=3, max_size=9
    )
    rings = draw(st.lists(corners, min_size=1, max_size=3))
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]}


@st.composite
def boxes(draw: st.DrawFn) -> dict[str, Any]:
    """Boxes on whole degrees: caps of the poles, sides on the antimeridian, the world."""
    west, east = sorted(draw(st.lists(st.integers(-18, 18), min_size=2, max_size=2, unique=True)))
    south, north = sorted(draw(st.lists(st.integers(-9, 9), min_size=2, max_size=2, unique=True)))
    return box(west * 10, south * 10, east * 10, north * 10)


def many(polygons: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Multipolygons, whose parts may lie across one another."""
    return st.lists(polygons, max_size=3).map(
        lambda parts: {"type": "MultiPolygon", "coordinates": [part["coordinates"] for part in parts]}
    )


def _star(lng: float, lat: float, size: float, radii: list[float]) -> list[list[float]]:
    turn = 2 * math.pi / len(radii)
    ring = [
        [lng + size * r * math.cos(i * turn), lat + size * r * math.sin(i * turn)]
        for i, r in enumerate(radii)
    ]
    return [*ring, ring[0]]
