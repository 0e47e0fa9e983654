"""A field against plain dictionaries of cells."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from h3.api import numpy_int as h3
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.hexes import Field, Hexes, HexesError, disk, span_sums, spans_of, union
from layers.hexes import field as field_module
from layers.hexes.ranks import pentagons, to_ids

PLACES = st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05), st.floats(0, 4_000))
CENTRES = st.sampled_from([(-87.63, 41.88), (179.99, -17.0), (10.0, 89.9), (4.9, 52.4)])


def near(center: tuple[float, float], place: tuple[float, float, float], resolution: int = 8) -> Hexes:
    lng = (center[0] + place[0] + 180) % 360 - 180
    return disk(lng, min(center[1] + place[1], 90.0), place[2], resolution)


@settings(max_examples=60, deadline=None)
@given(CENTRES, st.lists(PLACES, min_size=1, max_size=4), st.lists(PLACES, max_size=6))
def test_depth_counts_what_dictionaries_count(center, ground, covers):
    field = Field(union([near(center, place) for place in ground], 8))
    sets = [near(center, place) for place in covers]
    counted = Counter(cell for each in sets for cell in each if cell in field.area)
    depth = field.depth([field.spans(each) for each in sets])
    assert dict(zip(field.cells.tolist(), depth.tolist(), strict=True)) == {
        cell: counted[cell] for cell in field.area
    }
    assert field.hexes(depth > 0) == field.area & union(sets, 8)


@settings(max_examples=60, deadline=None)
@given(CENTRES, st.lists(PLACES, max_size=4), st.lists(PLACES, max_size=6))
def test_spans_of_many_sets_are_those_of_each(center, ground, others):
    field = Field(union([near(center, place) for place in ground], 8))
    sets = [near(center, place) for place in others]
    found = [spans.tolist() for spans in field.spans_each(sets)]
    assert found == [field.spans(each).tolist() for each in sets]


@settings(max_examples=60, deadline=None)
@given(CENTRES, st.lists(PLACES, min_size=1, max_size=4), PLACES)
def test_spans_lead_to_places_and_back(center, ground, other):
    field = Field(union([near(center, place) for place in ground], 8))
    hexes = near(center, other)
    spans = field.spans(hexes)
    assert field.hexes_in(spans) == hexes & field.area
    assert spans_of(field.depth([spans]) > 0).tolist() == spans.tolist()
    assert field.places(field.cells).tolist() == list(range(field.size))
    assert (field.places(hexes.cells()) >= 0).sum() == (hexes & field.area).count


@pytest.mark.parametrize("center", [(-87.63, 41.88), (179.99, -17.0), (10.0, 89.9)])
@pytest.mark.parametrize(("measured", "off"), [(10**9, 1e-12), (0, 4e-3)])
def test_the_ground_of_the_cells_adds_up_to_that_of_the_area(center, measured, off, monkeypatch):
    monkeypatch.setattr(field_module, "_MEASURED_CELLS", measured)
    area = disk(*center, radius_m=40_000, resolution=8)
    assert Field(area).km2.sum() == pytest.approx(area.area_km2, rel=5e-5)
    one_by_one = [h3.cell_area(cell) for cell in area]
    assert Field(area).km2 == pytest.approx(one_by_one, rel=off)


def test_cells_below_a_pentagon_share_its_ground():
    (pentagon,) = to_ids(pentagons(5)[:1], 5).tolist()
    area = Hexes.from_cells([pentagon]).to_resolution(8)
    assert Field(area).km2.sum() == pytest.approx(h3.cell_area(pentagon), rel=1e-4)


def test_an_empty_area_has_no_places():
    field = Field(Hexes.empty(9))
    spans = field.spans(disk(0, 0, 1_000, 9))
    assert (field.size, len(spans), field.depth([spans]).tolist(), field.km2.tolist()) == (0, 0, [], [])
    assert field.hexes_in(spans) == Hexes.empty(9)


def test_another_resolution_is_refused():
    with pytest.raises(HexesError):
        Field(disk(0, 0, 1_000, 9)).spans(disk(0, 0, 1_000, 8))


def test_sums_over_spans_are_those_of_the_cells():
    values = np.arange(10.0)
    assert span_sums(values, np.array([[1, 3], [7, 9]])) == 1 + 2 + 7 + 8
