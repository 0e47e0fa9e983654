"""The fewest sites that cover all that can be covered (LSCP, Toregas, Swain, ReVelle & Bergman 1971)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layers.hexes import spans_of
from layers.hexes.ranges import Ranges
from layers.planning.placement.budget import TEN_SECONDS, Budget, Clock
from layers.planning.placement.exact import WHOLE, Program, solve
from layers.planning.placement.incidence import Incidence, incidence
from layers.planning.placement.model import (
    Demand,
    Ended,
    FullCover,
    Proof,
    Solver,
    check_at_least,
    check_sites,
)
from layers.planning.placement.report import in_order, with_units
from layers.planning.placement.search import Search, Worth, drop_idle, fill_up

_SEARCH_SHARE = 0.2
"""Of the progress that is told, where HiGHS follows."""


def full_cover(
    demand: Demand,
    sites: Sequence[Ranges],
    *,
    at_least: int = 1,
    prove: bool = True,
    budget: Budget = TEN_SECONDS,
) -> FullCover:
    """The fewest of *sites*, each taken once, that bring every cell with any weight to a depth of *at_least*.

    Cells that all candidates together cannot bring there are left out, and said. Greedy and what it leaves idle
    dropped; with *prove* HiGHS looks for fewer and proves a bound. Stopped early, not all may be covered: `after`.
    Raises `Invalid` and `TooLarge` (`placement.*`): see `model`.
    """
    clock = Clock(budget)
    check_at_least(at_least)
    check_sites(sites, len(demand.weight))
    at_least = min(at_least, int(demand.depth.max(initial=0)) + len(sites) + 1)
    reached = with_units(demand.depth, ((spans, 1) for spans in sites)) >= at_least
    unreachable = (demand.weight > 0) & ~reached
    found = incidence(sites, np.where(reached, demand.weight, 0.0), demand.depth)
    found = found.only(found.depth < at_least)
    clock.part(0, _SEARCH_SHARE if prove else 1)
    search = Search(found, Worth.nearing(at_least, 1.0), weight=found.cells.astype(np.float64))
    fill_up(search, len(sites), clock)
    drop_idle(search)
    best = _Fewest(search.units, _least(found, at_least), Solver.SWAP)
    clock.part(_SEARCH_SHARE, 1)
    if prove and not clock.is_out() and best.bound < best.units.sum():
        best = _fewer(found, at_least, best, clock)
    chosen = in_order(found, Worth.reached(at_least), Worth.nearing(at_least, 1.0), best.units, clock)
    depth = with_units(demand.depth, ((sites[site.candidate], 1) for site in chosen))
    all_covered = not (reached & (demand.weight > 0) & (depth < at_least)).any()
    before, after = (float(demand.weight[each >= at_least].sum()) for each in (demand.depth, depth))
    return FullCover(
        chosen,
        demand.total,
        before,
        after,
        float(demand.weight[unreachable].sum()),
        spans_of(unreachable),
        depth,
        _proof(best, bool(all_covered), clock),
    )


class _Fewest(NamedTuple):
    units: NDArray[np.int64]
    bound: int
    solver: Solver


def _least(found: Incidence, at_least: int) -> int:
    """So many it takes whatever they are: those that reach most cells, until the covers missing could be made up."""
    missing = int((found.cells * (at_least - found.depth)).sum())
    reach = np.sort(found.rows @ found.cells.astype(np.float64))[::-1]
    return int(np.searchsorted(np.cumsum(reach), missing - 0.5)) + 1 if missing else 0


def _fewer(found: Incidence, at_least: int, best: _Fewest, clock: Clock) -> _Fewest:
    """Fewer sites than *best*, if HiGHS finds such, and a bound."""
    sites = len(best.units)
    need = (at_least - found.depth).astype(np.float64)
    program = Program(-np.ones(sites), -found.columns, -need, np.ones(sites), np.ones(sites, bool))
    # Better is one fewer: anything above half of that will do as what is known.
    solution = solve(program, 0.5 - float(best.units.sum()), clock)
    if not np.isfinite(solution.bound):
        return best
    units = best.units
    if solution.v is not None and np.rint(solution.v).sum() < units.sum():
        units = np.rint(solution.v).astype(np.int64)
    return _Fewest(units, max(best.bound, math.ceil(-solution.bound - WHOLE)), Solver.HIGHS)


def _proof(best: _Fewest, all_covered: bool, clock: Clock) -> Proof:
    """Of whole sites, so that a bound above n − 1 proves n; an answer that was cut short is proven to be nothing."""
    count, is_out = int(best.units.sum()), clock.is_out()
    clock.part(0, 1)
    clock.tell(1)
    if all_covered and best.bound >= count:
        return Proof(best.solver, count, 0.0, Ended.OPTIMAL, clock.seconds)
    ended = clock.stopped if is_out and clock.stopped else Ended.SEARCHED
    gap = 1 - best.bound / count if all_covered else 1.0
    return Proof(best.solver, best.bound, gap, ended, clock.seconds)
