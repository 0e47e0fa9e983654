"""Timelines against looking at each instant, and at each stretch between two changes, by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import Invalid, LayersError
from layers.hexes import Course, Field, Hexes
from layers.hexes import spells as sweep
from layers.planning.timeline import (
    Spell,
    Timeline,
    Window,
    by_length,
    micros,
    moment_of,
    timeline,
)

NEAR = sorted(h3.grid_disk(h3.latlng_to_cell(41.88, -87.63, 8), 2))
AREA = set(NEAR[3:])
FIELD = Field(Hexes.from_cells(AREA, 8))
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
Told = tuple[str, int, int, set[int]]
"""Agency, begin, end, cells."""


def told() -> st.SearchStrategy[list[Told]]:
    """Spells before, across, within and after a window from 0 to 100, some of them empty."""
    times = st.integers(-20, 120)
    cells = st.lists(st.sampled_from(NEAR), max_size=12).map(set)
    return st.lists(st.tuples(st.sampled_from(["cfd", "ems"]), times, times, cells), max_size=9)


def spells(known: list[Told]) -> list[Spell]:
    return [
        Spell(("x", str(number)), agency, begin, end, FIELD.spans(Hexes.from_cells(cells, 8)))
        for number, (agency, begin, end, cells) in enumerate(known)
    ]


def depth_at(known: list[Told], at: int) -> dict[int, int]:
    return {cell: sum(begin <= at < end and cell in own for _, begin, end, own in known) for cell in AREA}


def km2(cells: set[int]) -> float:
    return float(FIELD.km2[FIELD.places(np.array(sorted(cells), np.uint64))].sum())


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("begin", "end", "step", "code"),
    [
        (NOON, NOON, timedelta(minutes=1), "timeline.order"),
        (NOON, NOON - timedelta(1), timedelta(minutes=1), "timeline.order"),
        (NOON, NOON + timedelta(1), timedelta(0), "timeline.step"),
        (NOON, NOON + timedelta(401), timedelta(1), "timeline.too_long"),
        (NOON, NOON + timedelta(1), timedelta(minutes=1), "timeline.too_many_steps"),
    ],
)
def test_a_window_that_is_none_is_refused(begin: datetime, end: datetime, step: timedelta, code: str) -> None:
    with pytest.raises(LayersError) as caught:
        Window.of(begin, end, step)
    assert caught.value.code == code
    assert caught.value.pointer.startswith("/window/")


def test_a_day_has_96_quarter_hours_and_not_its_end() -> None:
    window = Window.of(NOON, NOON + timedelta(1), timedelta(minutes=15))
    assert len(window.steps) == 96
    assert moment_of(int(window.steps[-1])) == NOON + timedelta(hours=23, minutes=45)


def test_moments_are_exact_to_the_microsecond() -> None:
    moment = datetime(1969, 7, 20, 20, 17, 40, 123457, UTC)
    assert moment_of(micros(moment)) == moment


def test_without_spells_all_is_uncovered_all_the_time() -> None:
    found = timeline(FIELD, [], Window(0, 100, 10))
    assert found.exact is not None
    assert (found.exact.uncovered == 100).all()
    assert (found.covered_km2 == 0).all()
    assert (found.worst, found.mean_km2, found.duties) == ((0, 100, 0.0), 0.0, ())


def test_an_area_without_cells_has_a_timeline_too() -> None:
    found = timeline(Field(Hexes.empty(8)), [], Window(0, 100, 10))
    assert (len(found.covered_km2), found.area_km2, found.worst) == (10, 0.0, (0, 100, 0.0))


def test_a_spell_counts_when_it_begins_and_not_when_it_ends() -> None:
    found = timeline(FIELD, spells([("cfd", 10, 30, AREA)]), Window(0, 50, 10))
    assert found.covers.tolist() == [0, 1, 1, 0, 0]


@given(told(), st.integers(1, 3), st.integers(1, 30))
def test_each_step_is_what_counting_at_that_instant_says(known: list[Told], at_least: int, step: int) -> None:
    window = Window(0, 100, step)
    north, south = set(sorted(AREA)[:8]), set(sorted(AREA)[5:])
    parts = [FIELD.spans(Hexes.from_cells(cells, 8)) for cells in (north, set(), south)]
    found = timeline(
        FIELD, spells(known), window, at_least, parts=parts, demand=np.arange(FIELD.size), exact=False
    )
    assert found.exact is None
    assert found.covered_demand is not None
    for at, instant in enumerate(range(0, 100, step)):
        depth = depth_at(known, instant)
        covered = {cell for cell in AREA if depth[cell] >= at_least}
        assert found.covered_km2[at] == close(km2(covered))
        assert found.gap_km2[at] == close(km2(AREA - covered))
        assert found.overlap_km2[at] == close(km2({cell for cell in AREA if depth[cell] > at_least}))
        assert found.parts_km2[at].tolist() == [close(km2(covered & each)) for each in (north, set(), south)]
        assert found.covered_demand[at] == sum(
            number for number, cell in enumerate(FIELD.cells.tolist()) if cell in covered
        )
        on_duty = [each for each in known if each[1] <= instant < each[2] and each[3] & AREA]
        assert found.covers[at] == len(on_duty)


@given(told(), st.integers(1, 3), st.sampled_from([1, 7, 1_000]))
def test_minutes_are_the_sum_over_every_stretch_between_two_changes(
    known: list[Told], at_least: int, pairs: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "_MAX_PAIRS", pairs)
        found = timeline(FIELD, spells(known), Window(0, 100, 50), at_least)
    exact = exact_of(found)
    uncovered = dict.fromkeys(AREA, 0)
    covered = []
    for instant in range(100):
        depth = depth_at(known, instant)
        covered.append(km2({cell for cell in AREA if depth[cell] >= at_least}))
        for cell in AREA:
            uncovered[cell] += depth[cell] < at_least
    assert dict(zip(FIELD.cells.tolist(), exact.uncovered.tolist(), strict=True)) == uncovered
    assert found.mean_km2 == close(sum(covered) / 100)
    for stretch, extreme in ((found.worst, min(covered)), (found.best, max(covered))):
        assert stretch.covered_km2 == close(extreme)
        first = next(at for at, value in enumerate(covered) if value == close(extreme))
        assert stretch.begin_us == first
        assert all(value == close(extreme) for value in covered[first : stretch.end_us])
        assert stretch.end_us == 100 or covered[stretch.end_us] != close(extreme)


def exact_of(found: Timeline) -> Course:
    assert found.exact is not None
    return found.exact


@given(told())
def test_duty_is_the_time_of_each_cover_that_reaches_any_of_the_area(known: list[Told]) -> None:
    found = timeline(FIELD, spells(known), Window(0, 100, 50))
    expected: dict[str, list[int]] = {}
    for agency, begin, end, cells in known:
        if cells & AREA and max(begin, 0) < min(end, 100):
            expected.setdefault(agency, []).append(min(end, 100) - max(begin, 0))
    assert {each.agency: (each.features, each.us) for each in found.duties} == {
        agency: (len(lengths), sum(lengths)) for agency, lengths in expected.items()
    }


def test_the_worst_moment_between_two_steps_is_found() -> None:
    known: list[Told] = [("cfd", 0, 41, AREA), ("cfd", 44, 100, AREA)]
    found = timeline(FIELD, spells(known), Window(0, 100, 10))
    assert found.covered_km2.min() == close(found.area_km2)
    assert found.worst == (41, 44, 0.0)
    assert timeline(FIELD, spells(known), Window(0, 100, 10), exact=False).worst.covered_km2 > 0


@pytest.mark.parametrize("exact", [True, False])
def test_before_anything_was_known_nothing_is_best_worst_or_average(exact: bool) -> None:
    shown = spells([("cfd", 50, 100, AREA)])
    found = timeline(FIELD, shown, Window(0, 100, 10), exact=exact, known_us=50)
    assert found.covered_km2[:5].tolist() == [0.0] * 5
    assert (found.worst.begin_us, found.worst.covered_km2) == (50, close(found.area_km2))
    assert found.mean_km2 == close(found.area_km2)
    assert found.exact is None or (found.exact.uncovered == 0).all()


def test_what_is_first_known_after_the_last_step_leaves_that_one() -> None:
    found = timeline(FIELD, [], Window(0, 100, 60), exact=False, known_us=90)
    assert (found.worst.begin_us, found.worst.end_us) == (60, 100)


def test_a_chain_of_states_leaves_no_gap_where_one_follows_the_other() -> None:
    chain = [("cfd", begin, begin + 5, AREA) for begin in range(0, 100, 5)]
    assert (exact_of(timeline(FIELD, spells(chain), Window(0, 100, 50))).uncovered == 0).all()


def test_cells_are_put_together_by_how_long_they_are_uncovered() -> None:
    masks = by_length(np.array([0, 1, 5, 6, 99, 100]), [0, 5, 99, 100])
    assert [np.flatnonzero(mask).tolist() for mask in masks] == [[0], [1, 2], [3, 4], [5]]


def test_progress_is_told_from_0_to_1_and_never_falls() -> None:
    heard: list[float] = []
    timeline(FIELD, spells([("cfd", 10, 30, AREA)]), Window(0, 100, 1), progress=heard.append)
    assert heard == sorted(heard)
    assert (heard[0], heard[-1]) == (0.0, 1.0)


def test_a_step_of_no_length_is_no_window() -> None:
    with pytest.raises(Invalid):
        Window.of(NOON, NOON + timedelta(1), timedelta(seconds=-1))
