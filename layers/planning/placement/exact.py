"""HiGHS behind the search: a whole-number program is solved, or at least a bound on it is proven, within the time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from layers.planning.placement.budget import Clock
from layers.planning.placement.model import Ended

MAX_MODEL_NONZEROS = 3_000_000
"""Of a program that HiGHS is given. Beyond, an answer is `Ended.SEARCHED`."""
WHOLE = 1e-6
"""How near to a whole number HiGHS calls whole, and how near to the bound an answer is optimal."""

_SHARE_OF_TIME, _SECONDS_A_NONZERO = 0.9, 1e-6
"""What HiGHS is given of the time that is left: nine tenths, less a microsecond for each nonzero. It looks at the time
between steps of its own, and was seen to be 2% late, and a second with a program of a million nonzeros."""


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """Maximise *values* · v, where *rows* · v ≤ *upper* and 0 ≤ v ≤ *highest*, some of v *whole*."""

    values: NDArray[np.float64]
    rows: Any
    upper: NDArray[np.float64]
    highest: NDArray[np.float64]
    whole: NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Solution:
    """What HiGHS found: nothing, perhaps; but no v is worth more than *bound*, which may be ∞."""

    v: NDArray[np.float64] | None
    bound: float


def solve(program: Program, known: float, clock: Clock) -> Solution:
    """The best v, or nothing where none is better than *known*; and a bound, which is never below *known*.

    First without whole numbers, by linear programming. Often that is the answer; if not, its reduced costs tell
    which sites cannot be in anything better than *known*, or must be, and those are settled (Balas & Martin 1980):
    scipy hands HiGHS no first solution to start from.
    """
    if program.rows.nnz > MAX_MODEL_NONZEROS or clock.is_out():
        return Solution(None, np.inf)
    # HiGHS has absolute tolerances, so that it is given values of about 1, be they people or km².
    unit = float(np.abs(program.values[program.values != 0]).mean())
    found = _solve(replace(program, values=program.values / unit), known / unit, clock)
    return Solution(found.v, max(found.bound * unit, known))


def _solve(program: Program, known: float, clock: Clock) -> Solution:
    relaxed = _relaxed(program, clock)
    _note_time(relaxed, clock)
    if relaxed.status != 0:
        return Solution(None, np.inf)
    bound = -float(relaxed.fun)
    whole = relaxed.x[program.whole]
    if abs(whole - np.rint(whole)).max(initial=0.0) <= WHOLE:
        return Solution(relaxed.x, bound)
    if bound <= known or clock.is_out():
        return Solution(None, bound)
    absent = program.whole & (relaxed.lower.marginals > bound - known)
    certain = program.whole & (-relaxed.upper.marginals > bound - known)
    low = np.where(certain, program.highest, 0.0)
    high = np.where(absent, 0.0, program.highest)
    return _whole(program, optimize.Bounds(low, high), known, bound, clock)


def _relaxed(program: Program, clock: Clock) -> Any:
    bounds = np.column_stack((np.zeros(len(program.values)), program.highest))
    return optimize.linprog(
        -program.values,
        A_ub=program.rows,
        b_ub=program.upper,
        bounds=bounds,
        method="highs-ipm",  # With crossover: 4 times as fast as simplex for 2,000 sites and 29,000 columns.
        options={"time_limit": _limit_s(program, clock)},
    )


def _whole(program: Program, bounds: Any, known: float, bound: float, clock: Clock) -> Solution:
    found = optimize.milp(
        -program.values,
        constraints=optimize.LinearConstraint(program.rows, -np.inf, program.upper),
        bounds=bounds,
        integrality=program.whole.astype(np.int64),
        options={"time_limit": _limit_s(program, clock), "mip_rel_gap": WHOLE},
    )
    _note_time(found, clock)
    if found.status == 2:  # Infeasible, so that nothing is better than what is known.
        return Solution(None, known)
    proven = found.mip_dual_bound
    if proven is not None and np.isfinite(proven):
        # What was settled beforehand is worth no more than what is known.
        bound = min(bound, max(-float(proven), known))
    return Solution(found.x, bound)


def _limit_s(program: Program, clock: Clock) -> float:
    return max(_SHARE_OF_TIME * clock.left - _SECONDS_A_NONZERO * float(program.rows.nnz), 1e-3)


def _note_time(result: Any, clock: Clock) -> None:
    # HiGHS may stop a little before the clock does.
    if result.status == 1 and clock.stopped is None:
        clock.stopped = Ended.DEADLINE


def stacked(blocks: list[list[Any]]) -> Any:
    """Sparse *blocks* side by side and on top of each other; None is nothing."""
    return sparse.block_array(blocks, format="csr")
