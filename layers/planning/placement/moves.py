"""Which idle units to move up: who leaves where it is, and to which post, so that most demand is covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from layers.errors import Invalid
from layers.hexes.ranges import Ranges
from layers.planning.placement.budget import TEN_SECONDS, Budget, Clock
from layers.planning.placement.exact import MAX_MODEL_NONZEROS, Program, solve, stacked
from layers.planning.placement.incidence import Incidence, incidence
from layers.planning.placement.model import (
    MAX_SITES,
    Demand,
    Move,
    MoveUp,
    Solver,
    check_at_least,
    check_cells,
    check_number,
    check_sites,
)
from layers.planning.placement.report import proof_of, with_units
from layers.planning.placement.search import Bar, Search, Worth, fill_up, first_best, swap_up

_SEARCH_SHARE = 0.2


def move_up(
    demand: Demand,
    units: Sequence[Ranges],
    posts: Sequence[Ranges],
    moves: int,
    *,
    at_least: int = 1,
    distances_m: NDArray[np.float64] | None = None,
    prove: bool = True,
    budget: Budget = TEN_SECONDS,
) -> MoveUp:
    """At most *moves* of idle *units* to *posts* that bring most demand to a depth of *at_least*.

    A unit that leaves no longer covers *units*[i], which `demand.depth` counts; at a post it covers *posts*[j],
    whichever unit it is, and a post takes one. So it is settled who leaves and which posts are taken; who goes where
    makes the least of *distances_m* (units × posts) together, or, without, follows the order given. Greedy and swap
    answer; with *prove* HiGHS looks for better and proves a bound. Raises `Invalid` and `TooLarge` (`placement.*`).
    """
    clock = Clock(budget)
    check_number(moves, "moves")
    check_at_least(at_least)
    check_sites(units, len(demand.weight), "units", MAX_SITES)
    check_sites(posts, len(demand.weight), "posts")
    check_cells(_cells(units) + _cells(posts), "/place/posts")
    _check_distances(distances_m, len(units), len(posts))
    if (with_units(demand.depth, ((spans, -1) for spans in units)) < 0).any():
        detail = "The depth counts every unit where it is now; here a unit covers more than that."
        raise Invalid(detail, pointer="/place/units", code="placement.depth")
    case = _Case.of(demand, units, posts, moves, at_least, clock)
    clock.part(0, _SEARCH_SHARE if prove else 1)
    bound, best, solver = _bound(case), _search(case), Solver.SWAP
    if prove and case.start + bound - best.value > best.tolerance and not clock.is_out():
        clock.part(_SEARCH_SHARE, 1)
        best, bound, solver = _improved(case, best, bound)
    _undo_idle(case, best)
    made = _in_order(case, *_pairs(case, best, distances_m))
    depth = with_units(
        demand.depth,
        ((spans, by) for move in made for spans, by in ((units[move.unit], -1), (posts[move.post], 1))),
    )
    before, after = (float(demand.weight[each >= at_least].sum()) for each in (demand.depth, depth))
    proof = proof_of(before, after, before + bound, solver, clock)
    return MoveUp(made, demand.total, before, after, depth, proof)


def _check_distances(distances_m: NDArray[np.float64] | None, units: int, posts: int) -> None:
    if distances_m is None or (distances_m.shape == (units, posts) and np.isfinite(distances_m).all()):
        return
    detail = "Distances are given for every unit and every post, and are finite."
    raise Invalid(detail, pointer="/place/units", code="placement.distances")


def _cells(spans: Sequence[Ranges]) -> int:
    return sum(int((each[:, 1] - each[:, 0]).sum()) for each in spans)


@dataclass(frozen=True, eq=False, slots=True)
class _Case:
    """Units where they are and posts are sites alike: a move is a swap of one for the other.

    Only cells that any moves could cover, or uncover, are in `found`.
    """

    found: Incidence
    """Sites: first the units, then the posts."""
    units: int
    moves: int
    at_least: int
    clock: Clock

    @classmethod
    def of(
        cls,
        demand: Demand,
        units: Sequence[Ranges],
        posts: Sequence[Ranges],
        moves: int,
        at_least: int,
        clock: Clock,
    ) -> _Case:
        found = incidence([*units, *posts], demand.weight, demand.depth)
        moves = min(moves, len(units), len(posts))
        at_least = min(at_least, int(demand.depth.max(initial=0)) + moves + 1)
        leaving, coming = (np.minimum(each, moves) for each in _reaching(found, len(units)))
        able = (found.depth - leaving < at_least) & (found.depth + coming >= at_least)
        return cls(found.only(able), len(units), moves, at_least, clock)

    @property
    def start(self) -> float:
        """What the units are worth where they are."""
        return float(self.found.weight[self.found.depth >= self.at_least].sum())

    def search(self, worth: Worth | None = None, units: NDArray[np.int64] | None = None) -> Search:
        """One in which every unit is where it is now, or as *units* has it."""
        now = np.zeros(self.found.rows.shape[0], np.int64)
        now[: self.units] = 1
        search = Search(self.found, worth or Worth.reached(self.at_least), units=now)
        if units is not None:
            search.become(units)
        return search

    def bar(self, search: Search) -> Bar:
        """Bars a unit from a post when as many moves are made as there may be. All else keeps or undoes one."""

        def barred(sites: NDArray[np.int64]) -> NDArray[np.bool_] | None:
            if search.units[self.units :].sum() < self.moves:
                return None
            return np.outer(sites < self.units, np.arange(len(search.units)) >= self.units)

        return barred

    def only_undone(self, sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Bars all but a post for a unit: a move that is undone."""
        return ~np.outer(sites >= self.units, np.arange(self.found.rows.shape[0]) < self.units)


