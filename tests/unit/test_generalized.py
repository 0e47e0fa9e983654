"""What a generalized share gives: by cells of a kilometre, and the same whatever else there is to a feature."""

from __future__ import annotations

import json
from typing import Any

import h3.api.basic_str as h3
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from layers.hexes import Hexes, fill
from layers.model import BBox
from layers.planning.generalized import KEPT, RESOLUTION, generalized
from layers.planning.model import Geometry, Row, Source
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

AREA = box(-87.66, 41.86, -87.62, 41.90)
HERE = (-87.64, 41.88)
CELLS = sorted(h3.grid_disk(h3.latlng_to_cell(HERE[1], HERE[0], RESOLUTION), 4))
EVERYWHERE: list[BBox] = [(-180.0, -90.0, 180.0, 90.0)]

boxes = st.builds(
    lambda lng, lat, size: (lng, lat, lng + size, lat + size),
    st.floats(-87.72, -87.60),
    st.floats(41.82, 41.92),
    st.floats(0.0, 0.08),
)
kept = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["available", "on_scene"]),
        "capabilities": st.lists(st.sampled_from(["als", "bls"]), max_size=2),
        "reach_m": st.sampled_from([500, 1500]),
        "valid_from": st.just("2026-01-31T06:00:00Z"),
    },
)
personal = st.dictionaries(
    st.sampled_from(["callsign", "name", "crew", "speed", "heading"]), st.text(max_size=5)
)


def coarse(
    given_: Source, area: Geometry = AREA, resolution: int = 9, near: list[BBox] = EVERYWHERE
) -> Source:
    return generalized(given_, fill(area, resolution), [list(side) for side in zip(*near, strict=True)])


def units(*rows: Row, kind: str = "units") -> Source:
    return source(kind, *sorted(rows, key=lambda row: row.id), layer="ems.units")


@st.composite
def within(draw: st.DrawFn, cell: str) -> tuple[float, float]:
    """Longitude and latitude of a place in *cell*: somewhere on the way from its middle to its border."""
    (lat, lng), corners = h3.cell_to_latlng(cell), h3.cell_to_boundary(cell)
    (corner_lat, corner_lng), way = draw(st.sampled_from(corners)), draw(st.floats(0, 0.99))
    return lng + way * (corner_lng - lng), lat + way * (corner_lat - lat)


@st.composite
def twins(draw: st.DrawFn) -> tuple[Source, Source]:
    """Two layers with the same in each cell, in other places of it, by other names and in another order."""
    held = draw(st.lists(st.tuples(st.sampled_from(CELLS), kept), max_size=8))
    found = []
    for _ in range(2):
        names = draw(st.permutations(range(len(held))))
        rows = []
        for name, (cell, stated) in zip(names, held, strict=True):
            lng, lat = draw(within(cell))
            properties = draw(st.permutations([*stated.items(), *draw(personal).items()]))
            rows.append(row(f"u{name}", lng=lng, lat=lat, **dict(properties)))
        found.append(units(*rows))
    return found[0], found[1]


def squares(cell: str, size_deg: float) -> str:
    """GeoJSON of a square about the middle of *cell*."""
    lat, lng = h3.cell_to_latlng(cell)
    return json.dumps(box(lng - size_deg, lat - size_deg, lng + size_deg, lat + size_deg))


@given(twins(), st.lists(boxes, min_size=1, max_size=3), st.integers(5, 11))
def test_what_differs_only_within_its_cells_is_the_same_whatever_is_asked(
    both: tuple[Source, Source], near: list[BBox], resolution: int
) -> None:
    one, other = (coarse(each, resolution=resolution, near=near) for each in both)
    assert one == other


@given(twins(), st.lists(boxes, min_size=1, max_size=3))
def test_what_is_near_is_so_by_the_middle_of_its_cell(both: tuple[Source, Source], near: list[BBox]) -> None:
    middles = [h3.cell_to_latlng(h3.latlng_to_cell(each.lat, each.lng, RESOLUTION)) for each in both[0].rows]
    expected = sorted(
        (lng, lat)
        for lat, lng in middles
        if any(west <= lng <= east and south <= lat <= north for west, south, east, north in near)
    )
    assert sorted((each.lng, each.lat) for each in coarse(both[0], near=near).rows) == expected


@given(twins())
def test_nothing_is_left_but_what_decides_whether_and_how_far_it_counts(both: tuple[Source, Source]) -> None:
    found = coarse(both[0])
    assert found.generalized
    for each in found.rows:
        assert json.loads(each.properties).keys() <= KEPT
        cell, _, number = each.id.partition(".")
        assert (each.lat, each.lng) == h3.cell_to_latlng(cell)
        assert int(number) <= len(found.rows)
        assert (each.shape, each.stored, each.observed_at) == (None, None, AT)
    assert len({each.id for each in found.rows}) == len(both[0].rows)


def test_what_has_no_place_is_left_out() -> None:
    assert coarse(units(row("lost", status="available"))).rows == ()


def test_a_site_that_is_a_polygon_becomes_a_point_without_its_stored_hexes() -> None:
    yard = row("yard", shape=squares(CELLS[0], 0.001), stored=b"exact", name="Yard", reach_m=900)
    (found,) = coarse(units(yard, kind="assets")).rows
    lat, lng = h3.cell_to_latlng(CELLS[0])
    assert found == row(f"{CELLS[0]}.1", lng=lng, lat=lat, reach_m=900)._replace(properties='{"reach_m":900}')


@pytest.mark.parametrize("resolution", [6, 7, 8, 9, 11])
@given(st.sampled_from(CELLS), st.floats(0.0001, 0.05))
def test_coverage_becomes_whole_cells_and_its_place_the_middle_of_one(
    resolution: int, cell: str, size_deg: float
) -> None:
    shape = squares(cell, size_deg)
    exact = row(
        "a", shape=shape, stored=fill(json.loads(shape), resolution).pack(), name="North", status="on"
    )
    expected = fill(json.loads(shape), RESOLUTION)
    finer = resolution > RESOLUTION
    expected = expected.to_resolution(resolution) if finer else expected.by_center(resolution)
    found = coarse(units(exact, kind="coverage"), resolution=resolution).rows
    assert len(found) == expected.touches(fill(AREA, resolution))
    for each in found:
        assert Hexes.unpack(each.stored or b"") == expected
        assert each.id == f"{cell}.1"
        middle = shapely.from_geojson(each.shape).envelope.centroid
        assert h3.latlng_to_cell(middle.y, middle.x, RESOLUTION) == cell
        assert json.loads(each.properties) == {"status": "on"}


def test_coverage_that_reaches_in_with_part_of_a_cell_counts_there() -> None:
    (lat, lng), (edge_lat, edge_lng) = h3.cell_to_latlng(CELLS[0]), h3.cell_to_boundary(CELLS[0])[0]
    # Cells of the area whose parent has its middle outside.
    aside = [lng + 0.7 * (edge_lng - lng), lat + 0.7 * (edge_lat - lat)]
    sliver: Any = box(aside[0] - 0.0005, aside[1] - 0.0005, aside[0] + 0.0005, aside[1] + 0.0005)
    exact = row("a", shape=squares(CELLS[0], 0.001))
    assert len(coarse(units(exact, kind="coverage"), sliver, resolution=10).rows) == 1
