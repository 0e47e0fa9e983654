"""Why a gap is a gap, against looking at every cover and cell."""

from __future__ import annotations

from typing import Any

import h3.api.basic_int as h3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.hexes import Field, Hexes, patches
from layers.planning.coverage import Coverage, load
from layers.planning.model import Case, Rule, Standing
from layers.planning.reasons import explain
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source
from tests.unit.test_planning_coverage import NEAR, cover, near_sets

BLOCK = box(-87.66, 41.86, -87.60, 41.90)


def explained(*rows: Any, rule: Rule | None = None) -> Any:
    found, _ = load(Case(BLOCK, 9, rule or Rule(), (source("units", *rows),), AT))
    pieces = patches(found.hexes(found.gap))
    return explain(found, [piece.hexes for piece in pieces], [piece.center for piece in pieces])[0]


def test_where_nobody_is_near_no_reason_is_made_up() -> None:
    each = explained()
    assert (each.reached_by, each.reasons, each.nearest) == (0, (), None)
    assert each.nobody_km2 == pytest.approx(22.0, rel=0.05)


def test_a_busy_unit_is_named_with_what_it_would_close() -> None:
    busy = row("busy", lng=-87.63, lat=41.88, reach_m=800, status="on_scene")
    free = row("free", lng=-87.65, lat=41.87, reach_m=500, status="available")
    each = explained(busy, free, rule=Rule(where={"status": ["available"]}))
    (reason,) = each.reasons
    assert (reason.standing, reason.count, reason.covers[0].id) == (Standing.BUSY, 1, "busy")
    assert reason.km2 == pytest.approx(2.0, rel=0.15)
    assert each.nearest.cover.id == "free"
    assert 1_000 < each.nearest.distance_m < 4_000


def test_a_gap_of_two_says_that_one_is_there() -> None:
    assert explained(row(lng=-87.63, lat=41.88, reach_m=800), rule=Rule(at_least=2)).reached_by == 1


@given(
    st.lists(st.tuples(st.sampled_from([*Standing]), near_sets()), max_size=8),
)
def test_reasons_are_what_looking_at_every_cell_says(covers: list[tuple[Standing, set[int]]]) -> None:
    field = Field(Hexes.from_cells(NEAR, 8))
    found = Coverage.of(field, [cover(field, cells, standing=standing) for standing, cells in covers])
    pieces = patches(found.hexes(found.gap))
    why = explain(found, [piece.hexes for piece in pieces], [piece.center for piece in pieces])
    for piece, each in zip(pieces, why, strict=True):
        gap = set(piece.hexes)
        near = set().union(*(cells for own, cells in covers if own is not Standing.COUNTS))
        assert each.nobody_km2 == pytest.approx(sum(map(h3.cell_area, gap - near)), abs=1e-9)
        for standing in set(Standing) - {Standing.COUNTS}:
            idle = [cells & gap for own, cells in covers if own is standing and cells & gap]
            told: list[Any] = [
                (reason.count, reason.km2) for reason in each.reasons if reason.standing is standing
            ]
            km2 = sum(map(h3.cell_area, set().union(*idle)))
            assert told == ([(len(idle), pytest.approx(km2))] if idle else [])
