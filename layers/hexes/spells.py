"""Spells: cells that each hold from … until …, as spans of a field, and what the field lacks of them over a window.

A spell is a box of places and times; what all of them hold is the union of boxes, as in the space-time coverage maps of
astronomy (ST-MOC: IVOA MOC 2.0, 2022), with depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.hexes.errors import HexesError
from layers.hexes.field import Counts, Field
from layers.hexes.ranges import Ranges
from layers.hexes.sets import Hexes

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_FARTHEST = 2**62
# Spells times pieces that are sorted at once: some 200 MB.
_MAX_PAIRS = 2_000_000


class Stretch(NamedTuple):
    """A time during which what is held does not change; the end is not part of it."""

    begin: int
    end: int
    held: float


@dataclass(frozen=True, eq=False)
class Course:
    """How a field is held over a window: for how long each place is not, and how much of it is, when."""

    uncovered: Integers
    """For each place of the field for how long fewer than asked for hold it, exact."""
    moments: Integers
    """Ascending: the window's begin, whatever begins or ends in it, and its end."""
    held: Floats
    """What is held from each of `moments` to the next: cells, or the sum of the values given."""

    @cached_property
    def worst(self) -> Stretch:
        """When least is held: the first such time, as long as it lasts. The window must not be empty."""
        return self._stretch(int(self.held.argmin()))

    @cached_property
    def best(self) -> Stretch:
        """When most is held, as `worst`."""
        return self._stretch(int(self.held.argmax()))

    @property
    def mean(self) -> float:
        """How much is held on the average of time. The window must not be empty."""
        lengths = np.diff(self.moments)
        return float((self.held * lengths).sum() / lengths.sum())

    def _stretch(self, at: int) -> Stretch:
        same = self.held[at:] == self.held[at]
        after = at + (len(same) if same.all() else int(same.argmin()))
        return Stretch(int(self.moments[at]), int(self.moments[after]), float(self.held[at]))


@dataclass(frozen=True, eq=False)
class Spells:
    """Spans of *field* that hold from *begins*, which is part of it, until *ends*, which is not.

    Times are whole numbers of any unit and any origin, below 2^62 without their sign; a spell that ends where it begins
    holds at no time. The field is cut into pieces wherever a span begins or ends: the places of one are always held
    alike, so that time and memory follow the borders of the spans, not their ground.
    """

    field: Field
    begins: Integers
    ends: Integers
    edges: Integers
    """Where each piece begins, (m + 1,); at last the field's size."""
    _owner: Integers
    """For each span which spell that is, …"""
    _first: Integers
    _end: Integers
    """… and its pieces, from … to before …"""

    @classmethod
    def of(cls, field: Field, spells: Iterable[tuple[int, int, Hexes]]) -> Spells:
        """From (begin, end, hexes) in any order.

        `HexesError` with code `h3.spell` for one that ends before it begins or lies beyond all times, and with
        `h3.resolution` for hexes of another resolution than the field's.
        """
        known = list(spells)
        for begin, end, _ in known:
            _check_times(begin, end)
        begins, ends = np.array([spell[:2] for spell in known], dtype=np.int64).reshape(-1, 2).T
        return cls.of_spans(field, begins, ends, field.spans_each([hexes for _, _, hexes in known]))

    @classmethod
    def of_spans(
        cls,
        field: Field,
        begins: Integers,
        ends: Integers,
        spans: Sequence[Ranges],
        *,
        cuts: Sequence[Ranges] = (),
    ) -> Spells:
        """From what each spell has of *field*. The pieces end at *cuts* as well, whose own pieces `pieces_of` tells."""
        own = np.concatenate([rg.EMPTY, *spans])
        edges = np.unique(np.concatenate([[0, field.size], own.ravel(), *(each.ravel() for each in cuts)]))
        owner = np.repeat(np.arange(len(spans)), [len(each) for each in spans])
        first, end = (np.searchsorted(edges, column) for column in own.T)
        return cls(field, begins, ends, edges, owner, first, end)

    def pieces_of(self, spans: Ranges) -> Ranges:
        """The pieces, by number, that make up *spans*, which were among the cuts."""
        return np.searchsorted(self.edges, spans)

    def sums(self, values: Floats) -> Floats:
        """The sum of *values*, one for each place, in each piece; `HexesError` (`h3.weights`) for more or fewer."""
        if len(values) != self.field.size:
            raise HexesError(
                f"The area has {self.field.size:,} cells; got {len(values):,} weights.", code="h3.weights"
            )
        return np.add.reduceat(values, self.edges[:-1]) if self.field.size else np.empty(0)

    def by_place(self, values: Integers) -> Integers:
        """*values*, one for each piece, as one for each place."""
        return np.repeat(values, np.diff(self.edges))

    def at(self, instant: int) -> Counts:
        """How many hold each place at *instant*."""
        return self.by_place(next(self.depths(np.array([instant])))).astype(np.int32)

    def depths(self, instants: Integers) -> Iterator[Integers]:
        """How many hold each piece, (m,), at each of *instants*, which ascend; each costs a pass over the pieces."""
        count = len(instants)
        come, come_at = _sorted_by(np.searchsorted(instants, self.begins)[self._owner], count)
        go, go_at = _sorted_by(np.searchsorted(instants, self.ends)[self._owner], count)
        change = np.zeros(len(self.edges), np.int64)
        for number in range(count):
            coming = come[come_at[number] : come_at[number + 1]]
            going = go[go_at[number] : go_at[number + 1]]
            change += _change(self._first[coming], self._end[coming], len(change))
            change -= _change(self._first[going], self._end[going], len(change))
            yield np.cumsum(change[:-1])

    def over(
        self,
        begin: int,
        end: int,
        count: int = 1,
        values: Floats | None = None,
        *,
        progress: Callable[[float], None] | None = None,
    ) -> Course:
        """The course from *begin* up to and without *end*: what *count* or more hold, and for how long they do not.

        *values*, one for each place, such as km² or people, are what is summed; without, cells are counted. Costs two
        sorts of a number for each spell and each piece that it holds, and no more memory than that of some millions
        of them. *progress* is told the share that is done. Raises `HexesError` (`h3.spell`, `h3.weights`), and
        `ValueError` for a *count* below 1.
        """
        _check_times(begin, end)
        if count < 1:
            raise ValueError("every place is held by at least 0 at any time")
        worth = self.sums(np.ones(self.field.size) if values is None else summable(values))
        first, last = self.begins.clip(begin, end), self.ends.clip(begin, end)
        real = first < last
        moments = np.unique(np.concatenate(([begin, end], first[real], last[real])))
        since, until = np.searchsorted(moments, first), np.searchsorted(moments, last)
        covered = np.zeros(len(worth), np.int64)
        change = np.zeros(len(moments))
        kept = slice(None) if real.all() else real[self._owner]
        spans = self._owner[kept], self._first[kept], self._end[kept]
        for high, owner, piece in _pairs(*spans, len(worth)):
            # Space and time as one line: piece after piece, and on each the moments. The stretches on which enough
            # spells hold it are found as those of a set of cells are.
            line = piece * len(moments)
            held = rg.deep(np.sort(line + since[owner]), np.sort(line + until[owner]), count)
            at, from_ = np.divmod(held[:, 0], len(moments))
            to = held[:, 1] % len(moments)
            np.add.at(covered, at, moments[to] - moments[from_])
            np.add.at(change, from_, worth[at])
            np.subtract.at(change, to, worth[at])
            if progress is not None:
                progress(high / len(worth))
        return Course(end - begin - self.by_place(covered), moments, np.cumsum(change[:-1]))


