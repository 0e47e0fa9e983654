"""Placement beside PySAL's `spopt` and its solver CBC, on cases too large to try every choice."""

from __future__ import annotations

import numpy as np
import pulp  # type: ignore[import-untyped]
import pytest
from spopt.locate import LSCP, MCLP

from layers.planning.placement import Ended, full_cover, most_covered
from tests.unit.placement_cases import city

# spopt 0.7 and the CBC that comes with pulp 3.3 are called in ways that pulp 4 will drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def cbc():
    return pulp.PULP_CBC_CMD(msg=False)


def costs(size: int, sites) -> np.ndarray:
    """Cells × sites: 0 where a site reaches a cell, else 1."""
    matrix = np.ones((size, len(sites)))
    for site, spans in enumerate(sites):
        for first, end in spans:
            matrix[first:end, site] = 0
    return matrix


@pytest.mark.parametrize(("seed", "count", "n"), [(1, 60, 5), (2, 90, 10), (3, 120, 15)])
def test_most_covered_is_what_spopt_covers(cbc, seed, count, n):
    field, demand, sites = city(seed, count)
    theirs = MCLP.from_cost_matrix(costs(field.size, sites), demand.weight, 0.5, n).solve(cbc)
    best = pulp.value(theirs.problem.objective)
    found = most_covered(demand, sites, n)
    assert found.after == pytest.approx(best)
    assert found.proof.ended is Ended.OPTIMAL
    assert most_covered(demand, sites, n, prove=False).after >= 0.99 * best


@pytest.mark.parametrize(("seed", "count"), [(1, 60), (2, 120), (3, 200)])
def test_full_cover_takes_as_few_as_spopt(cbc, seed, count):
    field, demand, sites = city(seed, count)
    matrix = costs(field.size, sites)
    matrix = matrix[matrix.min(axis=1) == 0]
    theirs = LSCP.from_cost_matrix(matrix, 0.5).solve(cbc)
    found = full_cover(demand, sites)
    assert len(found.sites) == found.proof.bound == pulp.value(theirs.problem.objective)
