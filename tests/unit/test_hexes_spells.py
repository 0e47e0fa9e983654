"""Cover over time: refusals, then each instant counted by itself, in Python."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import h3.api.basic_int as h3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.hexes import Course, Field, Hexes, HexesError, Spells, disk, spells, summable
from tests.unit.hexes_shapes import cell_sets

MIDDLE = h3.latlng_to_cell(41.88, -87.63, 6)
near = st.sets(st.sampled_from(h3.grid_disk(MIDDLE, 3)), max_size=20)
times = st.integers(0, 12)
known = st.lists(st.tuples(times, times, near), max_size=8).map(
    lambda drawn: [(min(a, b), max(a, b), cells) for a, b, cells in drawn]
)
Known = list[tuple[int, int, set[int]]]


def spells_of(given_: Known, ground: set[int]) -> Spells:
    field = Field(Hexes.from_cells(ground, 6))
    return Spells.of(field, [(begin, end, Hexes.from_cells(cells, 6)) for begin, end, cells in given_])


def course(given_: Known, ground: set[int], begin: int, end: int, count: int = 1) -> Course:
    return spells_of(given_, ground).over(begin, end, count)


def counted(given_: Known, instant: int) -> Counter[int]:
    """By brute force: how many hold each cell at an instant."""
    return Counter(cell for begin, end, cells in given_ if begin <= instant < end for cell in cells)


@pytest.mark.parametrize(("begin", "end"), [(5, 4), (-(2**62), 0), (0, 2**62), (2**70, 2**71)])
def test_what_is_no_spell_is_refused(begin: int, end: int) -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.spell"):
        spells_of([(begin, end, set())], set())
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.spell"):
        course([], set(), begin, end)


def test_sets_of_another_resolution_are_refused() -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.resolution"):
        Spells.of(Field(Hexes.empty(6)), [(0, 1, Hexes.empty(7))])


def test_weights_that_are_not_one_a_cell_are_refused() -> None:
    with pytest.raises(HexesError, check=lambda error: error.code == "h3.weights"):
        spells_of([], {MIDDLE}).over(0, 5, values=np.ones(2))


def test_to_be_held_by_none_is_no_question() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        course([], {MIDDLE}, 0, 5, 0)


def test_what_nothing_covers_is_uncovered_all_the_time() -> None:
    alone = course([], {MIDDLE}, 3, 8)
    assert alone.moments.tolist() == [3, 8]
    assert (alone.uncovered.tolist(), alone.held.tolist(), alone.worst) == ([5], [0], (3, 8, 0))


def test_an_area_of_nothing_and_a_window_of_no_time_lack_nothing() -> None:
    nowhere, never = course([(0, 9, {MIDDLE})], set(), 0, 9), course([(0, 9, {MIDDLE})], {MIDDLE}, 4, 4)
    assert (nowhere.uncovered.tolist(), nowhere.held.tolist()) == ([], [0])
    assert (never.uncovered.tolist(), never.held.tolist()) == ([0], [])


def test_a_spell_holds_at_its_begin_and_not_at_its_end() -> None:
    made = spells_of([(2, 4, {MIDDLE})], {MIDDLE})
    assert [made.at(instant).tolist() for instant in range(1, 6)] == [[0], [1], [1], [0], [0]]


@given(known, near | cell_sets(6), times, st.integers(0, 14), st.integers(1, 4))
def test_time_uncovered_is_that_of_each_instant_added_up(
    given_: Known, ground: set[int], begin: int, length: int, count: int
) -> None:
    found = course(given_, ground, begin, begin + length, count)
    total = dict.fromkeys(ground, 0)
    for instant in range(begin, begin + length):
        depths = counted(given_, instant)
        for cell in ground:
            total[cell] += depths[cell] < count
    assert found.uncovered.tolist() == [total[cell] for cell in sorted(ground)]


@given(known, near, times, st.integers(1, 14), st.integers(1, 4))
def test_every_interval_is_as_each_of_its_instants(
    given_: Known, ground: set[int], begin: int, length: int, count: int
) -> None:
    made = spells_of(given_, ground)
    found = made.over(begin, begin + length, count)
    cells, held, moments = sorted(ground), found.held.tolist(), found.moments.tolist()
    assert (moments[0], moments[-1]) == (begin, begin + length)
    pieces = list(made.depths(found.moments))
    for number, (first, last) in enumerate(pairwise(moments)):
        for instant in range(first, last):
            depths = counted(given_, instant)
            assert made.by_place(pieces[number]).tolist() == [depths[cell] for cell in cells]
            assert made.at(instant).tolist() == [depths[cell] for cell in cells]
            assert held[number] == sum(depths[cell] >= count for cell in cells)
    assert (found.worst.held, found.best.held) == (min(held), max(held))
    assert found.mean * length == pytest.approx(length * len(ground) - found.uncovered.sum())


@given(known, near, st.integers(1, 3))
def test_a_few_pieces_at_a_time_are_the_same_as_all_at_once(
    given_: Known, ground: set[int], count: int
) -> None:
    whole = course(given_, ground, 0, 12, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spells, "_MAX_PAIRS", 1)
        found = course(given_, ground, 0, 12, count)
    assert (found.uncovered.tolist(), found.held.tolist()) == (whole.uncovered.tolist(), whole.held.tolist())


def test_the_worst_time_is_that_which_lacks_most_of_what_counts() -> None:
    large, small = disk(-87.6, 41.8, 4_000, 9), disk(-87.9, 41.8, 1_000, 9)
    field = Field(large | small)
    made = Spells.of(field, [(0, 5, large), (5, 9, small)])
    people = np.array([100.0 if cell in small else 1.0 for cell in field.area])
    assert made.over(0, 9).worst == (5, 9, small.count)
    assert field.hexes(made.at(5) == 0) == large
    assert made.over(0, 9, values=people).worst == (0, 5, large.count)
    ground = made.over(0, 9, values=field.km2).held.tolist()
    assert ground == pytest.approx([large.area_km2, small.area_km2], rel=1e-3)


def test_equal_ground_compares_equal_in_whatever_order_it_came() -> None:
    cells = sorted(h3.grid_disk(MIDDLE, 3))
    comes: Known = [(number, 200 - number, {cell}) for number, cell in enumerate(cells)]
    made = spells_of(comes, set(cells))
    held = made.over(0, 200, values=made.field.km2).held
    assert held.tolist() == held[::-1].tolist()
    assert held[-1] == summable(made.field.km2)[made.field.places(np.array(cells[:1], np.uint64))[0]]


@given(st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=30))
def test_sums_of_what_is_summable_are_exact_in_any_order(values: list[float]) -> None:
    made = summable(np.array(values)).tolist()
    assert made == pytest.approx(values, rel=0, abs=sum(values) * 2.0**-52)
    assert sum(made) == sum(reversed(made)) == sum(sorted(made)) == math.fsum(made)


def test_times_far_from_zero_add_up_exactly() -> None:
    far = 2**61
    found = course([(far + 1, far + 3, {MIDDLE})], {MIDDLE}, -far, far + 3)
    assert found.uncovered.tolist() == [2**62 + 1]
