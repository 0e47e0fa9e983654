"""What a watch publishes: every gap, however long its border is."""

from __future__ import annotations

import pytest
import shapely

from cop.planning import watch_work
from layers.planning.model import Case, Rule
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import row, source

AREA = box(-87.70, 41.80, -87.50, 42.00)


def test_a_gap_with_too_long_a_border_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_work, "MAX_VERTICES", 200)
    places = [(-87.69 + 0.02 * x, 41.81 + 0.02 * y) for x in range(9) for y in range(9)]
    posts = [row(f"p{at}", lng=lng, lat=lat, reach_m=400) for at, (lng, lat) in enumerate(places)]
    found = watch_work.begin(1, Case(AREA, 9, Rule(), (source("assets", *posts),)))
    watch_work.end(1)
    assert found.gaps == 1
    assert found.features is not None
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in found.features]
    assert max(map(shapely.get_num_coordinates, shapes)) <= 200
    assert len({feature["id"] for feature in found.features}) == len(shapes) > 1
    assert all(shape.is_valid for shape in shapes)
    km2 = sum(feature["properties"]["km2"] for feature in found.features)
    assert km2 == pytest.approx(found.gap_km2, rel=1e-4)
    overlap = sum(shape.area for shape in shapes) - shapely.union_all(shapes).area
    assert overlap == pytest.approx(0, abs=1e-9)
