"""Cover over time: refusals, then each instant counted by itself, in Python."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.hexes import Course, Field, Hexes, HexesError, Spells, disk, spells
from tests.unit.hexes_shapes import cell_sets

MIDDLE = h3.latlng_to_cell(41.88, -87.63, 6)
near = st.sets(st.sampled_from(h3.grid_disk(MIDDLE, 3)), max_size=20)
times = st.integers(0, 12)
known = st.lists(st.tuples(times, times, near), max_size=8).map(
    lambda drawn: [(min(a, b), max(a, b), cells) for a, b, cells in drawn]
)
Known = list[tuple[int, int, set[int]]]


def course(given_: Known, ground: set[int], start: int, end: int) -> Course:
    made = Spells.of(6, [(first, last, Hexes.from_cells(cells, 6)) for first, last, cells in given_])
    return made.over(Hexes.from_cells(ground, 6), start, end)


def counted(given_: Known, instant: int) -> Counter[int]:
    """By brute force: how many hold each cell at an instant."""
    return Counter(cell for first, last, cells in given_ if first <= instant < last for cell in cells)


@pytest.mark.parametrize(("start", "end"), [(5, 4), (-(2**62), 0), (0, 2**62), (2**70, 2**71)])
def test_what_is_no_spell_is_refused(start: int, end: int) -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.spell"):
        Spells.of(6, [(start, end, Hexes.empty(6))])
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.spell"):
        Spells.of(6, []).over(Hexes.empty(6), start, end)


def test_sets_of_another_resolution_are_refused() -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.resolution"):
        Spells.of(6, [(0, 1, Hexes.empty(7))])
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.resolution"):
        Spells.of(6, []).over(Hexes.empty(7), 0, 1)


def test_weights_that_are_not_one_a_cell_are_refused() -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.weights"):
        course([], {MIDDLE}, 0, 5).gaps(weights=np.ones(2))


def test_what_nothing_covers_is_uncovered_all_the_time() -> None:
    alone = course([], {MIDDLE}, 3, 8)
    assert alone.moments.tolist() == [3, 8]
    assert alone.by_cell(alone.uncovered()).tolist() == [5]
    assert alone.gap(0) == Hexes.from_cells([MIDDLE])


def test_an_area_of_nothing_and_a_window_of_no_time_lack_nothing() -> None:
    nowhere, never = course([(0, 9, {MIDDLE})], set(), 0, 9), course([(0, 9, {MIDDLE})], {MIDDLE}, 4, 4)
    assert (nowhere.uncovered().tolist(), nowhere.gaps().tolist()) == ([], [0])
    assert (never.uncovered().tolist(), never.gaps().tolist()) == ([0], [])


def test_a_spell_holds_at_its_start_and_not_at_its_end() -> None:
    made = Spells.of(6, [(2, 4, Hexes.from_cells([MIDDLE]))])
    assert [made.at(instant).at_least(1).count for instant in range(1, 6)] == [0, 1, 1, 0, 0]


@given(known, near | cell_sets(6), times, st.integers(0, 14), st.integers(1, 4))
def test_time_uncovered_is_that_of_each_instant_added_up(
    given_: Known, ground: set[int], start: int, length: int, count: int
) -> None:
    found = course(given_, ground, start, start + length)
    total = dict.fromkeys(ground, 0)
    for instant in range(start, start + length):
        depths = counted(given_, instant)
        for cell in ground:
            total[cell] += depths[cell] < count
    assert found.by_cell(found.uncovered(count)).tolist() == [total[cell] for cell in sorted(ground)]


@given(known, near, times, st.integers(1, 14), st.integers(1, 4))
def test_every_interval_is_as_each_of_its_instants(
    given_: Known, ground: set[int], start: int, length: int, count: int
) -> None:
    found = course(given_, ground, start, start + length)
    counts = np.concatenate(list(found.depths()))
    cells, gaps, moments = sorted(ground), found.gaps(count).tolist(), found.moments.tolist()
    assert (moments[0], moments[-1]) == (start, start + length)
    for number, (first, last) in enumerate(pairwise(moments)):
        for instant in range(first, last):
            depths = counted(given_, instant)
            gap = {cell for cell in ground if depths[cell] < count}
            assert found.by_cell(counts[number]).tolist() == [depths[cell] for cell in cells]
            assert (set(found.gap(number, count)), gaps[number]) == (gap, len(gap))
    assert gaps[found.worst(count)] == max(gaps)


@given(known, near, st.integers(1, 3))
def test_a_few_intervals_at_a_time_are_the_same_as_all_at_once(
    given_: Known, ground: set[int], count: int
) -> None:
    found = course(given_, ground, 0, 12)
    whole = (found.uncovered(count).tolist(), found.gaps(count).tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spells, "_AT_ONCE", 1)
        assert (found.uncovered(count).tolist(), found.gaps(count).tolist()) == whole


def test_the_worst_interval_is_that_which_lacks_most_of_what_counts() -> None:
    large, small = disk(-87.6, 41.8, 4_000, 9), disk(-87.9, 41.8, 1_000, 9)
    area = large | small
    found = Spells.of(9, [(0, 5, large), (5, 9, small)]).over(area, 0, 9)
    people = np.array([100.0 if cell in small else 1.0 for cell in area])
    assert (found.worst(), found.gap(1)) == (1, large)
    assert (found.worst(weights=people), found.gap(0)) == (0, small)
    assert found.gaps(weights=Field(area).km2).tolist() == pytest.approx(
        [small.area_km2, large.area_km2], rel=1e-3
    )


def test_times_far_from_zero_add_up_exactly() -> None:
    far = 2**61
    found = course([(far + 1, far + 3, {MIDDLE})], {MIDDLE}, -far, far + 3)
    assert found.uncovered().tolist() == [2**62 + 1]