def summable(values: Floats) -> Floats:
    """*values*, rounded to multiples of a power of two, 2^-52 of their sum or less, so that sums of any of them in any
    order are exact: what is equal compares equal, and all less all is nothing.
    """
    total = float(np.abs(values).sum())
    if not total:
        return values
    # Their sum stays below 2^52 of these, and below 2^53 once each is rounded: a float has all such numbers.
    grain = math.ldexp(1.0, math.frexp(total)[1] - 52)
    rounded: Floats = np.rint(values / grain) * grain
    return rounded


def _change(first: Integers, end: Integers, count: int) -> Integers:
    """By how much the depth of each of *count* pieces exceeds that of the one before, for some spans of them."""
    return np.bincount(first, minlength=count) - np.bincount(end, minlength=count)


def _pairs(
    owner: Integers, first: Integers, end: Integers, pieces: int
) -> Iterator[tuple[int, Integers, Integers]]:
    """Each spell with each piece that it holds, two columns, for one run of pieces after another, after the number of
    the piece that follows it; a run has about `_MAX_PAIRS` pairs, or one piece.
    """
    held = np.cumsum(np.cumsum(_change(first, end, pieces + 1))[:-1])
    ends = np.searchsorted(
        held, np.arange(_MAX_PAIRS, held[-1] if len(held) else 0, _MAX_PAIRS), side="right"
    )
    edges = np.unique(np.concatenate(([0], ends, [pieces])))
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        begins = first.clip(low, high)
        lengths = end.clip(low, high) - begins
        yield high, np.repeat(owner, lengths), rg.runs(begins, lengths)


def _sorted_by(step: Integers, steps: int) -> tuple[Integers, list[int]]:
    """The indices of *step* in its order, and where in it each of 0 … *steps* begins."""
    order = np.argsort(step, kind="stable")
    return order, np.searchsorted(step[order], np.arange(steps + 1)).tolist()


def _check_times(begin: int, end: int) -> None:
    if not -_FARTHEST < begin <= end < _FARTHEST:
        raise HexesError(
            f"A spell ends at or after its begin, within ±2^62; got {begin} to {end}.", code="h3.spell"
        )
