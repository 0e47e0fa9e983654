"""What is stored of a feature's ground when it is written, and how an analysis finds what lies near."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import TooLarge
from layers.hexes import Hexes, disk, fill
from layers.kinds import COVERING
from layers.model import LayerRules
from layers.planning.coverage import load
from layers.planning.ground import boxes_near, check_area, coverage_of, grounds
from layers.planning.model import Case, Row, Rule
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

POINT = {"type": "Point", "coordinates": [-87.63, 41.88]}
BLOCK = box(-87.64, 41.87, -87.62, 41.89)
lngs, lats, sizes = st.floats(-87.66, -87.60), st.floats(41.85, 41.91), st.floats(0.0001, 0.03)


def stored(
    kind: str,
    geometry: dict[str, Any],
    properties: dict[str, Any] | None = None,
    rules: LayerRules | None = None,
) -> Hexes | None:
    packed = coverage_of(kind, geometry, properties or {}, rules or LayerRules())
    return None if packed is None else Hexes.unpack(packed)


def covered(area: dict[str, Any], kind: str, *rows: Row, resolution: int = 9) -> tuple[Hexes, int]:
    """What *rows* of one layer cover of *area*, and how many of them cover any of it."""
    found, (each,) = load(Case(area, resolution, Rule(), (source(kind, *rows),), AT))
    return found.hexes(~found.gap), each.features


def test_a_polygon_of_too_many_cells_is_refused() -> None:
    with pytest.raises(TooLarge, check=lambda error: error.code == "h3.too_many_cells"):
        stored("coverage", box(-100, 30, -80, 45), rules=LayerRules(resolution=12))


def test_an_area_of_too_many_cells_is_refused_with_its_pointer() -> None:
    with pytest.raises(TooLarge, check=lambda error: error.pointer == "/area"):
        check_area(box(-100, 30, -80, 45), 9)


@pytest.mark.parametrize("kind", ["units", "incidents", "zones"])
def test_what_moves_or_covers_nothing_is_not_stored(kind: str) -> None:
    assert stored(kind, POINT, {"reach_m": 500}) is None
    assert kind not in COVERING


def test_an_asset_without_reach_covers_nothing() -> None:
    assert stored("assets", POINT) is None
    assert stored("assets", BLOCK) is None


def test_coverage_covers_its_polygon_at_the_layers_resolution() -> None:
    assert stored("coverage", BLOCK, rules=LayerRules(resolution=10)) == fill(BLOCK, 10)


def test_a_feature_says_its_reach_before_its_layer() -> None:
    rules = LayerRules(reach_m=900)
    assert stored("assets", POINT, {"reach_m": 500}, rules) == disk(-87.63, 41.88, 500, 9)
    assert stored("assets", POINT, {}, rules) == disk(-87.63, 41.88, 900, 9)
    assert stored("assets", POINT, {"reach_m": 0}, rules) == disk(-87.63, 41.88, 0, 9)


def test_a_site_covers_its_own_ground_as_well() -> None:
    assert stored("assets", BLOCK, {"reach_m": 300}) == disk(-87.63, 41.88, 300, 9) | fill(BLOCK, 9)


def test_stored_hexes_say_their_resolution_in_the_first_byte() -> None:
    """As the statement that reads them relies on."""
    for resolution in (0, 9, 12):
        packed = coverage_of("coverage", box(0, 0, 0.01, 0.01), {}, LayerRules(resolution=resolution))
        assert packed is not None
        assert packed[0] == resolution


def test_stored_ranges_points_and_shapes_come_to_the_same() -> None:
    area = box(-87.7, 41.8, -87.6, 41.9)
    shape = json.dumps(BLOCK)
    stored_block = fill(BLOCK, 9).pack()
    assert covered(area, "coverage", row(shape=shape, stored=stored_block)) == covered(
        area, "coverage", row(shape=shape)
    )
    place = {"lng": -87.63, "lat": 41.88, "reach_m": 900}
    stored_disk = disk(-87.63, 41.88, 900, 9).pack()
    assert covered(area, "assets", row(**place, stored=stored_disk)) == covered(area, "units", row(**place))


@pytest.mark.parametrize("resolution", [7, 9, 11])
def test_a_polygon_far_larger_than_the_area_is_filled_only_there(resolution: int) -> None:
    area = box(-87.64, 41.87, -87.62, 41.89)
    state = box(-91, 37, -87.63, 42)
    found, features = covered(area, "coverage", row(shape=json.dumps(state)), resolution=resolution)
    assert found == fill(area, resolution) & fill(state, resolution)
    assert features == 1


def test_a_polygon_beside_the_area_covers_none_of_it() -> None:
    beside = box(-87.62, 41.87, -87.60, 41.89)
    assert covered(BLOCK, "coverage", row(shape=json.dumps(beside))) == (Hexes.empty(9), 0)


def test_a_part_too_small_for_a_cell_counts_where_it_is_not_cut() -> None:
    small = box(-87.63, 41.88, -87.6299, 41.8801)
    found, _ = covered(BLOCK, "coverage", row(shape=json.dumps(small)))
    assert found == fill(small, 9)


@given(st.lists(st.tuples(st.sampled_from(["point", "shape"]), lngs, lats, sizes, st.booleans()), max_size=8))
@pytest.mark.parametrize("kind", ["coverage", "assets", "units"])
def test_each_of_many_covers_what_the_fill_and_the_disk_of_it_alone_do(kind: str, drawn: list[Any]) -> None:
    rows, expected = [], []
    for what, lng, lat, size, is_stored in drawn:
        around, square = disk(lng, lat, 700, 9), box(lng - size, lat - size, lng + size, lat + size)
        ground = around
        if what == "shape":
            ground = fill(square, 9) if kind == "coverage" else around | fill(square, 9)
        rows.append(
            row(
                shape=json.dumps(square) if what == "shape" else None,
                lng=None if what == "shape" else lng,
                lat=None if what == "shape" else lat,
                stored=ground.pack() if is_stored else None,
            )
        )
        expected.append(ground)
    whole = (-88.0, 41.0, -87.0, 42.5)
    found = grounds(source(kind, reach_m=700.0), rows, [{}] * len(rows), [whole], 9, Rule())
    assert [each.hexes for each in found if each is not None] == expected
    clip = fill(BLOCK, 9)
    near = grounds(source(kind, reach_m=700.0), rows, [{}] * len(rows), boxes_near(BLOCK, 0, 9), 9, Rule())
    assert [each.hexes & clip for each in near if each is not None] == [each & clip for each in expected]


def test_boxes_near_an_area_at_the_antimeridian_lie_on_both_sides() -> None:
    near = boxes_near(box(179.5, 10, 180, 11), 100_000, 9)
    assert len(near) == 2
    assert any(west == -180 and 0 < east + 180 < 2 for west, _, east, _ in near)


def test_boxes_near_a_pole_go_all_round() -> None:
    assert [(west, east) for west, _, east, _ in boxes_near(box(0, 89, 10, 89.9), 0, 5)] == [(-180, 180)]
