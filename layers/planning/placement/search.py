"""Greedy and swap: a selection of sites that is made better step by step, whatever a cell's cover is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.planning.placement.budget import Clock
from layers.planning.placement.incidence import Incidence

TOLERANCE = 1e-9
"""Of all weight: what differs by less is a tie, and the site that comes first is taken."""
ROUNDS = 12
"""Of `shake`. For 20 of 500 sites over four cities they led to 99.6% to 100% of the best that was ever found, greedy
and swap alone to 98.0% to 98.7% (`city` of tests/bench/bench_placement.py with other seeds)."""
_WORK = 400_000_000
"""Entries of the matrix times units, in all rounds together: large cases have fewer rounds, so as not to take long."""
_SEED = 1968
_CHOICE = 5
_AT_ONCE = 4_000_000
"""Pairs of sites looked at before the clock is asked again: 32 MB."""


@dataclass(frozen=True, eq=False)
class Worth:
    """What cover is worth to a cell: `steps[t]` is what the next adds where t cover it; the last step is 0."""

    steps: NDArray[np.float64]

    @classmethod
    def reached(cls, at_least: int) -> Worth:
        """1 once *at_least* cover it."""
        steps = np.zeros(at_least + 1)
        steps[at_least - 1] = 1
        return cls(steps)

    @classmethod
    def nearing(cls, at_least: int, ratio: float) -> Worth:
        """Each cover up to *at_least* is worth *ratio* times the next one; the last is worth 1."""
        return cls(np.append(ratio ** np.arange(at_least - 1, -1, -1.0), 0.0))

    @classmethod
    def expected(cls, busy: float, deepest: int) -> Worth:
        """The chance that one is free, each busy with probability *busy* whatever the others are: Daskin 1983.

        The j-th cover adds (1 − q) qʲ⁻¹. For depths up to *deepest*.
        """
        return cls(np.append((1 - busy) * float(busy) ** np.arange(deepest), 0.0))

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        return np.concatenate(([0.0], np.cumsum(self.steps[:-1])))

    def value(self, depth: NDArray[Any]) -> NDArray[np.float64]:
        """What *depth* covers are worth."""
        value: NDArray[np.float64] = self._values[np.minimum(depth, len(self.steps) - 1)]
        return value

    def up(self, depth: NDArray[Any]) -> NDArray[np.float64]:
        """What one more adds."""
        step: NDArray[np.float64] = self.steps[np.minimum(depth, len(self.steps) - 1)]
        return step

    def down(self, depth: NDArray[Any]) -> NDArray[np.float64]:
        """What one less takes; of no meaning where there is none."""
        step: NDArray[np.float64] = self.steps[np.clip(depth - 1, 0, len(self.steps) - 1)]
        return step


class Swap(NamedTuple):
    """One out, one in, and what it brings."""

    gain: float
    out: int
    into: int


Bar = Callable[[NDArray[np.int64]], NDArray[np.bool_] | None]
"""Given sites that might go, which pairs (those × all sites) may not be swapped; None: all may."""


class Search:
    """A selection: how many units stand at each site, and the depth that comes of it.

    `incidence.depth` is that of the selection at the start, *units*: none, unless given.
    """

    def __init__(
        self,
        found: Incidence,
        worth: Worth,
        *,
        weight: NDArray[np.float64] | None = None,
        room: int = 1,
        units: NDArray[np.int64] | None = None,
    ) -> None:
        self.found, self.worth, self.room = found, worth, room
        self.weight = found.weight if weight is None else weight
        self.depth = found.depth.copy()
        self.units = np.zeros(found.rows.shape[0], np.int64) if units is None else units.copy()
        self._pairs = _Pairs(found)
        self.tolerance = TOLERANCE * float(self.weight.sum() * self.worth.steps.max())

    @property
    def value(self) -> float:
        """What the selection is worth."""
        return float((self.weight * self.worth.value(self.depth)).sum())

    def add(self, site: int, units: int = 1) -> None:
        """Put *units* at *site*; below 0 they are taken away."""
        self.units[site] += units
        at = self.found.rows.indptr
        self.depth[self.found.rows.indices[at[site] : at[site + 1]]] += units

    def become(self, units: NDArray[np.int64]) -> None:
        """Have that many *units* at each site."""
        for site in np.flatnonzero(units != self.units).tolist():
            self.add(site, int(units[site] - self.units[site]))

    def gains(self, worth: Worth | None = None) -> NDArray[np.float64]:
        """What one more unit at each site adds, of another *worth* if that is given; −∞ where there is no room."""
        gains: NDArray[np.float64] = self.found.rows @ (self.weight * (worth or self.worth).up(self.depth))
        gains[self.units >= self.room] = -np.inf
        return gains

    def change(self, site: int, units: int) -> float:
        """What so many more *units* at *site* bring, or fewer cost, which is below 0."""
        at = self.found.rows.indptr
        columns = self.found.rows.indices[at[site] : at[site + 1]]
        depth = self.depth[columns]
        return float(self.weight[columns] @ (self.worth.value(depth + units) - self.worth.value(depth)))

    def bound(self, more: int, shrink: float = 0.0) -> float:
        """No selection that has *more* units beyond this one, or instead of some of it, is worth more.

        Holds where no step of the worth is above the one before (Nemhauser, Wolsey & Fisher 1978): then units
        together add no more than each alone; and a further one at the same site *shrink* times the one before.
        """
        gains = np.sort(np.maximum(self.gains(), 0.0))[::-1][:more]
        if shrink:
            gains = np.sort(np.outer(gains, shrink ** np.arange(more)).ravel())[::-1][:more]
        return self.value + float(gains.sum())

    def best_swap(self, clock: Clock, bar: Bar | None = None, *, above: float | None = None) -> Swap | None:
        """The exchange of one unit for another that gains most; None if none gains, or the clock ran out.

        What counts as a gain is more than *above*, or, if that is not given, more than a tie. Teitz & Bart 1968, with
        all pairs worked out at once as in Resende & Werneck 2007: what the new one adds, less what the old one takes,
        set right where both reach the same cell, for there nothing changes.
        """
        gains, best = self.gains(), Swap(self.tolerance if above is None else above, -1, -1)
        up, down = (self.weight * step(self.depth) for step in (self.worth.up, self.worth.down))
        standing, losses = np.flatnonzero(self.units > 0), self.found.rows @ down
        self._pairs.refresh(standing, down - up)
        at_once = max(1, _AT_ONCE // len(gains))
        for first in range(0, len(standing), at_once):
            if clock.is_out():
                return None
            part = standing[first : first + at_once]
            pairs = self._pairs.of(part)
            pairs += gains - losses[part, None]
            barred = bar(part) if bar else None
            if barred is not None:
                pairs[barred] = -np.inf
            best = max(best, self._first_best(pairs, part), key=lambda swap: swap.gain)
        return best if best.out >= 0 else None

    def _first_best(self, pairs: NDArray[np.float64], part: NDArray[np.int64]) -> Swap:
        out, into = divmod(first_best(pairs.ravel(), self.tolerance), pairs.shape[1])
        return Swap(float(pairs[out, into]), int(part[out]), into)


class _Pairs:
    """For pairs of sites the sum of some value over the columns that both reach.

    Remembers the sums of a site as long as no value that it reaches is another: after a swap, those of few are.
    """

    def __init__(self, found: Incidence) -> None:
        self._rows, self._columns = found.rows, found.columns
        self._sums: dict[int, NDArray[np.float64]] = {}
        self._value = np.zeros(len(found.depth))

    def refresh(self, standing: NDArray[np.int64], value: NDArray[np.float64]) -> None:
        """Forget sites that are not *standing*, and those that reach a column whose *value* is another than before."""
        known = np.intersect1d(np.fromiter(self._sums, np.int64, len(self._sums)), standing)
        columns, lengths = _entries(self._rows, known)
        changed = np.repeat(known, lengths)[(value != self._value)[columns]]
        self._sums = {site: self._sums[site] for site in np.setdiff1d(known, changed).tolist()}
        self._value = value

    def of(self, sites: NDArray[np.int64]) -> NDArray[np.float64]:
        """(*sites* × all sites)."""
        new = [site for site in sites.tolist() if site not in self._sums]
        if new:
            self._sums |= zip(new, self._summed(np.array(new), self._value), strict=True)
        return np.array([self._sums[site] for site in sites.tolist()])

    def _summed(self, sites: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.float64]:
        cells, lengths = _entries(self._rows, sites)
        owner = np.repeat(np.arange(len(sites)), lengths)
        some = value[cells] != 0
        cells, owner = cells[some], owner[some]
        others, lengths = _entries(self._columns, cells)
        count = self._rows.shape[0]
        pair = np.repeat(owner * count, lengths) + others
        sums = np.bincount(pair, np.repeat(value[cells], lengths), len(sites) * count)
        return sums.astype(np.float64).reshape(len(sites), count)


def _entries(matrix: Any, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The column numbers in *rows* of a CSR matrix, one row after the other, and how many each has."""
    first, end = matrix.indptr[rows].astype(np.int64), matrix.indptr[rows + 1].astype(np.int64)
    return matrix.indices[rg.integers(np.column_stack((first, end)))], end - first


