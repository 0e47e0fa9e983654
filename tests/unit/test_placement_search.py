"""The parts of the search, each against the plain way to do it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.planning.placement.budget import Budget, Clock
from layers.planning.placement.incidence import incidence
from layers.planning.placement.search import Search, Worth
from tests.unit.placement_cases import Small, small

WORTHS = st.sampled_from(
    [
        Worth.reached(1),
        Worth.reached(2),
        Worth.nearing(3, 0.5),
        Worth.nearing(2, 1.0),
        Worth.expected(0.4, 30),
    ]
)


@given(small())
def test_columns_are_the_cells_with_the_same_sites_and_depth(case: Small):
    alike: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for cell, sites in enumerate(case.masks.T):
        if sites.any() and case.weight[cell] > 0:
            alike[*np.flatnonzero(sites).tolist(), -1, int(case.depth[cell])].append(case.weight[cell])
    found = incidence(case.sites, case.weight, case.depth)
    columns = {
        (*found.columns[[at]].indices.tolist(), -1, int(found.depth[at])): (found.weight[at], found.cells[at])
        for at in range(len(found.depth))
    }
    assert columns == {key: (pytest.approx(sum(cells)), len(cells)) for key, cells in alike.items()}
    assert (found.rows.toarray() == found.columns.toarray().T).all()


@settings(max_examples=150)
@given(small(), WORTHS, st.lists(st.integers(0, 6), min_size=1, max_size=6))
def test_the_best_swap_is_the_best_of_all_pairs_again_and_again(case: Small, worth: Worth, first):
    search = Search(incidence(case.sites, case.weight, case.depth), worth, room=2)
    for site in first:
        if search.units[site % len(case.masks)] < 2:
            search.add(site % len(case.masks))
    for _ in range(4):
        best = max(_after_swaps(case, search.units, worth))
        swap = search.best_swap(Clock(Budget()))
        assert (swap.gain if swap else 0.0) == pytest.approx(
            best - _value(case, search.units, worth), abs=1e-6
        )
        if swap is None:
            break
        search.add(swap.out, -1)
        search.add(swap.into)
        assert search.value == pytest.approx(_value(case, search.units, worth, reached=True))


def _value(case: Small, units, worth: Worth, *, reached: bool = False) -> float:
    cells = case.masks.any(axis=0) if reached else slice(None)
    return float((case.weight * worth.value(case.depth + units @ case.masks))[cells].sum())


def _after_swaps(case: Small, units, worth: Worth):
    yield _value(case, units, worth)
    for out in np.flatnonzero(units):
        for into in np.flatnonzero(units < 2):
            after = units.copy()
            after[out] -= 1
            after[into] += 1
            yield _value(case, after, worth)


@given(small(), WORTHS)
def test_gains_and_changes_are_what_adding_brings(case: Small, worth: Worth):
    search = Search(incidence(case.sites, case.weight, case.depth), worth)
    gains, before = search.gains(), search.value
    for site in range(len(case.masks)):
        assert search.change(site, 1) == pytest.approx(gains[site])
        search.add(site)
        assert search.value - before == pytest.approx(gains[site])
        assert search.gains()[site] == -np.inf
        search.add(site, -1)


@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_what_comes_near_is_worth_more_with_every_cover_until_there_are_enough(ratio):
    values = Worth.nearing(4, ratio).value(np.arange(8))
    assert (np.diff(values)[:4] > 0).all()
    assert (np.diff(values)[4:] == 0).all()
