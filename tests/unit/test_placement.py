"""Where next, against every choice there is; bad input first."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from layers.errors import Invalid, TooLarge
from layers.planning.placement import (
    Budget,
    Demand,
    Ended,
    Solver,
    expected_cover,
    full_cover,
    most_covered,
    move_up,
)
from layers.planning.placement import model as limits
from tests.unit.placement_cases import Small, city, small

FEW = st.integers(1, 4)
HALF = np.array([[0, 2]])
FOUR = Demand(np.ones(4), np.zeros(4, np.int32))


def code_of(error: pytest.ExceptionInfo) -> tuple[str, str]:
    return error.value.code, error.value.pointer


@pytest.mark.parametrize(
    ("ask", "code", "pointer"),
    [
        (lambda: most_covered(FOUR, [HALF], 0), "placement.n", "/place/n"),
        (lambda: most_covered(FOUR, [HALF], 10**9), "placement.n", "/place/n"),
        (lambda: most_covered(FOUR, [HALF], 1, at_least=0), "placement.at_least", "/at_least"),
        (lambda: most_covered(FOUR, [], 1), "placement.candidates", "/place/candidates"),
        (lambda: most_covered(FOUR, [HALF + 3], 1), "placement.candidates", "/place/candidates"),
        (lambda: full_cover(FOUR, []), "placement.candidates", "/place/candidates"),
        (lambda: expected_cover(FOUR, [HALF], 1, 1.0), "placement.busy", "/place/busy"),
        (lambda: expected_cover(FOUR, [HALF], 1, float("nan")), "placement.busy", "/place/busy"),
        (lambda: move_up(FOUR, [HALF], [HALF], 0), "placement.moves", "/place/moves"),
        (lambda: move_up(FOUR, [], [HALF], 1), "placement.units", "/place/units"),
        (lambda: move_up(FOUR, [HALF], [], 1), "placement.posts", "/place/posts"),
        (lambda: move_up(FOUR, [HALF], [HALF], 1), "placement.depth", "/place/units"),
        (lambda: Budget(0), "placement.seconds", "/place/seconds"),
        (lambda: Budget(float("inf")), "placement.seconds", "/place/seconds"),
        (lambda: Demand(np.array([np.nan]), np.zeros(1, np.int32)), "placement.demand", ""),
        (lambda: Demand(np.array([1e308, 1e308]), np.zeros(2, np.int32)), "placement.demand", ""),
        (lambda: Demand(np.ones(2), np.zeros(3, np.int32)), "placement.demand", ""),
    ],
)
def test_what_cannot_be_asked_is_said_with_a_pointer(ask, code, pointer):
    with pytest.raises(Invalid) as error:
        ask()
    assert code_of(error) == (code, pointer)


def test_distances_are_those_of_every_unit_to_every_post():
    demand = Demand(np.ones(4), np.array([1, 1, 0, 0], np.int32))
    with pytest.raises(Invalid) as error:
        move_up(demand, [HALF], [HALF + 2], 1, distances_m=np.ones((2, 1)))
    assert code_of(error) == ("placement.distances", "/place/units")


def test_more_candidates_or_cells_than_the_limit_are_refused(monkeypatch):
    with pytest.raises(TooLarge) as error:
        most_covered(FOUR, [HALF] * (limits.MAX_CANDIDATES + 1), 1)
    assert code_of(error) == ("placement.too_many_candidates", "/place/candidates")
    monkeypatch.setattr(limits, "MAX_NONZEROS", 7)
    with pytest.raises(TooLarge) as error:
        full_cover(FOUR, [HALF] * 4)
    assert code_of(error) == ("placement.too_many_cells", "/place/candidates")
    with pytest.raises(TooLarge) as error:
        move_up(Demand(np.ones(4), np.full(4, 2, np.int32)), [HALF] * 2, [HALF] * 2, 1)
    assert code_of(error) == ("placement.too_many_cells", "/place/posts")


@settings(max_examples=150)
@given(small(), FEW, st.integers(1, 3))
def test_the_proven_answer_covers_as_much_as_the_best_of_all_choices(case: Small, n, at_least):
    best = max(case.covered(depth, at_least) for depth in case.depths(n))
    found = most_covered(case.demand, case.sites, n, at_least=at_least)
    assert found.after == pytest.approx(best)
    assert found.proof.bound == pytest.approx(best)
    assert (found.proof.ended, found.proof.gap) == (Ended.OPTIMAL, 0.0)


@settings(max_examples=150)
@given(small(), FEW, st.integers(1, 3))
def test_without_a_proof_the_best_of_all_choices_lies_between_answer_and_bound(case: Small, n, at_least):
    best = max(case.covered(depth, at_least) for depth in case.depths(n))
    found = most_covered(case.demand, case.sites, n, at_least=at_least, prove=False)
    assert found.after <= best + 1e-9
    assert found.proof.bound >= best - 1e-9
    assert found.proof.solver is Solver.SWAP


@settings(max_examples=100)
@given(small(), FEW, st.integers(1, 3), st.booleans())
def test_an_answer_adds_up(case: Small, n, at_least, prove):
    found = most_covered(case.demand, case.sites, n, at_least=at_least, prove=prove)
    chosen = [site.candidate for site in found.sites]
    assert len(set(chosen)) == len(chosen) <= n
    assert (found.depth == case.depth + case.masks[chosen].sum(axis=0)).all()
    assert found.total == case.weight.sum()
    assert found.before == pytest.approx(case.covered(case.depth, at_least))
    assert found.after == pytest.approx(case.covered(found.depth, at_least))
    assert found.before + sum(site.gain for site in found.sites) == pytest.approx(found.after)
    for site in found.sites:
        without = case.covered(found.depth - case.masks[site.candidate], at_least)
        assert site.only == pytest.approx(found.after - without)
        assert site.only > 0


@settings(max_examples=100)
@given(small(), st.integers(1, 3))
def test_another_site_never_covers_less(case: Small, at_least):
    answers = [most_covered(case.demand, case.sites, n, at_least=at_least).after for n in (1, 2, 3, 9)]
    assert answers == sorted(answers)
    everything = case.depth + case.masks.sum(axis=0, dtype=np.int32)
    assert answers[-1] == pytest.approx(case.covered(everything, at_least))


def test_more_than_are_of_use_are_not_put():
    found = most_covered(FOUR, [HALF, HALF, HALF + 2, np.empty((0, 2), np.int64)], 1_000)
    assert [(site.candidate, site.gain) for site in found.sites] == [(0, 2.0), (2, 2.0)]
    assert most_covered(FOUR, [HALF], 5, at_least=10**9).sites == ()


def test_where_two_are_needed_and_one_is_there_one_more_covers():
    demand = Demand(np.array([1.0, 1.0, 5.0, 5.0]), np.array([1, 1, 0, 0], np.int32))
    one = most_covered(demand, [HALF, HALF + 2, HALF + 2], 1, at_least=2)
    two = most_covered(demand, [HALF, HALF + 2, HALF + 2], 2, at_least=2)
    assert [(site.candidate, site.gain) for site in one.sites] == [(0, 2.0)]
    assert [(site.candidate, site.gain, site.only) for site in two.sites] == [(1, 0.0, 10.0), (2, 10.0, 10.0)]


@settings(max_examples=150)
@given(small(), st.integers(1, 3))
def test_the_fewest_for_full_cover_are_as_few_as_any_that_cover_all(case: Small, at_least):
    most = case.covered(case.depth + case.masks.sum(axis=0, dtype=np.int32), at_least)
    found = full_cover(case.demand, case.sites, at_least=at_least)
    fewest = next(
        n
        for n in range(len(case.masks) + 1)
        if any(case.covered(depth, at_least) >= most - 1e-9 for depth in case.depths(n))
    )
    assert len(found.sites) == fewest == found.proof.bound
    assert found.after == pytest.approx(most)
    assert found.proof.ended is Ended.OPTIMAL


@given(small(), st.integers(1, 3))
def test_what_no_candidate_brings_to_full_cover_is_said(case: Small, at_least):
    deepest = case.depth + case.masks.sum(axis=0, dtype=np.int32)
    never = np.flatnonzero((deepest < at_least) & (case.weight > 0))
    found = full_cover(case.demand, case.sites, at_least=at_least, prove=False)
    assert found.unreachable == pytest.approx(case.weight[never].sum())
    assert [place for first, end in found.unreachable_spans for place in range(first, end)] == never.tolist()
    assert found.after + found.unreachable == pytest.approx(found.total)
    assert found.proof.bound <= len(found.sites)


@settings(max_examples=150)
@given(small(sites=5), st.integers(1, 3), st.sampled_from([0.0, 0.1, 0.5, 0.95]))
def test_expected_cover_is_that_of_the_best_of_all_choices(case: Small, n, busy):
    def expected(depth: np.ndarray) -> float:
        return float(case.weight @ (1 - busy**depth))

    best = max(expected(depth) for depth in case.depths(n, repeat=True))
    found = expected_cover(case.demand, case.sites, n, busy)
    assert found.after == pytest.approx(best)
    assert found.after == pytest.approx(expected(found.depth))
    assert found.proof.bound == pytest.approx(best)
    assert found.proof.ended is Ended.OPTIMAL
    quick = expected_cover(case.demand, case.sites, n, busy, prove=False)
    assert quick.after <= best + 1e-9 <= quick.proof.bound + 2e-9


def test_units_that_are_often_busy_stand_together():
    demand = Demand(np.array([10.0, 1.0]), np.zeros(2, np.int32))
    sites = [np.array([[0, 1]]), np.array([[1, 2]])]
    often = expected_cover(demand, sites, 3, 0.9)
    assert [(site.candidate, site.units) for site in often.sites] == [(0, 3)]
    assert [(site.candidate, site.units) for site in expected_cover(demand, sites, 3, 0.05).sites] == [
        (0, 2),
        (1, 1),
    ]
    assert sum(site.units for site in expected_cover(demand, sites, 3, 0.0).sites) == 2


def test_covers_that_are_there_count_for_units_that_may_be_busy():
    demand = Demand(np.array([3.0, 2.0]), np.array([1, 0], np.int32))
    found = expected_cover(demand, [np.array([[0, 1]]), np.array([[1, 2]])], 1, 0.4)
    assert [site.candidate for site in found.sites] == [1]
    assert found.before == pytest.approx(1.8)
    assert found.after == pytest.approx(3.0)


@st.composite
def idle(draw: st.DrawFn) -> tuple[Small, Small]:
    """Units and posts over the same cells; the depth counts the units, and some more."""
    case = draw(small(sites=8))
    split = draw(st.integers(0, len(case.masks)))
    depth = case.depth // 2 + case.masks[:split].sum(axis=0, dtype=np.int32)
    return (
        Small(case.weight, depth, case.masks[:split]),
        Small(case.weight, depth, case.masks[split:]),
    )


def best_moves(units: Small, posts: Small, moves: int, at_least: int) -> float:
    fewer = Small(units.weight, units.depth, -units.masks.astype(np.int32))
    nothing = np.zeros(len(units.weight), np.int32)
    best = 0.0
    for count in range(moves + 1):
        left = list(_exactly(fewer, count))
        came = [depth - posts.depth for depth in _exactly(posts, count)]
        best = max([best, *(units.covered(a + b + nothing, at_least) for a in left for b in came)])
    return best


def _exactly(case: Small, count: int):
    from itertools import combinations

    for chosen in combinations(range(len(case.masks)), count):
        yield case.depth + case.masks[list(chosen)].sum(axis=0, dtype=np.int32)


NOTHING_TO_GAIN = Small(
    np.array([1.0] * 2 + [0.0] * 10 + [2.0, 7.25]),
    np.array([2, 1] + [0] * 10 + [2, 2], np.int32),
    np.array([[0] * 12 + [1, 1], [1, 1] + [0] * 10 + [1, 1]], bool),
)
"""Of which sums of the same cells in another order differ in the last digit."""
NO_BETTER = np.array([[0] * 13 + [1], [0, 1] + [0] * 12], bool)


@settings(max_examples=150)
@given(idle(), st.integers(1, 3), st.integers(1, 2))
@example((NOTHING_TO_GAIN, Small(NOTHING_TO_GAIN.weight, NOTHING_TO_GAIN.depth, NO_BETTER)), 1, 2)
def test_moves_cover_as_much_as_the_best_of_all_moves(case, moves, at_least):
    units, posts = case
    if not (len(units.masks) and len(posts.masks)):
        return
    best = best_moves(units, posts, moves, at_least)
    ask = partial(move_up, units.demand, units.sites, posts.sites, moves, at_least=at_least)
    found, quick = ask(), ask(prove=False)
    assert found.after == pytest.approx(best)
    assert found.proof.ended is Ended.OPTIMAL
    assert quick.after <= best + 1e-9 <= quick.proof.bound + 2e-9
    assert len(found.moves) <= moves
    assert found.before + sum(move.gain for move in found.moves) == pytest.approx(found.after)
    left, taken = ([getattr(move, name) for move in found.moves] for name in ("unit", "post"))
    assert len(set(left)) == len(set(taken)) == len(found.moves)
    after = units.depth - units.masks[left].sum(axis=0) + posts.masks[taken].sum(axis=0)
    assert (found.depth == after).all()


def test_nobody_is_moved_for_nothing():
    demand = Demand(np.ones(4), np.array([1, 1, 0, 0], np.int32))
    assert move_up(demand, [HALF], [HALF, HALF + 2, HALF + 1], 1).moves == ()


def test_those_who_leave_take_the_shortest_ways():
    demand = Demand(np.ones(4), np.array([2, 2, 0, 0], np.int32))
    spare, posts = [np.array([[0, 1]]), np.array([[1, 2]])], [np.array([[2, 3]]), np.array([[3, 4]])]
    demand = Demand(np.array([0.1, 0.1, 1.0, 1.0]), demand.depth)
    ways = np.array([[9.0, 1.0], [1.0, 9.0]])
    found = move_up(demand, spare, posts, 2, distances_m=ways)
    assert {(move.unit, move.post) for move in found.moves} == {(0, 1), (1, 0)}


def test_of_equal_sites_the_first_is_taken_every_time():
    demand = Demand(np.full(40, 0.1), np.zeros(40, np.int32))
    sites = [np.array([[first, first + 10]]) for first in (20, 0, 10, 30, 0, 20)]
    assert [site.candidate for site in most_covered(demand, sites, 3).sites] == [0, 1, 2]
    _, demand, sites = city(4, 120)
    assert most_covered(demand, sites, 12).sites == most_covered(demand, sites, 12).sites


CITY, CITY_DEMAND, CITY_SITES = city(5, 80)
CITY_DEEP = Demand(CITY_DEMAND.weight, CITY.depth(CITY_SITES[:20]))


@pytest.mark.parametrize("at_least", [1, 2])
@pytest.mark.parametrize(
    "ask",
    [
        partial(most_covered, CITY_DEMAND, CITY_SITES, 30),
        partial(full_cover, CITY_DEMAND, CITY_SITES),
        partial(move_up, CITY_DEEP, CITY_SITES[:20], CITY_SITES[20:], 20),
    ],
)
def test_who_calls_it_off_gets_what_was_found_so_far(ask, at_least):
    calls = iter([False] * 6)
    found = ask(at_least=at_least, budget=Budget(60, cancelled=lambda: next(calls, True)))
    assert found.proof.ended is Ended.CANCELLED
    assert found.before <= found.after <= found.total
    assert found.proof.gap > 0


@pytest.mark.parametrize("seconds", [0.02, 0.3])
@pytest.mark.parametrize("at_least", [2, 3])
def test_it_takes_no_longer_than_it_may(seconds, at_least):
    _, demand, sites = city(6, 400, 25_000)
    begun = time.perf_counter()
    found = most_covered(demand, sites, 15, at_least=at_least, budget=Budget(seconds))
    # The machine may be busy; asked without a limit, HiGHS takes far more than a second.
    assert time.perf_counter() - begun < seconds + 0.5
    assert found.proof.ended is Ended.DEADLINE
    assert found.proof.gap > 0


@pytest.mark.parametrize("prove", [True, False])
def test_progress_only_grows_and_ends_at_one(prove):
    _, demand, sites = city(7, 60)
    told: list[float] = []
    for ask in (
        partial(most_covered, demand, sites, 8),
        partial(expected_cover, demand, sites, 8, 0.2),
        partial(full_cover, demand, sites),
    ):
        told.clear()
        ask(prove=prove, budget=Budget(30, progress=told.append))
        assert told == sorted(set(told))
        assert 0 < told[0] <= told[-1] == 1.0
