"""Where the numbers of gaps stand: in the gap and far from its border, or beside it where they would hide it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from cop.briefing.numbers import METRES_A_DEGREE, Size, Spot, asides, each_metre, spots

SIZE = Size(20.0, 20.0, 0.02)
"""A number as wide as a kilometre."""


def gap(shape: Any, role: str = "gap") -> dict[str, Any]:
    return {"geometry": shapely.geometry.mapping(shape), "properties": {"role": role}}


def placed(found: list[Spot], size: Size = SIZE) -> list[Any]:
    """The boxes that the numbers take, as `asides` has them."""
    each = METRES_A_DEGREE * size.each_m
    boxes = []
    for spot, (right, up) in zip(found, asides(found, size), strict=True):
        x = spot.lng * math.cos(math.radians(spot.lat)) * each + right
        y = spot.lat * each + up
        w, h = size.width / 2, size.height / 2
        boxes.append(shapely.box(x - w, y - h, x + w, y + h))
    return boxes


def test_a_middle_that_no_gap_holds_stays_where_it_is() -> None:
    covered = gap(shapely.box(-88, 41, -87, 42), "covered")
    assert spots([(-87.5, 41.5)], [covered]) == [Spot(-87.5, 41.5, 0.0)]
    assert spots([], []) == []


def test_a_number_stands_in_the_broad_part_of_its_gap_and_not_at_the_tip() -> None:
    """A square of 0.1° with a handle; the middle that the answer tells is in the handle."""
    pan = shapely.union(shapely.box(-87.7, 41.8, -87.6, 41.9), shapely.box(-87.6, 41.849, -87.4, 41.851))
    (spot,) = spots([(-87.45, 41.85)], [gap(pan)])
    assert (spot.lng, spot.lat) == pytest.approx((-87.65, 41.85), abs=0.02)
    assert spot.room_m == pytest.approx(0.05 * METRES_A_DEGREE * math.cos(math.radians(41.85)), rel=0.02)


@given(
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)), min_size=3, max_size=9),
    st.floats(-60, 60),
)
def test_no_point_of_a_gap_is_further_from_its_border(corners: list[tuple[float, float]], lat: float) -> None:
    """Brute force: a grid of points within the gap, in metres."""
    narrower = math.cos(math.radians(lat))
    shape = shapely.convex_hull(shapely.MultiPoint([(x / narrower, lat + y) for x, y in corners]))
    if shape.geom_type != "Polygon" or shape.area < 1e-4:
        return
    middle = shape.representative_point()
    (spot,) = spots([(middle.x, middle.y)], [gap(shape)])
    flat = shapely.transform(shape, lambda xy: xy * (narrower * METRES_A_DEGREE, METRES_A_DEGREE))
    west, south, east, north = flat.bounds
    grid = [
        shapely.Point(west + (east - west) * i / 20, south + (north - south) * j / 20)
        for i in range(21)
        for j in range(21)
    ]
    best = max(flat.boundary.distance(point) for point in grid if flat.contains(point))
    assert shape.contains(shapely.Point(spot.lng, spot.lat))
    assert spot.room_m >= best * 0.98 - 0.005 * max(east - west, north - south)


def test_a_number_hides_no_gap_that_is_smaller_than_it() -> None:
    found = [Spot(-87.65, 41.85, 200.0), Spot(-87.64, 41.85, 200.0), Spot(-87.60, 41.90, 5_000.0)]
    boxes = placed(found)
    each = METRES_A_DEGREE * SIZE.each_m
    small = [shapely.Point(s.lng * math.cos(math.radians(s.lat)) * each, s.lat * each) for s in found[:2]]
    assert not any(box.intersects(point) for box in boxes for point in small)
    assert asides(found, SIZE)[2] == (0.0, 0.0)


NEAR = st.tuples(st.floats(-87.68, -87.62), st.floats(41.83, 41.87))


@given(NEAR, NEAR)
def test_two_numbers_beside_their_gaps_never_cover_each_other(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    """A number and a point without room block five of the eight places around a spot at the most."""
    boxes = placed([Spot(*one, 0.0), Spot(*other, 0.0)])
    assert boxes[0].intersection(boxes[1]).area < 1e-6


def test_a_metre_is_drawn_as_long_as_the_larger_side_allows() -> None:
    assert each_metre((0.0, -0.5, 1.0, 0.5), 1_000.0, 500.0) == pytest.approx(500 / METRES_A_DEGREE, rel=1e-4)