def _reaching(found: Incidence, units: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many units, and how many posts, reach each column."""
    is_unit = np.zeros(found.rows.shape[0])
    is_unit[:units] = 1
    reaching = (found.columns @ is_unit).astype(np.int64)
    return reaching, found.reaching - reaching


def _bound(case: _Case) -> float:
    """What the moves would add at most if nobody had to leave for them; with shares as in `most._search`."""
    posts = np.arange(case.units, case.found.rows.shape[0])
    open_ = case.found.only(case.found.depth < case.at_least).among(posts)
    weight = open_.weight / (case.at_least - open_.depth)
    return fill_up(Search(open_, Worth.nearing(case.at_least, 1.0), weight=weight), case.moves, case.clock)


def _search(case: _Case) -> Search:
    """The best that swaps find, from the start and, where cells need several, by way of what comes near."""
    best = case.search()
    swap_up(best, case.clock, case.bar(best))
    for ratio in (1.0, 0.5) if case.at_least > 1 else ():
        guide = case.search(Worth.nearing(case.at_least, ratio))
        swap_up(guide, case.clock, case.bar(guide))
        rival = case.search(units=guide.units)
        swap_up(rival, case.clock, case.bar(rival))
        best = max(best, rival, key=lambda search: search.value)
    return best


def _undo_idle(case: _Case, search: Search) -> None:
    """Undo moves that nothing is lost without."""
    while (swap := search.best_swap(case.clock, case.only_undone, above=-search.tolerance)) is not None:
        search.add(swap.out, -1)
        search.add(swap.into)


def _improved(case: _Case, best: Search, bound: float) -> tuple[Search, float, Solver]:
    program = _program(case)
    solution = solve(program, best.value, case.clock) if program else None
    if solution is None or not np.isfinite(solution.bound):
        return best, bound, Solver.SWAP
    if solution.v is not None:
        rival = case.search(units=np.rint(solution.v[: len(best.units)]).astype(np.int64))
        best = max(best, rival, key=lambda search: search.value)
    return best, min(bound, solution.bound - case.start), Solver.HIGHS


def _program(case: _Case) -> Program | None:
    """Of a unit whether it stays, of a post whether it is taken, of a column whether it is covered.

    Of the covers that a column has, those that cannot leave, for only so many may, are certain: the rest of
    `at_least` have to be among the units that stay and the posts.
    """
    found = case.found
    sites, size = found.rows.shape
    if found.columns.nnz + size + 3 * sites > MAX_MODEL_NONZEROS:
        return None
    units, _ = _reaching(found, case.units)
    leaving = np.minimum(units, case.moves)
    need = (case.at_least - found.depth + leaving).astype(np.float64)
    is_unit = (np.arange(sites) < case.units).astype(np.float64)[None]
    rows = stacked(
        [
            [-found.columns, sparse.diags_array(need)],
            [1 - is_unit, None],
            [np.ones((1, sites)), None],
            [-np.ones((1, sites)), None],
        ]
    )
    upper = np.concatenate((leaving - units, [case.moves, case.units, -case.units]))
    values = np.concatenate((np.zeros(sites), found.weight))
    whole = np.concatenate((np.ones(sites, bool), need > 1))
    return Program(values, rows, upper.astype(np.float64), np.ones(sites + size), whole)


def _pairs(
    case: _Case, best: Search, distances_m: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Who leaves, and for which post."""
    gone = np.flatnonzero(best.units[: case.units] == 0)
    taken = np.flatnonzero(best.units[case.units :])
    if distances_m is None:
        return gone, taken
    who, where = optimize.linear_sum_assignment(distances_m[np.ix_(gone, taken)])
    return gone[who], taken[where]


def _in_order(case: _Case, gone: NDArray[np.int64], taken: NDArray[np.int64]) -> tuple[Move, ...]:
    """The moves, those first that gain most."""
    search, posts = case.search(), taken + case.units
    leaving, coming = case.found.rows[gone], case.found.rows[posts]
    both = leaving * coming
    waiting, made = np.ones(len(gone), bool), []
    for _ in range(len(gone)):
        up, down = (search.weight * step(search.depth) for step in (search.worth.up, search.worth.down))
        gains = coming @ up - leaving @ down + both @ (down - up)
        at = first_best(np.where(waiting, gains, -np.inf), search.tolerance)
        made.append(Move(int(gone[at]), int(taken[at]), float(gains[at])))
        waiting[at] = False
        search.add(int(gone[at]), -1)
        search.add(int(posts[at]))
    return tuple(made)
