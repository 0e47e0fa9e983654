"""Where to put n: the most demand covered (MCLP, Church & ReVelle 1974), or expected to find a unit free (MEXCLP,
Daskin 1983).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from layers.hexes.ranges import Ranges
from layers.planning.placement.budget import TEN_SECONDS, Budget, Clock
from layers.planning.placement.exact import MAX_MODEL_NONZEROS, Program, solve, stacked
from layers.planning.placement.incidence import Incidence, incidence
from layers.planning.placement.model import (
    Demand,
    Placement,
    Solver,
    check_at_least,
    check_busy,
    check_number,
    check_sites,
)
from layers.planning.placement.report import in_order, proof_of, with_units
from layers.planning.placement.search import Search, Worth, drop_idle, fill_up, shake, swap_up

_FIRST_SHARE, _SEARCH_SHARE = 0.05, 0.2
"""Where the first answer, and the search, end in the progress that is told; where HiGHS follows."""
_NEGLIGIBLE = 1e-7
"""A further unit at a cell that adds less than this share of it is left out of the program, and put into the bound."""


def most_covered(
    demand: Demand,
    sites: Sequence[Ranges],
    n: int,
    *,
    at_least: int = 1,
    prove: bool = True,
    budget: Budget = TEN_SECONDS,
) -> Placement:
    """The *n* of *sites* that bring most demand to a depth of *at_least*, each taken once.

    A cell of depth d gains once (at_least − d) of the sites reach it, and nothing before. Greedy and swap answer,
    shaken a few times; with *prove* HiGHS looks for better and proves a bound. Raises `Invalid` and `TooLarge`
    (`placement.*`): see `model`.
    """
    clock = Clock(budget)
    check_number(n, "n")
    check_at_least(at_least)
    check_sites(sites, len(demand.weight))
    # Nothing gets deeper than this, so that larger numbers all mean the same.
    at_least = min(at_least, int(demand.depth.max(initial=0)) + n + 1)
    found = incidence(sites, demand.weight, demand.depth)
    need = at_least - found.depth
    found = found.only((need > 0) & (need <= np.minimum(found.reaching, n)))
    case = _Case(demand, sites, n, found, Worth.reached(at_least), Worth.nearing(at_least, 1.0), 1, clock)
    clock.part(0, _FIRST_SHARE)
    search, bound = _search(case, at_least)
    return _answer(case, search, bound, partial(_program, found, at_least, n) if prove else None)


def expected_cover(
    demand: Demand,
    sites: Sequence[Ranges],
    n: int,
    busy: float,
    *,
    prove: bool = True,
    budget: Budget = TEN_SECONDS,
) -> Placement:
    """Where to put *n* units, several at one site if that is best, when each is busy with probability *busy*.

    Most demand that can expect to find a unit free: the j-th cover of a cell adds (1 − q) qʲ⁻¹ of it, and those there
    already count. Otherwise as `most_covered`.
    """
    clock = Clock(budget)
    check_number(n, "n")
    check_busy(busy)
    check_sites(sites, len(demand.weight))
    found = incidence(sites, demand.weight, demand.depth)
    worth = Worth.expected(busy, int(demand.depth.max(initial=0)) + n + 1)
    case = _Case(demand, sites, n, found, worth, worth, n, clock)
    clock.part(0, _FIRST_SHARE)
    search = case.search()
    bound = fill_up(search, n, clock, shrink=busy)
    swap_up(search, clock)
    return _answer(case, search, bound, partial(_expected_program, found, busy, n) if prove else None)


@dataclass(frozen=True, eq=False, slots=True)
class _Case:
    """What both questions come to."""

    demand: Demand
    sites: Sequence[Ranges]
    n: int
    found: Incidence
    worth: Worth
    nearing: Worth
    room: int
    clock: Clock

    def search(self, units: NDArray[np.int64] | None = None) -> Search:
        """One that starts from *units*, or from none."""
        search = Search(self.found, self.worth, room=self.room)
        if units is not None:
            search.become(units)
        return search


def _search(case: _Case, at_least: int) -> tuple[Search, float]:
    """The best selection that greedy and swap find, and a bound on what any adds.

    Where cells need several, no first site gains anything, so the way there is shown by what comes near: each cover
    of a cell that needs m is an m-th of it, which is never less than what is gained, and has a bound; or half of what
    the next one is, which leads to cells that need few.
    """
    found, n, clock = case.found, case.n, case.clock
    if at_least == 1:
        search = case.search()
        bound = fill_up(search, n, clock)
        swap_up(search, clock)
        return search, bound
    shares = Search(found, Worth.nearing(at_least, 1.0), weight=found.weight / (at_least - found.depth))
    halves = Search(found, Worth.nearing(at_least, 0.5))
    bound = fill_up(shares, n, clock)
    fill_up(halves, n, clock)
    best = case.search()
    for guide in (shares, halves):
        swap_up(guide, clock)
        rival = case.search(guide.units)
        swap_up(rival, clock)
        best = max(best, rival, key=lambda search: search.value)
    return best, bound


def _answer(
    case: _Case,
    best: Search,
    bound: float,
    program: Callable[[], tuple[Program, float] | None] | None,
) -> Placement:
    """What *best*, or better that is found by shaking it or by *program*, comes to. *bound* is on what any adds."""
    start, solver, clock = case.search().value, Solver.SWAP, case.clock
    if start + bound - best.value > best.tolerance:
        clock.part(_FIRST_SHARE, _SEARCH_SHARE if program else 1)
        shake(best, case.n, clock, case.nearing)
    if (
        program is not None
        and start + bound - best.value > best.tolerance
        and (made := program()) is not None
    ):
        clock.part(_SEARCH_SHARE, 1)
        best, bound, solver = _improved(case, best, start, bound, made)
    drop_idle(best)
    sites = in_order(case.found, case.worth, case.nearing, best.units, clock)
    depth = with_units(case.demand.depth, ((case.sites[site.candidate], site.units) for site in sites))
    before, after = (
        float((case.demand.weight * case.worth.value(each)).sum()) for each in (case.demand.depth, depth)
    )
    proof = proof_of(before, after, before + bound, solver, clock)
    return Placement(sites, case.demand.total, before, after, depth, proof)


def _improved(
    case: _Case, best: Search, start: float, bound: float, made: tuple[Program, float]
) -> tuple[Search, float, Solver]:
    program, left_out = made
    solution = solve(program, best.value - start - left_out, case.clock)
    if solution.v is not None:
        rival = case.search(np.rint(solution.v[: len(best.units)]).astype(np.int64))
        best = max(best, rival, key=lambda search: search.value)
    solver = Solver.HIGHS if np.isfinite(solution.bound) else Solver.SWAP
    return best, min(bound, solution.bound + left_out), solver


def _program(found: Incidence, at_least: int, n: int) -> tuple[Program, float] | None:
    """One 0 or 1 a site, and one a column: (at_least − depth) of the sites that reach it are 1 where it is."""
    sites, size = found.rows.shape
    need = (at_least - found.depth).astype(np.float64)
    if found.columns.nnz + size + sites > MAX_MODEL_NONZEROS:
        return None
    rows = stacked([[-found.columns, sparse.diags_array(need)], [np.ones((1, sites)), None]])
    # Where one is enough, whole sites make the column whole by themselves.
    whole = np.concatenate((np.ones(sites, bool), need > 1))
    values = np.concatenate((np.zeros(sites), found.weight))
    return Program(values, rows, np.append(np.zeros(size), n), np.ones(sites + size), whole), 0.0


def _expected_program(found: Incidence, busy: float, n: int) -> tuple[Program, float] | None:
    """A number of units a site, and for each column a step 0 to 1 for each further unit that reaches it.

    Each step is worth less than the one before, so that they are taken in order. Also returns what the steps that
    are left out could add.
    """
    (sites, size), steps = found.rows.shape, _steps(busy, n)
    if found.columns.nnz + size * steps + sites > MAX_MODEL_NONZEROS:
        return None
    each = sparse.hstack([sparse.eye_array(size)] * steps)
    rows = stacked([[-found.columns, each], [np.ones((1, sites)), None]])
    first = found.weight * (1 - busy) * float(busy) ** found.depth
    values = np.concatenate((np.zeros(sites), *(first * busy**step for step in range(steps))))
    highest = np.concatenate((np.full(sites, float(n)), np.ones(size * steps)))
    whole = np.arange(len(values)) < sites
    left_out = float((found.weight * float(busy) ** found.depth).sum() * (busy**steps - busy**n))
    return Program(values, rows, np.append(np.zeros(size), n), highest, whole), left_out


def _steps(busy: float, n: int) -> int:
    return next((step for step in range(1, n) if busy**step < _NEGLIGIBLE), n)