def first_best(values: NDArray[np.float64], tolerance: float) -> int:
    """The first of *values* that is as good as the best: ties do not hang on how a sum was rounded."""
    return int(np.argmax(values >= values.max() - tolerance))


def fill_up(search: Search, n: int, clock: Clock, *, shrink: float = 0.0) -> float:
    """Add the unit that gains most, until there are *n* or none gains.

    Returns the least bound on what *n* units add that was met on the way: it holds where `Search.bound` does.
    """
    start = search.value
    bound = search.bound(n, shrink)
    for count in range(n):
        gains = search.gains()
        best = first_best(gains, search.tolerance)
        if clock.is_out() or gains[best] <= search.tolerance:
            break
        search.add(best)
        bound = min(bound, search.bound(n, shrink))
        clock.tell((count + 1) / n)
    return bound - start


def swap_up(search: Search, clock: Clock, bar: Bar | None = None) -> None:
    """Make the best swap until none gains: each brings more than a tie, so it ends."""
    while (swap := search.best_swap(clock, bar)) is not None:
        search.add(swap.out, -1)
        search.add(swap.into)


def shake(search: Search, n: int, clock: Clock, toward: Worth) -> None:
    """Look further than one swap: take half of the units away, put others, swap; keep what is better.

    Iterated local search (Lourenço, Martin & Stützle 2003), seeded, so that the same question has the same answer.
    Where to put others is drawn from those that gain most, of *toward* if of nothing else.
    """
    random = np.random.default_rng(_SEED)
    best, value = search.units.copy(), search.value
    rounds = min(ROUNDS, _WORK // max(1, n * search.found.rows.nnz))
    for count in range(rounds):
        if clock.is_out():
            return
        standing = np.repeat(np.arange(len(best)), best)  # A site once for each of its units.
        for site in random.choice(standing, (len(standing) + 1) // 2, replace=False).tolist():
            search.add(site, -1)
        _fill_up_by_chance(search, n, toward, random, clock)
        swap_up(search, clock)
        if search.value > value + search.tolerance:
            best, value = search.units.copy(), search.value
        else:
            search.become(best)
        clock.tell((count + 1) / rounds)


def _fill_up_by_chance(
    search: Search, n: int, toward: Worth, random: np.random.Generator, clock: Clock
) -> None:
    for _ in range(n - int(search.units.sum())):
        if clock.is_out():
            return
        gains = search.gains(toward)
        most = (
            np.argpartition(-gains, _CHOICE - 1)[:_CHOICE] if len(gains) > _CHOICE else np.arange(len(gains))
        )
        most = most[gains[most] > search.tolerance]
        if not len(most):
            return
        search.add(int(random.choice(most)))


def drop_idle(search: Search) -> None:
    """Take away units that nothing is lost without, the last site first."""
    for site in np.flatnonzero(search.units)[::-1].tolist():
        while search.units[site] and -search.change(site, -1) <= search.tolerance:
            search.add(site, -1)
