"""Turns a selection into what a reader wants: sites in the order in which to open them, and how good they are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from layers.hexes.field import Counts
from layers.hexes.ranges import Ranges
from layers.planning.placement.budget import Clock
from layers.planning.placement.exact import WHOLE
from layers.planning.placement.incidence import Incidence
from layers.planning.placement.model import Ended, Proof, Site, Solver
from layers.planning.placement.search import TOLERANCE, Search, Worth, first_best


def in_order(
    found: Incidence, worth: Worth, nearing: Worth, units: NDArray[np.int64], clock: Clock
) -> tuple[Site, ...]:
    """The sites that have *units*, those first that gain most; where none gains yet, by what *nearing* is worth.

    Once the clock has run out, the rest follow in the order of the candidates.
    """
    chosen = np.flatnonzero(units)
    search = Search(found.among(chosen), worth, room=np.iinfo(np.int64).max)
    left, gained = units[chosen].copy(), dict[int, float]()
    while left.any():
        at = int(np.argmax(left > 0)) if clock.is_out() else _next(search, nearing, left > 0)
        gained[at] = gained.get(at, 0.0) + search.change(at, 1)
        search.add(at)
        left[at] -= 1
    return tuple(
        Site(int(chosen[at]), int(search.units[at]), gain, -search.change(at, -int(search.units[at])))
        for at, gain in gained.items()
    )


def _next(search: Search, nearing: Worth, waiting: NDArray[np.bool_]) -> int:
    gains = np.where(waiting, search.gains(), -np.inf)
    if gains.max() <= search.tolerance:
        gains = np.where(waiting, search.gains(nearing), -np.inf)
    return first_best(gains, search.tolerance)


def with_units(depth: Counts, spans: Iterable[tuple[Ranges, int]]) -> Counts:
    """*depth*, and so many more in the places of each of *spans*."""
    change = np.zeros(len(depth) + 1, np.int32)
    for each, units in spans:
        # Spans are apart, so that no start and no end comes twice.
        change[each[:, 0]] += units
        change[each[:, 1]] -= units
    return depth + np.cumsum(change[:-1], dtype=np.int32)


def proof_of(before: float, after: float, bound: float, solver: Solver, clock: Clock) -> Proof:
    """How near *after* is to *bound*, seen from *before*."""
    bound = max(bound, after)
    # Sums of the same places in another order differ in their last digits: that is nothing left to gain.
    gap = (bound - after) / (bound - before) if bound - before > TOLERANCE * bound else 0.0
    is_out = clock.is_out()
    clock.part(0, 1)
    clock.tell(1)
    if gap <= WHOLE:
        return Proof(solver, bound, 0.0, Ended.OPTIMAL, clock.seconds)
    ended = clock.stopped if is_out and clock.stopped else Ended.SEARCHED
    return Proof(solver, bound, gap, ended, clock.seconds)
