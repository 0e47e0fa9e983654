"""Candidates from points and from the middles of coarser cells."""

from __future__ import annotations

import numpy as np
import pytest
from h3.api import numpy_int as h3

from layers.errors import Invalid, TooLarge
from layers.hexes import Field, Hexes, disk
from layers.planning.placement import candidates as module
from layers.planning.placement import candidates_at, free_candidates
from layers.planning.placement import model as limits

FIELD = Field(disk(-97.74, 30.27, 5_000, 9))


@pytest.mark.parametrize("resolution", [-1, 10, 16])
def test_candidates_are_of_the_analysis_resolution_or_coarser(resolution):
    with pytest.raises(Invalid) as error:
        free_candidates(FIELD, resolution, 1_000)
    assert (error.value.code, error.value.pointer) == ("placement.resolution", "/place/resolution")


@pytest.mark.parametrize(("point", "reach_m"), [((181, 0), 10), ((0, float("nan")), 10), ((0, 0), -1)])
def test_what_is_no_place_or_no_reach_is_refused(point, reach_m):
    with pytest.raises(Invalid) as error:
        candidates_at(FIELD, [point], reach_m)
    assert error.value.code == "h3.disk"


def test_too_many_are_refused_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(module, "MAX_CANDIDATES", 5)
    with pytest.raises(TooLarge) as error:
        free_candidates(FIELD, 9, 1_000)
    assert (error.value.code, error.value.pointer) == ("placement.too_many_candidates", "/place/resolution")
    with pytest.raises(TooLarge) as error:
        candidates_at(FIELD, np.zeros((6, 2)), 1_000)
    assert (error.value.code, error.value.pointer) == ("placement.too_many_candidates", "/place/candidates")


def test_candidates_that_reach_too_many_cells_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "MAX_NONZEROS", FIELD.size * 2 - 1)
    with pytest.raises(TooLarge) as error:
        candidates_at(FIELD, [(-97.74, 30.27)] * 2, 100_000)
    assert error.value.code == "placement.too_many_cells"


def test_a_point_covers_its_disk_of_the_field_and_keeps_its_number(monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 2)
    points = [(-97.74, 30.27), (10.0, 50.0), (-97.70, 30.30)]
    found = candidates_at(FIELD, points, [800, 900, 2_500])
    assert len(found.spans[1]) == 0
    for (lng, lat), reach_m, spans in zip(points, found.reach_m, found.spans, strict=True):
        assert FIELD.hexes_in(spans) == disk(lng, lat, reach_m, 9) & FIELD.area


def test_free_candidates_are_the_centres_of_coarser_cells_that_lie_in_the_area():
    found = free_candidates(FIELD, 7, 1_500)
    centres = {h3.latlng_to_cell(lat, lng, 7) for lng, lat in found.lng_lat}
    inside = {
        cell
        for cell in FIELD.area.to_resolution(7)
        if h3.latlng_to_cell(*h3.cell_to_latlng(cell), 9) in FIELD.area
    }
    assert centres == inside
    assert len(found.lng_lat) == len(found.spans) == len(inside) > 5


def test_an_area_smaller_than_a_cell_has_candidates_all_the_same():
    cell = h3.latlng_to_cell(30.275, -97.745, 11)
    field = Field(Hexes.from_cells([cell]))
    found = free_candidates(field, 5, 30_000)
    assert len(found.spans) == 1
    assert field.hexes_in(found.spans[0]) == field.area


def test_an_empty_area_has_none():
    assert free_candidates(Field(Hexes.empty(9)), 7, 1_000).spans == ()
